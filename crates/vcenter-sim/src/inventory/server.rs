//! The server of an inventory: what it claims to be, its account, its limits.

use serde::Deserialize;

/// What the simulator claims to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Personality {
    /// A vCenter with hosts beside it.
    #[default]
    #[serde(rename = "vcenter")]
    VCenter,
    /// One ESXi host without a vCenter.
    Esxi,
}

/// The server: what it is, account, version, limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ServerText")]
pub struct VCenter {
    /// What the server claims to be.
    pub personality: Personality,
    /// The only account.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Newest API version that is served, for example `8.0.3.0`.
    pub api_version: String,
    /// `instanceUuid` of the server; a host tells none.
    pub instance_uuid: String,
    /// Sessions at the same time; one more login is answered with HTTP status 503.
    pub sessions_max: usize,
    /// Privileges that the account lacks: `VApp.Export`.
    pub denied_privileges: Vec<String>,
}

/// The table `[vcenter]` as it is written: what is missing depends on the personality.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerText {
    personality: Personality,
    username: Option<String>,
    password: Option<String>,
    api_version: Option<String>,
    instance_uuid: Option<String>,
    sessions_max: Option<usize>,
    denied_privileges: Vec<String>,
}

/// What vCenter is reported to allow before it says "Out of HTTP sessions".
const SESSIONS_MAX: usize = 2000;

impl From<ServerText> for VCenter {
    fn from(text: ServerText) -> Self {
        let user = match text.personality {
            Personality::VCenter => "administrator@vsphere.local",
            Personality::Esxi => "root",
        };
        let or = |given: Option<String>, default: &str| given.unwrap_or_else(|| default.to_owned());
        Self {
            personality: text.personality,
            username: or(text.username, user),
            password: or(text.password, "simulated"),
            api_version: or(text.api_version, "8.0.3.0"),
            instance_uuid: or(text.instance_uuid, "51a70000-0000-4000-8000-000000000001"),
            sessions_max: text.sessions_max.unwrap_or(SESSIONS_MAX),
            denied_privileges: text.denied_privileges,
        }
    }
}

impl Default for VCenter {
    fn default() -> Self {
        ServerText::default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_personality_decides_who_logs_in_unless_the_file_says_so() {
        let server = |text: &str| toml::from_str::<VCenter>(text).unwrap();
        assert_eq!(server("").username, "administrator@vsphere.local");
        assert_eq!(server("personality = \"esxi\"").username, "root");
        assert_eq!(server("personality = \"esxi\"\nusername = \"admin\"").username, "admin");
        assert!(toml::from_str::<VCenter>("personality = \"hyperv\"").is_err());
    }
}
