//! A logged-in conversation with one server.
//!
//! One login, kept alive by a timer, renewed once for all callers when the server says
//! NotAuthenticated, and logged out at the end: leaked sessions end in "503 Out of HTTP sessions" for
//! everybody. Objects whose id starts with `session[` (views, collectors, leases) die with the session
//! that made them, so calls on those are not repeated after a renewal.

mod http;
mod login;
mod negotiate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::{Config, Patience, ServerUrl};
use crate::datastore::FolderEncoding;
use crate::error::{Error, ErrorKind, Result};
use crate::tls::TlsPolicy;
use crate::wire::generated::{CurrentTime, Login, Logout, ServiceContent};
use crate::wire::{ApiVersion, Decode, Method, MoRef, parse_response, request_xml};
use http::Http;

/// Servers close sessions after 30 idle minutes; ask well before.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5 * 60);

/// Longest wait for the answer to a logout: whoever stops does not wait for a dead server.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(20);

/// How often something that reads in several calls is begun anew because its session was lost midway.
const FRESH_TRIES: u32 = 3;

/// How often a call that only reads is tried when the connection breaks, and the first wait between.
const READ_TRIES: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// A session. Cheap to clone; all clones are the same session.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    http: Http,
    version: ApiVersion,
    content: ServiceContent,
    /// Counts logins; callers that saw an older number find that somebody else has renewed.
    generation: AtomicU64,
    /// Held while logging in; true once nobody may try again: a renewal was refused, or the session ended.
    renewal: Arc<Mutex<bool>>,
    /// How the server wants names in `/folder` URLs encoded, once known.
    folder_encoding: FolderEncoding,
    calls: AtomicU64,
    keeper: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`], [`ErrorKind::Certificate`], [`ErrorKind::Login`] (not to be tried
    /// again: accounts lock), or what the server says.
    pub async fn login(config: &Config) -> Result<Self> {
        Self::login_unless(config, &CancellationToken::new()).await
    }

    /// Returns the server's well-known objects.
    pub fn content(&self) -> &ServiceContent {
        &self.inner.content
    }

    /// Returns the API version that was agreed on.
    pub fn version(&self) -> ApiVersion {
        self.inner.version
    }

    /// Returns where the server is.
    pub fn url(&self) -> &ServerUrl {
        &self.inner.config.url
    }

    /// Returns which certificates are trusted.
    pub fn tls(&self) -> &TlsPolicy {
        &self.inner.config.tls
    }

    /// Returns true for a single host, which has no vCenter in front of it.
    pub fn is_host(&self) -> bool {
        self.inner.content.about.api_type == "HostAgent"
    }

    /// Returns how the server wants names in `/folder` URLs encoded.
    pub(crate) fn folder_encoding(&self) -> &FolderEncoding {
        &self.inner.folder_encoding
    }

    /// Returns the cookie that opens this server's own files; it goes to no other host.
    pub(crate) fn cookie(&self) -> Option<HeaderValue> {
        self.inner.http.cookie()
    }

    /// Returns how long the server may be silent.
    pub fn patience(&self) -> Patience {
        self.inner.config.patience
    }

    /// Returns the datacenter that relative paths start at.
    pub fn datacenter(&self) -> Option<&str> {
        self.inner.config.datacenter.as_deref()
    }

    /// Makes a call.
    ///
    /// A session that the server has dropped is renewed and the call, which the server refused
    /// before doing anything, made again; not so for objects of the old session.
    ///
    /// # Errors
    /// What the server says, with the call and the object it was about.
    pub async fn call<M: Method + Sync>(&self, object: &MoRef, call: &M) -> Result<M::Reply> {
        self.call_within(object, call, self.patience().call).await
    }

    /// Makes a call that only reads: it is made again when the connection breaks.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn read<M: Method + Sync>(&self, object: &MoRef, call: &M) -> Result<M::Reply> {
        let mut delay = RETRY_DELAY;
        for _ in 1..READ_TRIES {
            match self.call(object, call).await {
                Err(error) if error.kind() == ErrorKind::Unreachable => {
                    debug!(call = M::NAME, %error, "trying again");
                    tokio::time::sleep(delay.max(error.busy().unwrap_or_default())).await;
                    delay *= 2;
                }
                result => return result,
            }
        }
        self.call(object, call).await
    }

    /// Makes a call whose answer may take up to `limit`, a renewal of the session included.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn call_within<M: Method + Sync>(&self, object: &MoRef, call: &M, limit: Duration) -> Result<M::Reply> {
        let deadline = Instant::now() + limit;
        let seen = self.generation();
        match self.send(call, limit).await {
            Err(error) if error.kind() == ErrorKind::SessionLost => {
                self.renew_before(seen, deadline).await?;
                if object.id.starts_with("session[") {
                    return Err(error);
                }
                self.send(call, deadline.saturating_duration_since(Instant::now())).await
            }
            result => result,
        }
    }

    /// Reads in several calls that lean on each other (a view, the pages of a result). When the session
    /// is renewed midway, what the old one held is gone and `work` is begun anew.
    ///
    /// # Errors
    /// Of `work`.
    pub(crate) async fn in_one_session<T, F>(&self, mut work: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        for _ in 1..FRESH_TRIES {
            let seen = self.generation();
            match work().await {
                Err(error) if self.generation() != seen => debug!(%error, "the session was lost midway, again"),
                result => return result,
            }
        }
        work().await
    }

    /// Makes sure that there is a session, by a call that does nothing.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub(crate) async fn probe(&self) -> Result<()> {
        let this = service_instance();
        self.read(&this, &CurrentTime { this: this.clone() }).await.map(drop)
    }

    /// Returns a number that grows with every login.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Ends the session. An error means that the server keeps it until it times out.
    ///
    /// # Errors
    /// When the server cannot be told.
    pub async fn logout(self) -> Result<()> {
        self.stop_keeper();
        // Whoever still holds a clone must not bring a session after the end of this one.
        if let Ok(mut over) = timeout_at(Instant::now() + LOGOUT_TIMEOUT, self.inner.renewal.lock()).await {
            *over = true;
        }
        self.log_out().await
    }

    /// Ends the session and logs in again: what belonged to it goes with it, also what we do not know of
    /// because the reply that named it was lost.
    ///
    /// # Errors
    /// When the server cannot be told, or as [`Session::login`].
    pub async fn restart(&self) -> Result<()> {
        let seen = self.generation();
        self.log_out().await?;
        self.renew_before(seen, Instant::now() + self.patience().call).await
    }

    async fn log_out(&self) -> Result<()> {
        let this = self.session_manager()?;
        // A renewal that somebody gave up waiting for would bring a session after the end of this one.
        let deadline = Instant::now() + LOGOUT_TIMEOUT;
        let _held = timeout_at(deadline, self.inner.renewal.lock()).await;
        let logout = Logout { this };
        let mut delay = RETRY_DELAY;
        for attempt in 1.. {
            match self.send(&logout, deadline.saturating_duration_since(Instant::now())).await {
                // It is over already, whoever ended it.
                Err(error) if error.kind() == ErrorKind::SessionLost => return Ok(()),
                // Sessions that are left open end in refused logins for everybody.
                Err(error) if error.kind() == ErrorKind::Unreachable && attempt < READ_TRIES => {
                    debug!(%error, "logging out again");
                    let again = Instant::now() + delay.max(error.busy().unwrap_or_default());
                    tokio::time::sleep_until(again.min(deadline)).await;
                    delay *= 2;
                }
                result => return result,
            }
        }
        unreachable!("the loop returns with the last attempt")
    }

    async fn send<M: Method>(&self, call: &M, timeout: Duration) -> Result<M::Reply> {
        let number = self.inner.calls.fetch_add(1, Ordering::Relaxed);
        send(&self.inner.http, call, self.inner.version, number, timeout).await
    }

    /// Returns the object that logs in and out and gives tickets.
    pub(crate) fn session_manager(&self) -> Result<MoRef> {
        let missing = || Error::new(ErrorKind::Protocol, format!("{} has no session manager", self.inner.config.url));
        self.inner.content.session_manager.clone().ok_or_else(missing)
    }

    /// Keeps the session alive for as long as somebody holds it.
    fn start_keeper(&self) {
        let weak = Arc::downgrade(&self.inner);
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEEP_ALIVE_EVERY).await;
                let Some(inner) = weak.upgrade() else { return };
                let session = Self { inner };
                if let Err(error) = session.probe().await {
                    debug!(%error, "keep-alive failed");
                }
            }
        });
        if let Ok(mut slot) = self.inner.keeper.lock() {
            *slot = Some(keeper);
        }
    }

    fn stop_keeper(&self) {
        if let Some(keeper) = self.inner.keeper.lock().ok().and_then(|mut slot| slot.take()) {
            keeper.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().ok().and_then(|mut slot| slot.take()) {
            keeper.abort();
        }
    }
}

/// The one object whose name is the same on every server.
fn service_instance() -> MoRef {
    MoRef::new("ServiceInstance", "ServiceInstance")
}

async fn send<M: Method>(
    http: &Http,
    call: &M,
    version: ApiVersion,
    number: u64,
    timeout: Duration,
) -> Result<M::Reply> {
    let operation = format!("{}-{number:04}", http.operation_prefix());
    let xml = request_xml(call, &operation, version);
    let text = http
        .post(&xml, version, timeout, M::NAME == Login::NAME)
        .await
        .map_err(|error| error.context(format!("call {}", M::NAME)))?;
    let mut decode = Decode::default();
    let reply = parse_response::<M>(&text, &mut decode)
        .map_err(|error| Error::from_response(format!("call {} (operation {operation})", M::NAME), error));
    if !decode.unknown.is_empty() {
        debug!(call = M::NAME, unknown = ?decode.unknown, "passed over what these bindings do not know");
    }
    reply
}
