//! The daemon mode: opens the doors, guards them, and keeps serving until it is told to stop.
//!
//! ```text
//!  settings ─► state directory ─► tokens ─► doors (socket, TCP, given) ─► start token ─► ready
//!  SIGHUP ───► settings again ─► new router, guard, certificate, log level; connections stay
//!  SIGTERM ──► no new jobs ─► VMs given back ─► replies under way ─► socket and start token removed
//! ```
//!
//! What it does not do: nothing about jobs or routes; it only puts them behind doors.

mod parts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::compat::shared::Shared;
use crate::config::{Config, Flags, Settings};
use crate::engine::Configured;
use crate::guard::{Guard, Rates};
use crate::http::{self, State};
use crate::jobs::Jobs;
use crate::listen::{self, Door, Given};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::workers::Workers;
use crate::{config, logging, service};
use parts::{Doors, Token};

/// Longest wait for VMs to be given back. A server that does not answer for this long has to let its lease time
/// out by itself (300 s by default). The unit's `TimeoutStopSec` leaves room for it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(120);

/// Longest wait for replies under way after the last job has ended; event streams never end by themselves.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// Longest wait for blocking calls at the very end.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_millis(200);

/// How often callers who are gone are forgotten.
const FORGET_PERIOD: Duration = Duration::from_secs(60);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the daemon cannot start: a setting, a directory or an address does not do. What is wrong is named.
pub fn run(flags: &Flags, settings: Settings, given: Given, log: &logging::Handle) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let served = runtime.block_on(async {
        for note in &settings.notes {
            tracing::warn!("{note}");
        }
        let configured = configured(&settings.config);
        // Before the first door opens: whoever has had an answer may send a signal.
        let mut signals = Signals::watch()?;
        let daemon = Daemon::start(settings.config, configured, given).await?;
        // To the very end: what takes long there is a server that does not answer.
        let alive = tokio::spawn(service::keep_alive());
        service::ready("serving");
        until_told(&mut signals, &daemon, flags, log).await;
        service::stopping();
        daemon.stop().await;
        alive.abort();
        Ok(())
    });
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
    served
}

/// Returns the source that settings and environment name, or why there is none.
fn configured(config: &Config) -> Configured {
    let environment = |name: &str| std::env::var(name).ok();
    let configured = match config.source.variables(&environment) {
        Ok(Some(variables)) => Configured::from_env(&|name| variables.get(name).cloned()),
        Ok(None) => Configured::from_env(&environment),
        Err(reason) => Configured::broken(format!("{reason:#}")),
    };
    Configured { workers: Workers::of_machine(&config.exports), ..configured }
}

/// The signals that mean something to a daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("watch for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("watch for SIGINT")?,
            hangup: signal(SignalKind::hangup()).context("watch for SIGHUP")?,
        })
    }
}

/// Returns when a signal asks for the end; reloads whenever one asks for that.
async fn until_told(signals: &mut Signals, daemon: &Daemon, flags: &Flags, log: &logging::Handle) {
    let mut forget = tokio::time::interval(FORGET_PERIOD);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => reload(daemon, flags, log),
            _ = forget.tick() => daemon.rates.borrow().forget(),
        }
    }
}

/// Takes the settings anew. One that makes no sense changes nothing: the daemon goes on as it was.
fn reload(daemon: &Daemon, flags: &Flags, log: &logging::Handle) {
    service::reloading();
    let reloaded = config::load(flags, std::env::vars_os()).and_then(|settings| {
        daemon.reload(&settings.config, configured(&settings.config))?;
        log.set_level(settings.config.log.level)
    });
    match reloaded {
        Ok(()) => {
            tracing::info!("the settings were read again");
            service::ready("serving");
        }
        Err(reason) => {
            tracing::error!("the settings stay as they are: {reason:#}");
            service::ready("serving with the earlier settings; the log says why");
        }
    }
}

/// A daemon that serves.
#[derive(Debug)]
pub struct Daemon {
    started_with: Config,
    addresses: Vec<SocketAddr>,
    jobs: Jobs,
    store: Store,
    tokens: Tokens,
    metrics: Metrics,
    compat: Shared,
    rates: watch::Sender<Arc<Rates>>,
    router: watch::Sender<Router>,
    certificate: watch::Sender<Option<Arc<rustls::ServerConfig>>>,
    exposed: bool,
    tracker: TaskTracker,
    closing: CancellationToken,
    _doors: Option<listen::Socket>,
    _start_token: Token,
}

impl Daemon {
    /// Opens the doors that `config` names, or the `given` ones instead, and serves behind them.
    ///
    /// # Errors
    /// See [`run`].
    pub async fn start(config: Config, configured: Configured, given: Given) -> anyhow::Result<Self> {
        let group = parts::group(&config.auth.group)?;
        parts::state_directory(&config.state_dir)?;
        let tokens = Tokens::open(config.state_dir.join("tokens.json"))?;
        let doors = Doors::open(&config, group, given).await?;
        let addresses = doors.addresses();
        let exposed = doors.listeners.iter().any(listen::Listener::is_exposed);
        let certificate = parts::certificate(&config, exposed, &addresses)?;
        let rates = Arc::new(Rates::new(&config.limits));
        let directory = config.state_dir.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(&directory)).await?;
        let store = store.map_err(|error| anyhow::anyhow!("{}", error.chain()))?;
        let opened = Jobs::open(store.clone(), configured.clone(), config.jobs.settings()).await;
        let jobs = opened.map_err(|error| anyhow::anyhow!("{}", error.chain()))?;
        let metrics = Metrics::new();
        let compat = Shared::new();
        let state = State {
            configured,
            jobs: jobs.clone(),
            tokens: Some(tokens.clone()),
            metrics: metrics.clone(),
            compat: compat.with_roots(&config.exports.roots),
        };
        let guard = guard(&config, &addresses, &tokens, &rates, &metrics);
        let (router, routers) = watch::channel(guard.before(http::router(state)));
        let (certificate, certificates) = watch::channel(certificate);
        let tracker = TaskTracker::new();
        let closing = CancellationToken::new();
        let door = Door {
            router: routers,
            tls: certificates,
            connections: Arc::new(Semaphore::new(usize::try_from(config.limits.connections)?)),
            head_time_max: Duration::from_secs(config.limits.head_seconds.into()),
            tracker: tracker.clone(),
            closing: closing.clone(),
        };
        // Last, so that whoever finds the token finds somebody listening.
        let start_token = Token::write(&config.auth.start_token, tokens.start_token()?.expose(), group)?;
        for listener in doors.listeners {
            tracker.spawn(listen::serve(listener, door.clone()));
        }
        parts::say(&config, &addresses);
        Ok(Self {
            started_with: config,
            addresses,
            jobs,
            store,
            tokens,
            metrics,
            compat,
            rates: watch::Sender::new(rates),
            router,
            certificate,
            exposed,
            tracker,
            closing,
            _doors: doors.socket,
            _start_token: start_token,
        })
    }

    /// Returns the TCP addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes new settings; what needs a restart is said and stays. Connections and jobs go on.
    ///
    /// # Errors
    /// When a certificate cannot be read; nothing has changed then.
    pub fn reload(&self, config: &Config, configured: Configured) -> anyhow::Result<()> {
        let certificate = parts::certificate(config, self.exposed, &self.addresses)?;
        parts::say_what_stays(&self.started_with, config);
        let rates = Arc::new(Rates::new(&config.limits));
        let guard = guard(config, &self.addresses, &self.tokens, &rates, &self.metrics);
        let state = State {
            configured: configured.clone(),
            jobs: self.jobs.clone(),
            tokens: Some(self.tokens.clone()),
            metrics: self.metrics.clone(),
            compat: self.compat.with_roots(&config.exports.roots),
        };
        self.jobs.set_configured(configured);
        self.jobs.set_limits(config.jobs.limits());
        self.rates.send_replace(rates);
        self.certificate.send_replace(certificate);
        drop(self.router.send_replace(guard.before(http::router(state))));
        parts::say_what_is_open(config);
        Ok(())
    }

    /// Takes no more jobs, gives every VM back and closes the doors.
    pub async fn stop(self) {
        tracing::info!("stopping");
        if tokio::time::timeout(DRAIN_TIME_MAX, self.jobs.drain()).await.is_err() {
            tracing::error!("gave up waiting for the source to release its VMs");
        }
        self.store.close();
        self.closing.cancel();
        self.tracker.close();
        if tokio::time::timeout(CLOSE_TIME_MAX, self.tracker.wait()).await.is_err() {
            tracing::debug!("some replies were cut");
        }
    }
}

fn guard(config: &Config, addresses: &[SocketAddr], tokens: &Tokens, rates: &Arc<Rates>, metrics: &Metrics) -> Guard {
    let hosts = addresses.iter().map(|address| address.ip().to_string());
    Guard::new(&http::routes(), config, hosts, tokens.clone(), Arc::clone(rates), metrics.clone())
}
