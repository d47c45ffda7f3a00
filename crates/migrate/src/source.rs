//! The server that VMs come from.

use tokio_util::sync::CancellationToken;
use vsphere::{Config, Session};

pub use vsphere::Patience;

use crate::Result;

/// A server and how to log in to it.
#[derive(Clone, Debug)]
pub struct Source {
    config: Config,
}

impl Source {
    /// Reads the `GOVC_*` variables through `lookup` (name → value; empty counts as unset).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when `GOVC_URL` is unset or unreadable; the value is never
    /// repeated, because it may hold a password.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Ok(Self { config: Config::from_env(lookup)? })
    }

    /// Bears as much silence of the server as `patience` says.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.config.patience = patience;
        self
    }

    /// Returns the server for people: scheme, host and port, without credentials.
    pub fn display_name(&self) -> String {
        self.config.url.to_string()
    }

    /// Logs in, unless `cancel` comes first. Whoever does ends the session with [`close`], whatever happens
    /// between.
    pub(crate) async fn open(&self, cancel: &CancellationToken) -> Result<Session> {
        Ok(Session::login_unless(&self.config, cancel).await?)
    }
}

/// Logs out. A server that cannot be told keeps the session until it times out; what the session
/// was for is not undone by that.
pub(crate) async fn close(session: Session) {
    if let Err(error) = session.logout().await {
        tracing::warn!(%error, "the session could not be ended");
    }
}
