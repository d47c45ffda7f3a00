//! The way to one daemon, with the token that opens it.
//!
//! A token goes only to the daemon that it belongs to. The start token of this machine's daemon lies where the
//! daemon has written it, and is sent to the port that it listens on here, and nowhere else. For any other daemon the
//! caller keeps a file, `hypersdk/tokens` below the directory for configuration, with lines `URL TOKEN`; a file that
//! others can read is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hyper_api::client::{Client, Endpoint, Error, ErrorKind, Secret};

use crate::exit::Exit;
use crate::failure::Failure;

/// The variable that names a daemon.
const URL_VARIABLE: &str = "HYPERVISORD_URL";

/// Where this machine's daemon listens unless its configuration says otherwise.
const SOCKET: &str = "/run/hypervisord/socket";
const HOST: &str = "localhost";
const PORT: u16 = 8080;

/// Where this machine's daemon writes the token of its start.
const START_TOKEN: &str = "/run/hypervisord/token";

/// Where the caller keeps tokens, below the directory for configuration.
const TOKENS: &str = "hypersdk/tokens";

/// A daemon that the caller has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    address: String,
    /// What named it.
    by: &'static str,
}

impl Named {
    /// Reads what the caller has named: the flag wins.
    pub(super) fn read(flag: Option<&str>, variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let flag = flag.filter(|value| !value.is_empty()).map(|address| (address.to_owned(), "-daemon"));
        let named = flag.or_else(|| Some((variable(URL_VARIABLE)?, URL_VARIABLE)));
        named.map(|(address, by)| Self { address, by })
    }
}

/// A way to a daemon.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) client: Client,
    /// What named it; nothing for this machine's.
    by: Option<&'static str>,
    has_secret: bool,
}

impl Door {
    /// Finds the way to the daemon that was named, else to this machine's. Nothing is dialled yet.
    pub(super) fn open(named: Option<Named>) -> Result<Self, Failure> {
        let by = named.as_ref().map(|named| named.by);
        let endpoint = match &named {
            Some(Named { address, by }) => {
                let wrong = |error: Error| Failure::new(Exit::Usage, format!("{by}: {}", error.chain()));
                Endpoint::parse(address).map_err(wrong)?
            }
            None if Path::new(SOCKET).exists() => Endpoint::unix(SOCKET),
            None => Endpoint::Http { host: HOST.to_owned(), port: PORT },
        };
        let client = Client::new(endpoint);
        let secret = secret(client.endpoint(), &tokens_file(), Path::new(START_TOKEN))?;
        let has_secret = secret.is_some();
        let client = match secret {
            Some(secret) => client.with_secret(secret),
            None => client,
        };
        Ok(Self { client, by, has_secret })
    }

    /// Returns true when the caller has named the daemon.
    pub(super) fn is_named(&self) -> bool {
        self.by.is_some()
    }

    /// Returns whether there is a daemon behind an error, and its door is closed to this user.
    pub(super) fn is_closed(&self, error: &Error) -> bool {
        matches!(self.client.endpoint(), Endpoint::Unix(_))
            && error.io_kind() == Some(std::io::ErrorKind::PermissionDenied)
    }

    /// Makes the failure of a call, with the next step.
    pub(super) fn explain(&self, error: Error) -> Failure {
        let hint = match error.kind() {
            ErrorKind::Connect if self.is_closed(&error) => {
                Some("ask an administrator to let you in: `usermod -aG hypervisord YOU`, then log in anew".to_owned())
            }
            ErrorKind::Connect => Some(match self.by {
                Some(by) => format!("check what {by} names, and whether that daemon runs"),
                None => "start it (`systemctl start hypervisord`), or name another one with -daemon or HYPERVISORD_URL"
                    .to_owned(),
            }),
            _ if error.status() == Some(401) && !self.has_secret => Some(format!(
                "put a line `{} TOKEN` into {} (mode 0600); `hyperctl token create` makes one where that daemon runs",
                self.client.endpoint(),
                tokens_file().display()
            )),
            _ => None,
        };
        let failure = Failure::from(error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// Returns where the caller keeps tokens.
pub(super) fn tokens_file() -> PathBuf {
    let configured = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from).join(".config");
    configured.unwrap_or_else(home).join(TOKENS)
}

/// Finds the token for an endpoint. A socket needs none: the kernel says who is calling.
fn secret(endpoint: &Endpoint, tokens: &Path, start_token: &Path) -> Result<Option<Secret>, Failure> {
    let Endpoint::Http { host, port } = endpoint else { return Ok(None) };
    if let Some(token) = kept(endpoint, tokens)? {
        return Ok(Some(token));
    }
    let is_here = matches!(host.as_str(), HOST | "127.0.0.1" | "::1");
    if !is_here || *port != PORT {
        return Ok(None);
    }
    // One that this user may not read belongs to a daemon that does not know this user.
    let Ok(text) = std::fs::read_to_string(start_token) else { return Ok(None) };
    let unusable = |error: Error| Failure::new(Exit::Denied, format!("{}: {}", start_token.display(), error.chain()));
    Secret::new(&text).map(Some).map_err(unusable)
}

/// Looks into the caller's file.
fn kept(endpoint: &Endpoint, tokens: &Path) -> Result<Option<Secret>, Failure> {
    let refuse = |reason: String| Failure::new(Exit::Denied, format!("read {}: {reason}", tokens.display()));
    let text = match std::fs::read_to_string(tokens) {
        Ok(text) => text,
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(refuse(reason.to_string())),
    };
    let mode = std::fs::metadata(tokens).map_err(|reason| refuse(reason.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        let failure = refuse("others can read it".to_owned());
        return Err(failure.with_hint(format!("chmod 600 {}", tokens.display())));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let Some((address, token)) = line.split_once(char::is_whitespace) else { continue };
        if Endpoint::parse(address).is_ok_and(|named| named == *endpoint) {
            return Secret::new(token).map(Some).map_err(|error| refuse(error.chain()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_flag_wins_over_the_variable_and_empty_text_counts_as_unset() {
        let unset = |_: &str| None;
        let set = |name: &str| (name == URL_VARIABLE).then(|| "http://b".to_owned());
        let address = |named: Option<Named>| named.map(|named| (named.address, named.by));
        assert_eq!(address(Named::read(Some("http://a"), &set)), Some(("http://a".into(), "-daemon")));
        assert_eq!(address(Named::read(Some(""), &set)), Some(("http://b".into(), URL_VARIABLE)));
        assert_eq!(Named::read(Some(""), &unset), None);
        assert_eq!(Named::read(None, &unset), None);
    }

    #[test]
    fn an_address_that_makes_no_sense_is_refused_without_repeating_it() {
        let named = Named { address: "http://u:hidden@h".into(), by: "-daemon" };
        let failure = format!("{:?}", Door::open(Some(named)).unwrap_err());
        assert!(failure.contains("-daemon") && !failure.contains("hidden"), "{failure}");
    }

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_token_goes_only_to_the_daemon_that_it_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        let start = file(folder.path(), "start", "h2k_start\n", 0o640);
        let kept = file(folder.path(), "tokens", "# mine\n\nhttp://far:8080/ h2k_far\n", 0o600);
        let none = folder.path().join("none");
        let found =
            |address: &str, kept: &Path| secret(&Endpoint::parse(address).unwrap(), kept, &start).unwrap().is_some();
        for address in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(found(address, &none), "{address}");
        }
        for address in
            ["http://localhost:8081", "http://far:8080", "http://127.0.0.1.evil:8080", "unix:///run/hypervisord/socket"]
        {
            assert!(!found(address, &none), "{address}");
        }
        assert!(found("http://far:8080", &kept) && !found("http://far:8081", &kept));
        let open = file(folder.path(), "open", "http://far:8080 h2k_far\n", 0o644);
        assert!(secret(&Endpoint::parse("http://far:8080").unwrap(), &open, &start).is_err());
    }
}
