//! A server and how to reach it: the `GOVC_*` variables that users have set already.
//!
//! The rules are govc's (which variable overrides what, which text is a URL), with two differences
//! that are on purpose: a user name or password stands for a file's content only where it is an
//! absolute path, and a `GOVC_URL` that cannot be read is never repeated, because it may hold a
//! password.

mod patience;
mod url;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::error::{Error, ErrorKind, Result};
use crate::tls::{Thumbprint, TlsPolicy, Trust};

pub use patience::Patience;
pub use url::ServerUrl;

/// Longest TCP connect and TLS handshake unless `GOVC_TLS_HANDSHAKE_TIMEOUT` says otherwise.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// A server, an account and what is trusted.
#[derive(Clone)]
pub struct Config {
    /// Where `/sdk` is.
    pub url: ServerUrl,
    /// Account.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Which certificates are trusted.
    pub tls: TlsPolicy,
    /// Datacenter that relative paths start at: a name or a path.
    pub datacenter: Option<String>,
    /// How long a silent server is waited for; no variable says so.
    pub patience: Patience,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("url", &self.url).field("username", &self.username).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the `GOVC_*` variables through `lookup`; an empty value counts as unset.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `GOVC_URL` is unset or no URL, or a file that a variable names
    /// cannot be read. Secrets never appear in the message.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let text = lookup("GOVC_URL").ok_or_else(|| config("GOVC_URL is not set: no server to ask"))?;
        let url = ServerUrl::parse(&text).map_err(|reason| config(format!("GOVC_URL cannot be read: {reason}")))?;
        let account = |variable: &str, part: &Option<String>| match lookup(variable) {
            Some(value) => file_or_value(variable, value),
            None => Ok(part.clone().unwrap_or_default()),
        };
        let username = account("GOVC_USERNAME", &url.username)?;
        let password = account("GOVC_PASSWORD", &url.password)?;
        let tls = tls_policy(&lookup)?;
        let datacenter = lookup("GOVC_DATACENTER");
        let patience = Patience::default();
        Ok(Self { url: url.url, username, password: SecretString::from(password), tls, datacenter, patience })
    }
}

fn config(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, context)
}

/// A value that is the absolute path of a readable file stands for the file's trimmed content.
fn file_or_value(variable: &str, value: String) -> Result<String> {
    let path = Path::new(&value);
    if !path.is_absolute() || !path.is_file() {
        return Ok(value);
    }
    let text = fs::read_to_string(path)
        .map_err(|error| config(format!("read the file that {variable} names")).with_source(error))?;
    Ok(text.trim().to_owned())
}

fn tls_policy(lookup: &dyn Fn(&str) -> Option<String>) -> Result<TlsPolicy> {
    let insecure = lookup("GOVC_INSECURE").is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    let trust = match lookup("GOVC_TLS_CA_CERTS") {
        _ if insecure => Trust::Anything,
        Some(files) => Trust::Files(paths(&files)),
        None => Trust::System,
    };
    let mut pins = Vec::new();
    for file in lookup("GOVC_TLS_KNOWN_HOSTS").map(|files| paths(&files)).unwrap_or_default() {
        match fs::read_to_string(&file) {
            Ok(text) => pins.extend(known_hosts(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(config(format!("read known hosts {}", file.display())).with_source(error)),
        }
    }
    let handshake_timeout = match lookup("GOVC_TLS_HANDSHAKE_TIMEOUT") {
        Some(text) => {
            go_duration(&text).ok_or_else(|| config("GOVC_TLS_HANDSHAKE_TIMEOUT is no duration such as 30s"))?
        }
        None => HANDSHAKE_TIMEOUT,
    };
    let client_identity = match (lookup("GOVC_CERTIFICATE"), lookup("GOVC_PRIVATE_KEY")) {
        (None, None) => None,
        (Some(certificate), key) => {
            let key = key.unwrap_or_else(|| certificate.clone());
            Some((PathBuf::from(certificate), PathBuf::from(key)))
        }
        (None, Some(_)) => return Err(config("GOVC_PRIVATE_KEY is set without GOVC_CERTIFICATE")),
    };
    Ok(TlsPolicy { trust, pins, handshake_timeout, client_identity })
}

fn paths(list: &str) -> Vec<PathBuf> {
    list.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// Reads lines `HOST[:PORT] THUMBPRINT`; other lines are skipped, as govc does.
fn known_hosts(text: &str) -> Vec<(String, Thumbprint)> {
    let line = |line: &str| {
        let (host, thumbprint) = line.trim().split_once(char::is_whitespace)?;
        let port_missing = host.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err());
        let host = if port_missing { format!("{host}:443") } else { host.to_owned() };
        Some((host.to_ascii_lowercase(), Thumbprint::parse(thumbprint.trim())?))
    };
    text.lines().filter_map(line).collect()
}

/// Reads a Go duration made of hours, minutes, seconds and milliseconds: `1m30s`, `500ms`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += Duration::try_from_secs_f64(number * seconds).ok()?;
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use secrecy::ExposeSecret;

    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Config> {
        let map: HashMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_env(&|name| map.get(name).cloned())
    }

    #[test]
    fn variables_override_the_parts_of_the_url() {
        let config = from(&[("GOVC_URL", "u:p@vc"), ("GOVC_USERNAME", "v"), ("GOVC_PASSWORD", "")]).unwrap();
        assert_eq!((config.username.as_str(), config.password.expose_secret()), ("v", "p"));
    }

    #[test]
    fn an_absolute_path_stands_for_the_files_content_and_a_relative_one_for_itself() {
        let file = std::env::temp_dir().join(format!("hyper2kvm-password-{}", std::process::id()));
        fs::write(&file, " secret\n").unwrap();
        let config = from(&[("GOVC_URL", "vc"), ("GOVC_PASSWORD", file.to_str().unwrap())]).unwrap();
        assert_eq!(config.password.expose_secret(), "secret");
        fs::remove_file(&file).unwrap();
        let config = from(&[("GOVC_URL", "vc"), ("GOVC_PASSWORD", "Cargo.toml")]).unwrap();
        assert_eq!(config.password.expose_secret(), "Cargo.toml");
    }

    #[test]
    fn only_two_words_switch_verification_off() {
        let insecure = |word: &str| {
            let config = from(&[("GOVC_URL", "vc"), ("GOVC_INSECURE", word)]).unwrap();
            matches!(config.tls.trust, Trust::Anything)
        };
        for word in ["1", "true", "TRUE"] {
            assert!(insecure(word), "{word}");
        }
        for word in ["yes", "t", " 1", "0", "on"] {
            assert!(!insecure(word), "{word}");
        }
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        for url in ["http://u:hunter2@h:port", "vc hunter2", "u:hunter2%zz@vc"] {
            let error = from(&[("GOVC_URL", url)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(from(&[]).unwrap_err().to_string().contains("not set"));
    }

    #[test]
    fn known_hosts_take_both_hashes_and_the_default_port() {
        let sha1 = ["AB"; 20].join(":");
        let sha256 = ["CD"; 32].join(":");
        let pins = known_hosts(&format!("vc {sha1}\nVC2:8443 {sha256}\n# comment\nbad line here\n"));
        let hosts: Vec<_> = pins.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["vc:443", "vc2:8443"]);
    }

    #[test]
    fn go_durations_are_read() {
        let cases = [("30s", Some(30_000)), ("1m30s", Some(90_000)), ("500ms", Some(500)), ("30", None), ("", None)];
        for (text, expected_ms) in cases {
            assert_eq!(go_duration(text), expected_ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn debug_output_has_no_password() {
        let config = from(&[("GOVC_URL", "u:hunter2@vc")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
