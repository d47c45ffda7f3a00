//! A logged-in conversation with one server.
//!
//! One login, kept alive by a timer, renewed once for all callers when the server says
//! NotAuthenticated, and logged out at the end: leaked sessions end in "503 Out of HTTP sessions" for
//! everybody. Objects whose id starts with `session[` (views, collectors, leases) die with the session
//! that made them, so calls on those are not repeated after a renewal.

mod http;
mod negotiate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tracing::{debug, info};

use crate::config::{Config, ServerUrl};
use crate::error::{Error, ErrorKind, Result};
use crate::tls::TlsPolicy;
use crate::wire::generated::{CurrentTime, Login, Logout, RetrieveServiceContent, ServiceContent};
use crate::wire::{ApiVersion, Decode, Method, MoRef, Secret, parse_response, request_xml};
use http::Http;

/// Servers close sessions after 30 idle minutes; ask well before.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5 * 60);

/// Longest wait for the answer to an ordinary call. `CreateDescriptor` and `ExportVm` of large VMs
/// were reported to take minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Longest wait for the answer to a logout: whoever stops does not wait for a dead server.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// Held while renewing; true once a renewal was refused, after which nobody tries again.
    renewal: Mutex<bool>,
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
        let http = Http::new(&config.url, &config.tls)?;
        let version = negotiate::version(&http).await?;
        let calls = AtomicU64::new(0);
        let content = service_content(&http, version).await?;
        let inner = Inner {
            config: config.clone(),
            http,
            version,
            content,
            generation: AtomicU64::new(0),
            renewal: Mutex::new(false),
            calls,
            keeper: std::sync::Mutex::new(None),
        };
        let session = Self { inner: Arc::new(inner) };
        session.authenticate().await?;
        session.start_keeper();
        let about = &session.content().about;
        info!(server = %config.url, product = %about.full_name, api = %version, "logged in");
        Ok(session)
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
        self.call_within(object, call, CALL_TIMEOUT).await
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
                    tokio::time::sleep(delay).await;
                    delay *= 2;
                }
                result => return result,
            }
        }
        self.call(object, call).await
    }

    /// Makes a call whose answer may take up to `timeout`.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn call_within<M: Method + Sync>(&self, object: &MoRef, call: &M, timeout: Duration) -> Result<M::Reply> {
        let seen = self.inner.generation.load(Ordering::Acquire);
        match self.send(call, timeout).await {
            Err(error) if error.kind() == ErrorKind::SessionLost => {
                self.renew(seen).await?;
                if object.id.starts_with("session[") { Err(error) } else { self.send(call, timeout).await }
            }
            result => result,
        }
    }

    /// Ends the session. An error means that the server keeps it until it times out.
    ///
    /// # Errors
    /// When the server cannot be told.
    pub async fn logout(self) -> Result<()> {
        self.stop_keeper();
        let this = self.session_manager()?;
        self.send(&Logout { this }, LOGOUT_TIMEOUT).await
    }

    async fn send<M: Method>(&self, call: &M, timeout: Duration) -> Result<M::Reply> {
        let number = self.inner.calls.fetch_add(1, Ordering::Relaxed);
        send(&self.inner.http, call, self.inner.version, number, timeout).await
    }

    async fn authenticate(&self) -> Result<()> {
        let login = Login {
            this: self.session_manager()?,
            user_name: self.inner.config.username.clone(),
            password: Secret(self.inner.config.password.expose_secret().to_owned()),
            locale: Some("en_US".to_owned()),
        };
        self.inner.http.forget_cookie();
        let context = || format!("log in to {} as `{}`", self.inner.config.url, self.inner.config.username);
        self.send(&login, CALL_TIMEOUT).await.map_err(|error| error.context(context()))?;
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Logs in again unless somebody else has done so since `seen`.
    async fn renew(&self, seen: u64) -> Result<()> {
        let mut refused = self.inner.renewal.lock().await;
        if *refused {
            let context = format!("log in to {} again: it was refused before", self.inner.config.url);
            return Err(Error::new(ErrorKind::Login, context));
        }
        if self.inner.generation.load(Ordering::Acquire) == seen {
            info!(server = %self.inner.config.url, "the session is gone, logging in again");
            let result = self.authenticate().await;
            *refused = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Login);
            return result;
        }
        Ok(())
    }

    fn session_manager(&self) -> Result<MoRef> {
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
                let this = service_instance();
                if let Err(error) = session.read(&this, &CurrentTime { this: this.clone() }).await {
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

async fn service_content(http: &Http, version: ApiVersion) -> Result<ServiceContent> {
    let call = RetrieveServiceContent { this: service_instance() };
    send(http, &call, version, 0, CALL_TIMEOUT).await
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
