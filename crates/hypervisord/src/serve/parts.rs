//! What a daemon is made of at its start.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::config::{Access, Config};
use crate::listen::{self, Given, Listener};
use crate::{accounts, private_file, tls};

/// Mode of the state directory: others may pass through it, to the exports, and neither look nor write.
const STATE_MODE: u32 = 0o711;

/// Finds the group that may use the socket.
pub(super) fn group(name: &str) -> anyhow::Result<Option<u32>> {
    let found = accounts::group(name).context("look for the daemon's group")?;
    if found.is_none() {
        tracing::warn!(group = name, "there is no such group: only root and this user can use the socket");
    }
    // Only root may give files to any group; another user to those that it is in.
    let own = || rustix::process::getgroups().unwrap_or_default().iter().any(|gid| Some(gid.as_raw()) == found);
    Ok(found.filter(|_| rustix::process::geteuid().is_root() || own()))
}

/// Makes the state directory, or looks whether it can be trusted.
pub(super) fn state_directory(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let made = fs::DirBuilder::new().recursive(true).mode(STATE_MODE).create(path);
    made.with_context(|| format!("make the state directory {shown}"))?;
    let metadata = fs::metadata(path).with_context(|| format!("look at the state directory {shown}"))?;
    if metadata.mode() & 0o022 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!("use the state directory {shown}: others could write there (its owner must be this user)");
    }
    Ok(())
}

/// The open doors.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) listeners: Vec<Listener>,
    /// The name of the socket, when it is ours.
    pub(super) socket: Option<listen::Socket>,
}

impl Doors {
    /// Opens those that systemd gave, and the configured ones of a kind that it did not give.
    pub(super) async fn open(config: &Config, group: Option<u32>, given: Given) -> anyhow::Result<Self> {
        let mut listeners = given.open().context("use the sockets from systemd")?;
        let (unix_given, tcp_given) = (
            listeners.iter().any(|listener| matches!(listener, Listener::Unix(_))),
            listeners.iter().any(|listener| matches!(listener, Listener::Tcp(_))),
        );
        let mut socket = None;
        if !unix_given {
            let (listener, name) = listen::bind_unix(&config.listen.socket, group).await?;
            listeners.push(Listener::Unix(listener));
            socket = Some(name);
        }
        if !tcp_given {
            listeners.extend(listen::bind_tcp(&config.listen.tcp).await?.into_iter().map(Listener::Tcp));
        }
        Ok(Self { listeners, socket })
    }

    /// Returns the TCP addresses among them.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::address).collect()
    }
}

/// Returns the certificate when a door needs one.
pub(super) fn certificate(
    config: &Config,
    exposed: bool,
    addresses: &[SocketAddr],
) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    if !exposed {
        return Ok(None);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), host];
    names.extend(addresses.iter().map(|address| address.ip().to_string()));
    names.extend(config.listen.hosts.iter().cloned());
    names.retain(|name| !name.is_empty());
    names.dedup();
    tls::server(&config.tls, &config.state_dir.join("tls"), &names).map(Some)
}

/// The file with the token of this start; removed when dropped.
#[derive(Debug)]
pub(super) struct Token(PathBuf);

impl Token {
    /// Writes it, for the group to read.
    pub(super) fn write(path: &Path, secret: &str, group: Option<u32>) -> anyhow::Result<Self> {
        let doing = || format!("write the start token {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(doing)?;
        }
        let mode = if group.is_some() { 0o640 } else { 0o600 };
        private_file::write(path, format!("{secret}\n").as_bytes(), mode, group).with_context(doing)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%reason, "the start token was not removed; it lets nobody in any more");
            }
            _ => {}
        }
    }
}

/// Logs where the daemon listens, and for whom.
pub(super) fn say(config: &Config, addresses: &[SocketAddr]) {
    for address in addresses {
        let tls = !address.ip().is_loopback();
        tracing::info!(%address, tls, "listening");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), state = %config.state_dir.display(), "serving");
    say_what_is_open(config);
}

/// Logs what can be had without a token: whoever operates this should know.
pub(super) fn say_what_is_open(config: &Config) {
    if config.auth.loopback == Access::Open {
        tracing::warn!("auth.loopback is open: every user of this machine may use the compatibility routes");
    }
    if config.auth.metrics == Access::Open {
        tracing::info!("auth.metrics is open: whoever can connect may read them");
    }
}

/// Logs which of the new settings wait for a restart.
pub(super) fn say_what_stays(old: &Config, new: &Config) {
    for (name, same) in [
        ("state_dir", old.state_dir == new.state_dir),
        ("listen.socket", old.listen.socket == new.listen.socket),
        ("listen.tcp", old.listen.tcp == new.listen.tcp),
        ("auth.group", old.auth.group == new.auth.group),
        ("auth.start_token", old.auth.start_token == new.auth.start_token),
        ("limits.connections", old.limits.connections == new.limits.connections),
        ("limits.head_seconds", old.limits.head_seconds == new.limits.head_seconds),
    ] {
        if !same {
            tracing::warn!(setting = name, "the change needs a restart");
        }
    }
}
