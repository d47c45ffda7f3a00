//! Brings one VM out of its source as an OVF package.
//!
//! ```text
//!  log in ─► find ─► plan ─► claim names ─► (shut down) ─► (media out) ─► (snapshot) ─► lease ready ─► streams, all at once
//!                                                                                       │ renewed until the end
//!   log out ◄─ rename ◄─ (media back) ◄─ (remove snapshot) ◄─ complete ◄─ descriptor ◄─ manifest equal
//! ```
//!
//! On every other way out, an error or a stop at any point, the lease is aborted, the snapshot removed, media
//! are put back, the session ended, and what was written keeps its temporary name. A VM that was shut down
//! stays off, and the observer hears that.

mod adopt;
mod claim;
mod descriptor;
pub(crate) mod disks;
mod fetch;
mod file;
mod images;
mod lease;
mod media;
mod meter;
mod nvram;
mod package;
mod plan;
mod refusal;
mod snapshot;
mod streams;
mod verify;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vsphere::{Session, inventory};

use crate::names::file_name;
use crate::power::{self, Off};
use crate::rights::Directory;
use crate::source::{Source, close};
use crate::{Error, ErrorKind, Result, rights};
use claim::{Claim, Identity};
use lease::Proven;
use media::Out;
use meter::Reporter;
use package::Package;
use plan::Plan;
use snapshot::{Held, Wanted};

pub use crate::power::Shutdown;
pub use disks::DiskChoice;
pub(crate) use package::umask;
pub use snapshot::{Consistency, SnapshotPolicy, SnapshotReport};

/// How long a stop waits for the server to end what gives a VM back: a merge that it has begun, a medium on its
/// way into a drive.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// What to export, and where to.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Inventory path, or a name that fits exactly one VM.
    pub vm: String,
    /// Absolute target directory; made when missing.
    pub output: PathBuf,
    /// Export a snapshot that is made for this and removed after it, so that the VM may run. `None` exports
    /// the VM itself, which must be off.
    pub snapshot: Option<SnapshotPolicy>,
    /// Take a whole package of this VM that stands in the directory as the result, after it was read and compared
    /// with its manifest: an earlier run of the same export was cut off behind its last step. `false` refuses it.
    pub adopt: bool,
    /// Shut a VM that runs down first; it stays off. Not together with `snapshot`.
    pub shutdown: Option<Shutdown>,
    /// Take the media out of the VM's CD/DVD drives for the length of the export.
    pub eject_cdrom: bool,
    /// Describe the VM without its CD/DVD drives. The source is not changed.
    pub remove_cdrom: bool,
    /// Which disks.
    pub disks: DiskChoice,
}

/// A lease of the server on a VM, as of its last sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Id of the lease on the server.
    pub lease: String,
    /// Inventory path of the VM.
    pub vm_path: String,
    /// The server gives the VM free so long after the last renewal, which was now.
    pub timeout: Duration,
}

/// Where an export is. The order is the order of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Logging in and finding the VM.
    Connecting,
    /// Checking what can be exported and whether the target takes it.
    Planning,
    /// Waiting for the server to make the snapshot, where one was asked for, and the export lease ready.
    Preparing,
    /// Bytes are moving.
    Copying,
    /// Comparing hashes with the server's manifest.
    Verifying,
    /// Removing the snapshot, syncing and renaming.
    Finishing,
    /// Giving the VM back after a failure or a stop.
    Undoing,
}

/// How far one file of the export is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileProgress {
    /// Final file name, without directory.
    pub name: String,
    /// True for a disk.
    pub disk: bool,
    /// Bytes received.
    pub received_bytes: u64,
    /// For a disk: guest bytes covered so far (end of the highest grain seen); else as received.
    pub covered_bytes: u64,
    /// For a disk: its capacity; else the size that the server announced, 0 when unknown.
    pub total_bytes: u64,
    /// True once the file has arrived whole.
    pub complete: bool,
}

/// A whole picture of a running export, sent whenever something changed (at most ten a second).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the export is.
    pub phase: Phase,
    /// Inventory path, once the VM is found.
    pub vm_path: Option<String>,
    /// The files, in the order of the lease.
    pub files: Vec<FileProgress>,
}

/// Receives what an export has to say. Calls come from several threads and must not block.
pub trait Observer: Send + Sync {
    /// Something moved.
    fn progress(&self, progress: &Progress);
    /// Something odd but not fatal that a person should read.
    fn warning(&self, text: &str);
    /// The server holds the VM for this export: said when the lease is ready and at each renewal.
    fn holding(&self, _hold: &Hold) {}
    /// The lease of this id was completed or aborted. Not said when that could not be told to the server.
    fn released(&self, _lease: &str) {}
}

/// How a file's bytes were proven, weakest first; DESIGN names the grades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// TLS, a complete stream by its own markers and checksums, sizes right; the server gave no hash.
    Received,
    /// The hash that the host made of the stream it sent equals ours.
    Manifest,
}

/// One file of a finished package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// File name, without directory.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// For a disk: guest capacity in bytes.
    pub capacity_bytes: Option<u64>,
    /// For a disk: guest bytes that the stream carried.
    pub populated_bytes: Option<u64>,
    /// How it was proven; `None` for files that we wrote ourselves (`.ovf`, `.mf`).
    pub proof: Option<Proof>,
}

/// A finished export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Inventory path.
    pub vm_path: String,
    /// vCenter-unique id.
    pub instance_uuid: Option<String>,
    /// Directory of the package.
    pub directory: PathBuf,
    /// The descriptor's file name; everything else is named in it.
    pub descriptor: String,
    /// All files, descriptor and manifest included.
    pub files: Vec<FileReport>,
    /// Bytes received over the network for disks and nvram.
    pub received_bytes: u64,
    /// Milliseconds from the first request for bytes to the last byte.
    pub copy_ms: u64,
    /// The snapshot that was exported; `None` when it was the VM itself.
    pub snapshot: Option<SnapshotReport>,
    /// The weakest grade among the files; `None` for a VM without disks and nvram.
    pub proof: Option<Proof>,
}

/// Exports one VM.
///
/// Returns only when everything on the server is released again, also after an error or when
/// `cancel` is cancelled. On an error no wrong or incomplete file stands under a final name.
///
/// # Errors
/// See [`crate::ErrorKind`]; every message names the VM or the file it is about.
pub async fn export(
    source: &Source,
    request: &Request,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Result<Report> {
    let reporter = Reporter::new(observer);
    let session = source.open(&cancel).await?;
    // Set again, so that what is inside can insist on them.
    let rights = rights::at_entry();
    let result = rights.clone().scope(with_session(&session, request, &reporter, &cancel)).await;
    close(session).await;
    result.map_err(|error| rights.name_in(error))
}

async fn with_session(
    session: &Session,
    request: &Request,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<Report> {
    if request.snapshot.is_some() && request.shutdown.is_some() {
        let context = format!("export {}: a VM that is shut down needs no snapshot", request.vm);
        return Err(Error::new(ErrorKind::Usage, context).with_hint("leave --snapshot or --shutdown out"));
    }
    let find = async { Ok(inventory::find(session, &request.vm).await?) };
    let vm = unless(cancel, find).await?;
    reporter.vm_path(&vm.path);
    reporter.phase(Phase::Planning);
    let plan = unless(cancel, plan::plan(session, vm, request)).await?;
    plan.notes.iter().for_each(|note| reporter.warning(note));
    let name = file_name(&plan.vm.name);
    if request.adopt
        && let Some(report) = adopt::adopt(&request.output, &name, &plan, reporter).await?
    {
        return Ok(report);
    }
    let mut package = claim_names(request.output.clone(), name, plan.identity.clone()).await?;
    reporter.phase(Phase::Preparing);
    let work = Work { session, request, reporter, cancel };
    let mut cleared = work.clear_leftovers(&plan, &mut package).await;
    let copied = match work.bring_off(plan).await {
        Ok(plan) => work.without_media(plan, &mut package, &mut cleared).await,
        Err(error) => Err(error),
    };
    match copied {
        Ok((plan, proven, snapshot)) => lease::finish(plan, package, proven, snapshot, cleared).await,
        Err(error) => {
            package.end(cleared);
            Err(error)
        }
    }
}

/// What everything between claim and package needs.
#[derive(Clone, Copy)]
struct Work<'a> {
    session: &'a Session,
    request: &'a Request,
    reporter: &'a Reporter,
    cancel: &'a CancellationToken,
}

/// What was copied, out of what.
type Copied = (Plan, Proven, Option<SnapshotReport>);

impl Work<'_> {
    /// Undoes what earlier runs of this export have left. Returns false when something may still be there.
    async fn clear_leftovers(self, plan: &Plan, package: &mut Package) -> bool {
        let Self { session, request, reporter, cancel } = self;
        let noted = package.snapshots();
        let snapshots = snapshot::clear_leftovers(session, plan, request.snapshot, &noted, reporter, cancel).await;
        media::clear_leftovers(session, &plan.vm, package, reporter, cancel).await && snapshots
    }

    /// Shuts a VM that runs down where that was asked for, and plans anew for one that is off.
    async fn bring_off(self, plan: Plan) -> Result<Plan> {
        let Self { session, request, reporter, cancel } = self;
        let Some(shutdown) = request.shutdown.filter(|_| plan.runs()) else { return Ok(plan) };
        match power::shut_down(session, &plan.vm, shutdown, cancel).await? {
            Off::Already => {}
            Off::ByGuest => reporter.warning(&format!("shut {} down for this export; it stays off", plan.vm.path)),
            Off::ByForce => reporter.warning(&format!(
                "the guest of {} did not shut down, so its power was taken; it stays off",
                plan.vm.path
            )),
        }
        let again = async {
            let vm = inventory::read(session, &plan.vm.moref).await?;
            plan::plan(session, vm, request).await
        };
        unless(cancel, again).await
    }

    /// Copies while the media of the VM are out of their drives, where that was asked for. `cleared` becomes false
    /// when something may be left on the server.
    async fn without_media(self, plan: Plan, package: &mut Package, cleared: &mut bool) -> Result<Copied> {
        let Self { session, request, reporter, cancel } = self;
        let (out, taken) = match request.eject_cdrom {
            true => Out::take(session, &plan.vm, package, cancel).await,
            false => (None, Ok(())),
        };
        let copied = match taken {
            Ok(()) => self.with_snapshot(&plan, package, cleared).await,
            Err(error) => Err(error),
        };
        reporter.phase(if copied.is_ok() { Phase::Finishing } else { Phase::Undoing });
        if let Some(out) = out {
            *cleared &= out.put_back(package, reporter, cancel).await;
        }
        copied.map(|(proven, snapshot)| (plan, proven, snapshot))
    }

    /// Copies the VM, or a snapshot that is made for this. `cleared` as above.
    async fn with_snapshot(
        self,
        plan: &Plan,
        package: &mut Package,
        cleared: &mut bool,
    ) -> Result<(Proven, Option<SnapshotReport>)> {
        let Self { session, request, reporter, cancel } = self;
        let held = match request.snapshot {
            None => None,
            Some(policy) => {
                let wanted = Wanted::note(policy, package)?;
                let made = Held::make(session, plan, wanted, reporter, cancel).await;
                Some(made.map_err(|not_held| {
                    *cleared &= not_held.cleared;
                    not_held.error
                })?)
            }
        };
        let snapshot = held.as_ref().map(Held::report);
        let proven = lease::run(session, plan, held.as_ref().map(Held::moref), package, reporter, cancel).await;
        reporter.phase(if proven.is_ok() { Phase::Finishing } else { Phase::Undoing });
        if let Some(held) = held {
            *cleared &= held.remove(reporter, cancel).await;
        }
        Ok((proven?, snapshot))
    }
}

/// Makes the directory and claims the package's name in it.
async fn claim_names(directory: PathBuf, name: String, identity: Identity) -> Result<Package> {
    let rights = rights::current()?;
    blocking(move || {
        let directory = Directory::make(&rights, &directory)?;
        let claim = Claim::take(directory.path(), &name, &identity)?;
        Ok(Package::new(directory, claim))
    })
    .await
}

/// Runs `work` unless the export is stopped first; `work` is dropped then.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Err(stopped()),
    }
}

/// Runs work that gives something back, with a token that asks it to let go some time after a stop.
async fn with_patience<T, F>(cancel: &CancellationToken, giving_back: impl FnOnce(CancellationToken) -> F) -> T
where
    F: Future<Output = T>,
{
    let give_up = CancellationToken::new();
    let giving_back = giving_back(give_up.clone());
    let impatience = async {
        cancel.cancelled().await;
        tokio::time::sleep(STOP_PATIENCE).await;
        give_up.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = giving_back => done,
        () = impatience => unreachable!("impatience only lets go"),
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the export was stopped")
}

/// Runs work that blocks, with the job's rights, away from the threads that keep leases alive.
///
/// # Errors
/// Those of the work; [`ErrorKind::Internal`] where the job's rights are not known.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let rights = rights::current()?;
    match tokio::task::spawn_blocking(move || rights.run(work)?).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Internal, "a worker ended unexpectedly").with_source(error)),
    }
}

/// Makes the error of a target that cannot be written.
fn target_error(doing: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, or export into another directory",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a directory that you may write to"
        }
        _ => "check the directory",
    };
    Error::new(ErrorKind::Target, doing).with_hint(hint).with_source(error)
}
