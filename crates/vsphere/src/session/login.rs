//! Logging in, at the start and again, so that no session is left that nobody knows.
//!
//! A login that was sent makes a session on the server, whether or not somebody still waits for the
//! answer. So logins run on tasks of their own: a future that is dropped midway leaves either a session
//! that its owner will end, or one that is ended as soon as its answer comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::http::Http;
use super::{Inner, Session, negotiate, send, service_instance};
use crate::config::Config;
use crate::datastore::FolderEncoding;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::generated::{Login, RetrieveServiceContent, ServiceContent};
use crate::wire::{ApiVersion, Secret};

/// How long a stop waits for the answer to a login that is under way, to log out again.
const LOGIN_STOP_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Logs in unless `cancel` comes first. A login whose answer is still out then is waited for, for a
    /// moment, and logged out of. Dropping this future leaves no session either.
    ///
    /// # Errors
    /// As [`Session::login`], and [`ErrorKind::Cancelled`].
    pub async fn login_unless(config: &Config, cancel: &CancellationToken) -> Result<Self> {
        let stopped = || Error::new(ErrorKind::Cancelled, format!("log in to {}: stopped", config.url));
        let session = tokio::select! {
            session = Self::connect(config) => session?,
            () = cancel.cancelled() => return Err(stopped()),
        };
        let mut answer = session.authenticate_or_leave();
        let answer = tokio::select! {
            answer = &mut answer => answer,
            () = cancel.cancelled() => {
                if let Ok(Ok(Ok(()))) = timeout(LOGIN_STOP_TIMEOUT, answer).await {
                    session.leave().await;
                }
                return Err(stopped());
            }
        };
        answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Protocol, "log in: the login broke down")))?;
        session.start_keeper();
        let about = &session.content().about;
        info!(server = %config.url, product = %about.full_name, api = %session.version(), "logged in");
        Ok(session)
    }

    /// Agrees on a version and learns the server's objects; no login yet.
    async fn connect(config: &Config) -> Result<Self> {
        let http = Http::new(&config.url, &config.tls)?;
        let version = negotiate::version(&http).await?;
        let content = service_content(&http, version, config.patience.call).await?;
        let inner = Inner {
            config: config.clone(),
            http,
            version,
            content,
            generation: AtomicU64::new(0),
            renewal: Arc::default(),
            folder_encoding: FolderEncoding::default(),
            calls: AtomicU64::new(0),
            keeper: std::sync::Mutex::new(None),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Logs in on a task of its own: a request that was sent makes a session, also when nobody waits for
    /// the answer any more. It is logged out of then.
    fn authenticate_or_leave(&self) -> oneshot::Receiver<Result<()>> {
        let (give, take) = oneshot::channel();
        let session = self.clone();
        tokio::spawn(async move {
            if give.send(session.authenticate().await).is_err_and(|abandoned| abandoned.is_ok()) {
                session.leave().await;
            }
        });
        take
    }

    async fn leave(&self) {
        if let Err(error) = self.clone().logout().await {
            warn!(%error, "a session that nobody wants could not be ended");
        }
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
        self.send(&login, self.patience().call).await.map_err(|error| error.context(context()))?;
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Logs in again unless somebody else has done so since `seen`. The login runs on a task of its own and
    /// ends also when the wait for it does: half a login would be a session that nobody knows.
    pub(super) async fn renew_before(&self, seen: u64, deadline: Instant) -> Result<()> {
        let late = |_| Error::new(ErrorKind::Unreachable, format!("log in to {} again: no answer in time", self.url()));
        let refused = timeout_at(deadline, Arc::clone(&self.inner.renewal).lock_owned()).await.map_err(late)?;
        if *refused {
            let context =
                format!("log in to {} again: it was refused before, or the session was ended", self.inner.config.url);
            return Err(Error::new(ErrorKind::Login, context));
        }
        if self.generation() != seen {
            return Ok(());
        }
        info!(server = %self.inner.config.url, "the session is gone, logging in again");
        let renewal = tokio::spawn(self.clone().renew(refused));
        timeout_at(deadline, renewal)
            .await
            .map_err(late)?
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Protocol, "log in again: the login broke down")))
    }

    async fn renew(self, mut refused: OwnedMutexGuard<bool>) -> Result<()> {
        let result = self.authenticate().await;
        *refused = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Login);
        result
    }
}

async fn service_content(http: &Http, version: ApiVersion, limit: Duration) -> Result<ServiceContent> {
    let call = RetrieveServiceContent { this: service_instance() };
    send(http, &call, version, 0, limit).await
}
