//! `vcenter-sim` as a companion of the demo.

use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::spawn::{self, Companion, Environment};

/// What each connection carries: what one stream of a real host was reported to give (20 to 30 MB/s),
/// so that a person sees the bytes move.
const BYTES_PER_SECOND: &str = "25000000";

/// Longest wait until the simulator listens: it makes its disks' grains first.
const READY_TIME_MAX: Duration = Duration::from_secs(30);

/// Time between two looks for its file.
const READY_POLL: Duration = Duration::from_millis(20);

/// Longest wait for its end; it has nothing to finish.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// What the simulator writes once it listens; it writes more than is read here.
#[derive(Deserialize)]
struct Ready {
    url: String,
    username: String,
    password: String,
    sha256_thumbprint: String,
}

/// A running simulator.
pub(crate) struct Simulator {
    companion: Companion,
    ready: Ready,
    directory: TempDir,
}

impl Simulator {
    /// Starts one with its demo inventory and waits until it listens.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let program = spawn::find("vcenter-sim", "VCENTER_SIM_BIN")?;
        let directory = spawn::private_directory()?;
        let file = directory.path().join("ready.json");
        let mut args: Vec<OsString> =
            ["--scenario", "demo", "--listen", "127.0.0.1:0", "--exit-on-stdin-eof"].map(Into::into).into();
        args.extend(["--ready-file".into(), file.clone().into_os_string()]);
        args.extend(["--bytes-per-second".into(), BYTES_PER_SECOND.into()]);
        let mut companion = Companion::start("vcenter-sim", &program, &args, &Environment::new())?;
        let deadline = tokio::time::Instant::now() + READY_TIME_MAX;
        // The file appears whole: it is renamed into place.
        while !file.exists() {
            if let Some(status) = companion.ended() {
                return Err(Failure::new(Exit::Refused, format!("start vcenter-sim: it ended with {status}")));
            }
            if tokio::time::Instant::now() >= deadline {
                companion.close(Duration::ZERO).await;
                let seconds = READY_TIME_MAX.as_secs();
                return Err(Failure::new(Exit::Refused, format!("start vcenter-sim: not ready within {seconds} s")));
            }
            tokio::time::sleep(READY_POLL).await;
        }
        let unreadable = |reason: String| Failure::new(Exit::Refused, format!("read what vcenter-sim wrote: {reason}"));
        let text = std::fs::read(&file).map_err(|reason| unreadable(reason.to_string()))?;
        let ready: Ready = serde_json::from_slice(&text).map_err(|reason| unreadable(reason.to_string()))?;
        std::fs::write(directory.path().join("known_hosts"), known_host(&ready))
            .map_err(|reason| unreadable(reason.to_string()))?;
        Ok(Self { companion, ready, directory })
    }

    /// Returns the environment of a daemon whose source this is: none of the user's own settings stay.
    pub(crate) fn environment(&self) -> Environment {
        let inherited = std::env::vars_os().map(|(name, _)| name);
        let foreign = inherited.filter(|name| name.as_encoded_bytes().starts_with(b"GOVC_"));
        let mut environment: Environment = foreign.map(|name| (name, None)).collect();
        let known_hosts = self.directory.path().join("known_hosts").into_os_string();
        environment.extend([
            ("GOVC_URL".into(), Some(OsString::from(&self.ready.url))),
            ("GOVC_USERNAME".into(), Some(OsString::from(&self.ready.username))),
            ("GOVC_PASSWORD".into(), Some(OsString::from(&self.ready.password))),
            ("GOVC_TLS_KNOWN_HOSTS".into(), Some(known_hosts)),
        ]);
        environment
    }

    /// Returns its address.
    pub(crate) fn url(&self) -> &str {
        &self.ready.url
    }

    /// Returns the account that it knows.
    pub(crate) fn user(&self) -> &str {
        &self.ready.username
    }

    /// Returns the SHA-256 thumbprint of its certificate.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.ready.sha256_thumbprint
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        self.companion.close(END_TIME_MAX).await;
    }
}

/// Returns the line of a known-hosts file: `HOST:PORT THUMBPRINT`.
fn known_host(ready: &Ready) -> String {
    let rest = ready.url.split_once("://").map_or(&*ready.url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    format!("{authority} {}\n", ready.sha256_thumbprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_host_is_host_port_and_thumbprint() {
        let ready = Ready {
            url: "https://127.0.0.1:8989/sdk".into(),
            username: String::new(),
            password: String::new(),
            sha256_thumbprint: "AA:BB".into(),
        };
        assert_eq!(known_host(&ready), "127.0.0.1:8989 AA:BB\n");
    }
}
