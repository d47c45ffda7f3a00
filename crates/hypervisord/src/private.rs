//! The private mode: serves whoever started it, and ends with it.
//!
//! ```text
//!  bind (0700 directory, 0600 socket) ─► serve ─► standard input ends, or SIGTERM
//!        ─► no new jobs, cancel all, wait until every VM is given back ─► close ─► remove the socket
//! ```
//!
//! **Invariant:** it ends by itself, whatever becomes of its starter: the kernel closes the pipe on
//! its standard input also after `kill -9`. SIGINT and SIGHUP are ignored: a terminal sends them to
//! everybody in it, and what they mean is the starter's decision.

mod store;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Extension;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::engine::Configured;
use crate::http::{self, State};
use crate::jobs::Jobs;
use crate::jobs::settings::Settings;
use crate::store::Store;

/// Longest wait for VMs to be given back. A server that does not answer for this long has to let
/// its lease time out by itself (300 s by default).
const DRAIN_TIME_MAX: Duration = Duration::from_secs(120);

/// Longest wait for replies under way after the last job has ended.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// Longest wait for blocking calls (name look-ups) at the very end.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_millis(200);

/// Serves on `socket` with the source of the process's own environment, until its starter is gone.
///
/// # Errors
/// When the socket's directory is open to others, or listening fails.
pub fn run(socket: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let configured = Configured::from_env(&|name| std::env::var(name).ok());
    let served = runtime.block_on(async {
        let stop = CancellationToken::new();
        watch_starter(stop.clone()).context("watch for the end of the starter")?;
        let beside = socket.parent().context("find the socket's directory")?;
        let (store, kept) = store::open(&|name| std::env::var_os(name), beside)?;
        let served = serve(socket, store, configured, stop).await;
        kept.end();
        served
    });
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
    served
}

/// Serves on `socket` until `stop`, then gives every VM back and removes the socket and, when empty,
/// its directory: the starter made it for this alone, and may be dead.
///
/// # Errors
/// When the socket's directory is open to others, or listening fails.
pub async fn serve(socket: &Path, store: Store, configured: Configured, stop: CancellationToken) -> anyhow::Result<()> {
    let directory = socket.parent().context("find the socket's directory")?;
    check_private(directory)?;
    let listener = UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).context("close the socket to others")?;
    let opened = Jobs::open(store.clone(), configured.clone(), Settings::private()).await;
    let jobs = opened.map_err(|error| anyhow::anyhow!("{}", error.chain()))?;
    let closing = CancellationToken::new();
    let router = http::router(State::new(configured, jobs.clone())).layer(Extension(Caller::private()));
    let server = axum::serve(listener, router).with_graceful_shutdown(closing.clone().cancelled_owned());
    let mut server = tokio::spawn(server.into_future());
    tracing::info!("serving");
    let early = tokio::select! {
        () = stop.cancelled() => None,
        ended = &mut server => Some(ended),
    };
    tracing::info!("stopping");
    if tokio::time::timeout(DRAIN_TIME_MAX, jobs.drain()).await.is_err() {
        tracing::error!("gave up waiting for the source to release its VMs");
    }
    closing.cancel();
    let ended = match early {
        Some(ended) => ended,
        // A reader that does not read must not keep us alive.
        None => tokio::time::timeout(CLOSE_TIME_MAX, server).await.unwrap_or(Ok(Ok(()))),
    };
    store.close();
    remove(socket, directory);
    ended.context("serve")?.context("serve")
}

/// Refuses a directory that anybody else could enter: the socket takes orders without asking who.
fn check_private(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    let metadata = std::fs::symlink_metadata(directory).with_context(|| format!("look at {shown}"))?;
    if !metadata.is_dir() {
        bail!("listen in {shown}: it is no directory");
    }
    if metadata.mode() & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!("listen in {shown}: others can enter it (its mode must be 0700, its owner this user)");
    }
    Ok(())
}

fn remove(socket: &Path, directory: &Path) {
    // The starter removes them as well when it lives; whoever comes second finds nothing.
    if let Err(reason) = std::fs::remove_file(socket).and_then(|()| std::fs::remove_dir(directory)) {
        tracing::debug!(%reason, "the socket's directory was not removed");
    }
}

/// Cancels `stop` when standard input ends or SIGTERM comes; SIGINT and SIGHUP come to nothing.
fn watch_starter(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let ignored: [Signal; 2] = [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    let at_end = stop.clone();
    // A thread and not a task: a read of standard input cannot be cancelled, and a runtime would wait for
    // it when SIGTERM came first.
    std::thread::Builder::new().name("starter".to_owned()).spawn(move || {
        wait_for_end(std::io::stdin().lock());
        at_end.cancel();
    })?;
    tokio::spawn(async move {
        let _ignored = ignored;
        terminate.recv().await;
        stop.cancel();
    });
    Ok(())
}

/// Returns when `input` has ended or cannot be read; what it says does not matter.
fn wait_for_end(mut input: impl std::io::Read) {
    let mut scrap = [0u8; 64];
    loop {
        match input.read(&mut scrap) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
