//! The settings of the daemon mode: one TOML file, then the environment, then flags.
//!
//! ```text
//!  file (TOML) ─► table ◄─ HYPERVISORD_*, older variables (layers) ◄─ flags
//!                   └─► Config, unknown keys refused ─► check
//! ```
//!
//! Every key has an entry in [`keys::KEYS`]: its words for people, the variable that overrides it and
//! the example file all come from there, and a test holds the table against these types.
//!
//! What it does not do: no secret stands in here, only the names of files that hold one; nothing is
//! opened but the file itself. The private child has no settings: its starter says everything.

mod check;
mod example;
mod jobs;
mod keys;
mod layers;
mod older;
mod source;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use example::example;
pub use jobs::Jobs;
pub use keys::{KEYS, Key, Kind};
pub use layers::{Flags, Origin, Settings, load};

/// The file that is read when none is named, and nobody misses when it is not there.
pub const DEFAULT_FILE: &str = "/etc/hypervisord/config.toml";

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the daemon keeps what has to last.
    pub state_dir: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// What it shows on addresses that others can reach.
    pub tls: Tls,
    /// Who gets in.
    pub auth: Auth,
    /// The vCenter or ESXi host that it works for.
    pub source: Source,
    /// How exports run.
    pub exports: Exports,
    /// How jobs are queued, begun again and remembered.
    pub jobs: Jobs,
    /// How much of everything.
    pub limits: Limits,
    /// What it logs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/hypersdk".into(),
            listen: Listen::default(),
            tls: Tls::default(),
            auth: Auth::default(),
            source: Source::default(),
            exports: Exports::default(),
            jobs: Jobs::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The Unix socket.
    pub socket: PathBuf,
    /// Host and port, each; `localhost` stands for both address families.
    pub tcp: Vec<String>,
    /// Names by which clients may call the daemon, beside those it knows by itself.
    pub hosts: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { socket: "/run/hypervisord/socket".into(), tcp: vec!["localhost:8080".to_owned()], hosts: Vec::new() }
    }
}

/// The daemon's own certificate, for addresses that are not loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and those that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Who gets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The group whose members may use the socket and read the start token.
    pub group: String,
    /// Where the token of this start is written.
    pub start_token: PathBuf,
    /// What a client on this machine needs that can send no token.
    pub loopback: Access,
    /// What a reader of `/metrics` needs.
    pub metrics: Access,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            group: "hypervisord".to_owned(),
            start_token: "/run/hypervisord/token".into(),
            loopback: Access::Token,
            metrics: Access::Token,
        }
    }
}

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It is.
    Token,
    /// It is not.
    Open,
}

/// The vCenter or ESXi host that the daemon works for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Its address, without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The file that holds the account's password and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Whether any certificate does.
    pub insecure: bool,
    /// PEM files with the authorities to trust, in place of the system's.
    pub ca_files: Vec<PathBuf>,
    /// Files with the thumbprints of known hosts.
    pub known_hosts: Vec<PathBuf>,
}

/// How exports run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exports {
    /// The account that does the work of callers over TCP.
    pub service_user: String,
    /// The directories below which callers over TCP may write.
    pub roots: Vec<PathBuf>,
}

impl Default for Exports {
    fn default() -> Self {
        Self { service_user: "hypersdk".to_owned(), roots: vec!["/var/lib/hypersdk/exports".into()] }
    }
}

/// How much of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Seconds that a client has for the head of a request.
    pub head_seconds: u32,
    /// Requests per second of one caller.
    pub requests_per_second: u32,
    /// Refused requests per minute from one address.
    pub refusals_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, head_seconds: 10, requests_per_second: 200, refusals_per_minute: 30 }
    }
}

/// What the daemon logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least that is worth a line.
    pub level: Level,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}

/// The weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For those who develop it.
    Debug,
    /// Rare changes of state.
    Info,
    /// Odd, but fine.
    Warn,
    /// What somebody asked for has failed.
    Error,
}

impl Level {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration in which every key that can be left out is there. A new field does not compile until it
    /// stands here, and then the tests miss it in the table.
    pub(super) fn filled() -> Config {
        let Listen { socket, tcp, hosts } = Listen::default();
        let Auth { group, start_token, loopback, metrics } = Auth::default();
        let Exports { service_user, roots } = Exports::default();
        let Jobs { running, per_source, per_host, retries, retry_seconds, keep, keep_days } = Jobs::default();
        let Limits { connections, head_seconds, requests_per_second, refusals_per_minute } = Limits::default();
        Config {
            state_dir: Config::default().state_dir,
            listen: Listen { socket, tcp, hosts },
            tls: Tls { certificate: Some("/c".into()), key: Some("/k".into()) },
            auth: Auth { group, start_token, loopback, metrics },
            source: Source {
                url: Some("https://vc".into()),
                username: Some("u".into()),
                password_file: Some("/p".into()),
                insecure: false,
                ca_files: Vec::new(),
                known_hosts: Vec::new(),
            },
            exports: Exports { service_user, roots },
            jobs: Jobs { running, per_source, per_host, retries, retry_seconds, keep, keep_days },
            limits: Limits { connections, head_seconds, requests_per_second, refusals_per_minute },
            log: Log { level: Level::Info },
        }
    }

    fn leaves(prefix: &str, table: &toml::Table, into: &mut Vec<String>) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) => leaves(&path, inner, into),
                _ => into.push(path),
            }
        }
    }

    #[test]
    fn the_table_has_every_key_once_and_no_other() {
        let mut fields = Vec::new();
        leaves("", &toml::Table::try_from(filled()).unwrap(), &mut fields);
        let mut keys: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        fields.sort();
        keys.sort();
        assert_eq!(keys, fields);
    }
}
