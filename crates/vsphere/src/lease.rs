//! Holds a VM for export and gives it back on every way out.
//!
//! ```text
//!  export_vm ─► initializing ─► ready ─┬─► complete        the VM is free
//!                   │                  ├─► abort           the VM is free
//!                   └─► error          └─► lost            it timed out, or its session died
//! ```
//!
//! While a lease lives the VM cannot be powered on or moved, so one that is left behind is an
//! incident. Hence: a timer of its own keeps it alive (received bytes do not), [`Lease::complete`] and
//! [`Lease::abort`] consume it, and a lease that is dropped otherwise aborts itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::error::{Error, ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::tls::Thumbprint;
use crate::wire::generated::{
    ExportSnapshot, ExportVm, HttpNfcLeaseAbort, HttpNfcLeaseComplete, HttpNfcLeaseGetManifest, HttpNfcLeaseInfo,
    HttpNfcLeaseManifestEntry, HttpNfcLeaseProgress, HttpNfcLeaseSetManifestChecksumType, HttpNfcLeaseState, KeyValue,
    LocalizedMethodFault, SystemError,
};
use crate::wire::{Method, MoRef};

/// Longest wait for a lease to become ready. Hosts open every disk first; large chains take minutes.
const READY_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Longest pause between two renewals, whatever the lease's timeout.
const RENEW_EVERY_MAX: Duration = Duration::from_secs(20);

/// Pause after a failed renewal.
const RENEW_RETRY: Duration = Duration::from_secs(1);

/// Bound on one renewal call, so that a hanging call does not eat the time for the next.
const RENEW_CALL: Duration = Duration::from_secs(10);

/// How often and how long an abort is tried: the VM stays blocked until one gets through.
const ABORT_TRIES: u32 = 5;
const ABORT_CALL: Duration = Duration::from_secs(20);

/// A file behind a lease.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseFile {
    /// Key of the device: `/vm-62/ParaVirtualSCSIController0:0`. The manifest uses it too.
    pub key: String,
    /// Where the bytes are. The ticket inside is the credential: never log it.
    pub url: String,
    /// Pin for that URL; `None` means the ordinary policy.
    pub thumbprint: Option<Thumbprint>,
    /// True for a disk, false for nvram and images.
    pub disk: bool,
    /// The server's file name, for example `disk-0.vmdk`; untrusted.
    pub target_id: String,
    /// Size in bytes; set for what is not a disk.
    pub size_bytes: Option<u64>,
}

impl std::fmt::Debug for LeaseFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseFile").field("key", &self.key).field("target_id", &self.target_id).finish_non_exhaustive()
    }
}

/// How much of an export is done, as the server shows it to its users.
#[derive(Clone, Debug)]
pub struct Percent(Arc<AtomicI32>);

impl Percent {
    /// Sets the share, 0 to 100. It never goes back.
    pub fn set(&self, percent: i32) {
        self.0.fetch_max(percent.clamp(0, 100), Ordering::Relaxed);
    }
}

/// The last time that the server took a sign of life, and how long it holds the VM after it.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// When its answer came, which is not before the server began to count anew.
    pub at: Instant,
    /// The lease ends so long after its last sign of life.
    pub timeout: Duration,
}

/// A ready export lease.
#[derive(Debug)]
pub struct Lease {
    session: Session,
    moref: MoRef,
    renewals: watch::Receiver<Renewal>,
    files: Vec<LeaseFile>,
    percent: Arc<AtomicI32>,
    lost: watch::Receiver<Option<String>>,
    keeper: JoinHandle<()>,
    /// True until the lease was completed or aborted.
    armed: bool,
}

impl Lease {
    /// Asks for the lease of a powered-off VM and waits until it is ready.
    ///
    /// # Errors
    /// What the server says ([`ErrorKind::State`] for a VM that runs or is busy), and
    /// [`ErrorKind::Cancelled`] when `cancel` came first. The VM is free again in every case.
    pub async fn export_vm(session: &Session, vm: &MoRef, cancel: &CancellationToken) -> Result<Self> {
        Self::ready(session, vm, &ExportVm { this: vm.clone() }, cancel).await
    }

    /// Asks for the lease of a snapshot and waits until it is ready. The VM may run: what is exported are
    /// its disks as they were when the snapshot was made, each as one flat disk.
    ///
    /// # Errors
    /// As [`Lease::export_vm`].
    pub async fn export_snapshot(session: &Session, snapshot: &MoRef, cancel: &CancellationToken) -> Result<Self> {
        Self::ready(session, snapshot, &ExportSnapshot { this: snapshot.clone() }, cancel).await
    }

    async fn ready<M: Method<Reply = MoRef> + Sync>(
        session: &Session,
        object: &MoRef,
        call: &M,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        // From here on the server may hold a lease, so this call is never dropped half way.
        let moref = session.call(object, call).await?;
        let pending = Pending { session: session.clone(), moref: Some(moref.clone()) };
        let ready = tokio::select! {
            ready = wait_ready(session, &moref) => ready,
            () = cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "wait for the export lease: stopped")),
        };
        match ready {
            Ok(info) => Ok(Self::start(pending, &info)),
            Err(error) => {
                pending.abort("the lease did not become ready").await;
                Err(gone(error))
            }
        }
    }

    fn start(mut pending: Pending, info: &HttpNfcLeaseInfo) -> Self {
        let session = pending.session.clone();
        let moref = pending.moref.take().unwrap_or_default();
        let files = info.device_url.iter().map(|url| LeaseFile {
            key: url.key.clone(),
            url: resolve(&url.url, &session.url().authority()),
            thumbprint: Thumbprint::parse(&url.ssl_thumbprint),
            disk: url.disk.unwrap_or(false),
            target_id: url.target_id.clone().unwrap_or_default(),
            size_bytes: url.file_size.and_then(|size| u64::try_from(size).ok()),
        });
        let files = files.collect();
        let percent = Arc::new(AtomicI32::new(0));
        let (report, lost) = watch::channel(None);
        let timeout = Duration::from_secs(u64::try_from(info.lease_timeout).unwrap_or(0).max(1));
        let (renewed, renewals) = watch::channel(Renewal { at: Instant::now(), timeout });
        let keeper =
            Keeper { session: session.clone(), moref: moref.clone(), percent: Arc::clone(&percent), timeout, renewed };
        let keeper = tokio::spawn(keeper.run(report));
        Self { session, moref, renewals, files, percent, lost, keeper, armed: true }
    }

    /// Returns the id on the server.
    pub fn moref(&self) -> &MoRef {
        &self.moref
    }

    /// Returns the renewals as they come, the latest first; the first is the moment when the lease was ready.
    pub fn renewals(&self) -> watch::Receiver<Renewal> {
        self.renewals.clone()
    }

    /// Returns the files, disks and others, in the server's order.
    pub fn files(&self) -> &[LeaseFile] {
        &self.files
    }

    /// Returns what the renewals report, to be moved by whoever knows the progress.
    pub fn percent(&self) -> Percent {
        Percent(Arc::clone(&self.percent))
    }

    /// Resolves with the reason once the lease is gone without us having ended it.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        let reason = lost.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
        match reason {
            Ok(reason) => reason,
            // The keeper ends without a word only when the lease is over in the ordinary way.
            Err(_) => std::future::pending().await,
        }
    }

    /// Asks whether the lease still holds, for whoever has seen something that its end would explain.
    /// Returns why it does not; `None` also when the server cannot be asked.
    pub async fn gone(&self) -> Option<String> {
        // Not a renewal: that may fail for reasons of its own.
        let read = properties::read(&self.session, &self.moref, &["state", "error"]);
        match timeout(RENEW_CALL, read).await.ok()? {
            Ok(object) => match object.get::<HttpNfcLeaseState>("state") {
                Ok(Some(HttpNfcLeaseState::Error | HttpNfcLeaseState::Done)) => {
                    let fault = object.get::<LocalizedMethodFault>("error").ok().flatten();
                    Some(fault.map_or_else(|| "it gives no reason".to_owned(), |fault| words(&fault)))
                }
                _ => None,
            },
            Err(error) => {
                let over = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::SessionLost | ErrorKind::Login);
                over.then(|| error.fault().map_or_else(|| error.to_string(), ToString::to_string))
            }
        }
    }

    /// Asks the host to hash with SHA-256 what it sends. Returns false where the server cannot; its
    /// manifest has SHA-1 then.
    ///
    /// # Errors
    /// What else the server says.
    pub async fn want_sha256(&self) -> Result<bool> {
        let call = HttpNfcLeaseSetManifestChecksumType {
            this: self.moref.clone(),
            device_urls_to_checksum_types: self
                .files
                .iter()
                .map(|file| KeyValue { key: file.key.clone(), value: "sha256".to_owned() })
                .collect(),
        };
        match self.session.call(&self.moref, &call).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::State) => {
                debug!(%error, "the manifest will have SHA-1");
                Ok(false)
            }
            Err(error) => Err(gone(error)),
        }
    }

    /// Returns the hashes and sizes of what the host sent; to be asked after the last byte and before
    /// [`Lease::complete`]. `None` where the server has no manifest.
    ///
    /// # Errors
    /// What else the server says.
    pub async fn manifest(&self) -> Result<Option<Vec<HttpNfcLeaseManifestEntry>>> {
        let call = HttpNfcLeaseGetManifest { this: self.moref.clone() };
        match self.session.read(&self.moref, &call).await {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(gone(error)),
        }
    }

    /// Ends the lease as a success.
    ///
    /// # Errors
    /// What the server says; the lease was aborted then.
    pub async fn complete(mut self) -> Result<()> {
        let call = HttpNfcLeaseComplete { this: self.moref.clone() };
        let result = self.session.call(&self.moref, &call).await;
        self.keeper.abort();
        self.armed = false;
        if let Err(error) = result {
            abort(&self.session, &self.moref, "the lease could not be completed").await;
            return Err(error);
        }
        Ok(())
    }

    /// Ends the lease as a failure. Never fails itself: it tries several times, and what is left then
    /// ends with the lease's timeout.
    pub async fn abort(mut self, reason: &str) {
        self.keeper.abort();
        self.armed = false;
        abort(&self.session, &self.moref, reason).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
        if self.armed {
            abort_in_background(&self.session, &self.moref);
        }
    }
}

/// A lease that is not ready yet; dropped, it aborts like [`Lease`].
struct Pending {
    session: Session,
    moref: Option<MoRef>,
}

impl Pending {
    async fn abort(mut self, reason: &str) {
        if let Some(moref) = self.moref.take() {
            abort(&self.session, &moref, reason).await;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(moref) = &self.moref {
            abort_in_background(&self.session, moref);
        }
    }
}

/// A future was dropped or a task panicked: nobody waits, so a task of its own aborts.
fn abort_in_background(session: &Session, moref: &MoRef) {
    let (session, moref) = (session.clone(), moref.clone());
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move { abort(&session, &moref, "the export ended unexpectedly").await });
    }
}

async fn abort(session: &Session, moref: &MoRef, reason: &str) {
    let fault = LocalizedMethodFault {
        fault: SystemError { reason: reason.to_owned(), ..SystemError::default() }.into(),
        localized_message: Some(reason.to_owned()),
    };
    let call = HttpNfcLeaseAbort { this: moref.clone(), fault: Some(fault) };
    for attempt in 1..=ABORT_TRIES {
        match session.call_within(moref, &call, ABORT_CALL).await {
            Ok(()) => return,
            // Whatever ended it, it is not there any more.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::State) => return,
            // Nobody lets us in any more, and accounts lock: the lease ends with its timeout.
            Err(error) if error.kind() == ErrorKind::Login => {
                warn!(%moref, error = %error, "the export lease is left to its timeout");
                return;
            }
            Err(error) => warn!(%moref, attempt, error = %error, "abort the export lease"),
        }
        tokio::time::sleep(RENEW_RETRY).await;
    }
}

async fn wait_ready(session: &Session, moref: &MoRef) -> Result<HttpNfcLeaseInfo> {
    let state = |object: &Object| object.get::<HttpNfcLeaseState>("state").ok().flatten();
    let settled = |object: &Object| match state(object) {
        Some(HttpNfcLeaseState::Ready) => matches!(object.get::<HttpNfcLeaseInfo>("info"), Ok(Some(_)) | Err(_)),
        Some(HttpNfcLeaseState::Error | HttpNfcLeaseState::Done) => true,
        _ => false,
    };
    let paths = ["state", "info", "error"];
    let object = properties::wait_until(session, moref, &paths, READY_LIMIT, settled).await?;
    if state(&object) == Some(HttpNfcLeaseState::Ready) {
        return object.require("info");
    }
    let doing = "wait for the export lease";
    match object.get::<LocalizedMethodFault>("error")? {
        Some(fault) => Err(Error::from_fault(doing, &fault)),
        None => Err(Error::new(ErrorKind::Fault, doing).with_source("no reason given")),
    }
}

/// Returns what a fault says, or its name.
fn words(fault: &LocalizedMethodFault) -> String {
    match &fault.localized_message {
        Some(text) if !text.is_empty() => text.clone(),
        _ => fault.fault.type_name().to_owned(),
    }
}

/// A lease that is not found any more has timed out or went with its session: no other object is missing.
fn gone(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::SessionLost => {
            Error::new(ErrorKind::SessionLost, "the server has ended the export lease").with_source(error)
        }
        _ => error,
    }
}

/// Puts the server's own address where a host says `*`: "the host that you are talking to".
fn resolve(url: &str, authority: &str) -> String {
    match url.split_once("://*") {
        Some((scheme, rest)) => {
            // A port behind the asterisk would be the host's own idea; behind NAT only ours is right.
            let path = rest.find('/').map_or("", |start| &rest[start..]);
            format!("{scheme}://{authority}{path}")
        }
        None => url.to_owned(),
    }
}

/// Renews a lease until it is told to stop or the lease is gone.
struct Keeper {
    session: Session,
    moref: MoRef,
    percent: Arc<AtomicI32>,
    timeout: Duration,
    renewed: watch::Sender<Renewal>,
}

impl Keeper {
    async fn run(self, lost: watch::Sender<Option<String>>) {
        let every = (self.timeout / 10).min(RENEW_EVERY_MAX);
        let mut renewed = Instant::now();
        loop {
            let call = HttpNfcLeaseProgress { this: self.moref.clone(), percent: self.percent.load(Ordering::Relaxed) };
            let pause = match self.session.call_within(&self.moref, &call, RENEW_CALL.min(self.timeout)).await {
                Ok(()) => {
                    renewed = Instant::now();
                    self.renewed.send_replace(Renewal { at: renewed, timeout: self.timeout });
                    every
                }
                Err(error) => {
                    // A lost session was renewed by now; whether the lease outlived it says the next call.
                    let hopeless = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Login);
                    if hopeless || renewed.elapsed() >= self.timeout {
                        let reason = error.fault().map_or_else(|| error.to_string(), ToString::to_string);
                        lost.send_replace(Some(reason));
                        return;
                    }
                    debug!(%error, "the lease was not renewed");
                    RENEW_RETRY.min(every)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stands_for_the_server_itself_and_its_port() {
        let cases = [
            ("https://*/ha-nfc/5227/disk-0.vmdk", "https://vc:8443/ha-nfc/5227/disk-0.vmdk"),
            ("https://*:443/nfc/1/d", "https://vc:8443/nfc/1/d"),
            ("https://esx7.lab/nfc/1/d*", "https://esx7.lab/nfc/1/d*"),
        ];
        for (url, expected) in cases {
            assert_eq!(resolve(url, "vc:8443"), expected, "{url}");
        }
    }

    #[test]
    fn debug_output_has_no_ticket() {
        let file = LeaseFile {
            key: "/vm-1/x0:0".into(),
            url: "https://esx/nfc/secret-ticket/disk-0.vmdk".into(),
            thumbprint: None,
            disk: true,
            target_id: "disk-0.vmdk".into(),
            size_bytes: None,
        };
        assert!(!format!("{file:?}").contains("secret-ticket"));
    }
}
