//! Brings one VM out of its source as an OVF package.
//!
//! ```text
//!  log in ─► find ─► plan ─► claim names ─► (snapshot) ─► lease ready ─► streams, all files at once
//!                                                           │ renewed by a timer until the end
//!   log out ◄─ rename ◄─ (remove it) ◄─ complete ◄─ descriptor ◄─ manifest equal
//! ```
//!
//! On every other way out, an error or a stop at any point, the lease is aborted, the snapshot removed,
//! the session ended, and what was written keeps its temporary name.

mod adopt;
mod claim;
mod descriptor;
mod fetch;
mod file;
mod images;
mod lease;
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
use crate::rights::Directory;
use crate::source::{Source, close};
use crate::{Error, ErrorKind, Result, rights};
use claim::{Claim, Identity};
use meter::Reporter;
use package::Package;
use plan::Plan;
use snapshot::{Held, Wanted};

pub(crate) use package::umask;
pub use snapshot::{Consistency, SnapshotPolicy, SnapshotReport};

/// What to export, and where to.
#[derive(Clone, Debug)]
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
    let find = async { Ok(inventory::find(session, &request.vm).await?) };
    let vm = unless(cancel, find).await?;
    reporter.vm_path(&vm.path);
    reporter.phase(Phase::Planning);
    let plan = unless(cancel, plan::plan(session, vm, request.snapshot)).await?;
    plan.notes.iter().for_each(|note| reporter.warning(note));
    let name = file_name(&plan.vm.name);
    if request.adopt
        && let Some(report) = adopt::adopt(&request.output, &name, &plan, reporter).await?
    {
        return Ok(report);
    }
    let mut package = claim_names(request.output.clone(), name, plan.identity.clone()).await?;
    reporter.phase(Phase::Preparing);
    let noted = package.snapshots();
    let mut cleared = snapshot::clear_leftovers(session, &plan, request.snapshot, &noted, reporter, cancel).await;
    let held = match request.snapshot {
        None => None,
        Some(policy) => {
            let (wanted, same) = Wanted::note(policy, package, cleared).await?;
            package = same;
            match Held::make(session, &plan, wanted, reporter, cancel).await {
                Ok(held) => Some(held),
                Err(not_held) => {
                    package.end(cleared && not_held.cleared);
                    return Err(not_held.error);
                }
            }
        }
    };
    let snapshot = held.as_ref().map(Held::report);
    let proven = lease::run(session, &plan, held.as_ref().map(Held::moref), &mut package, reporter, cancel).await;
    reporter.phase(if proven.is_ok() { Phase::Finishing } else { Phase::Undoing });
    if let Some(held) = held {
        cleared &= held.remove(reporter, cancel).await;
    }
    match proven {
        Ok(proven) => lease::finish(plan, package, proven, snapshot, cleared).await,
        Err(error) => {
            package.end(cleared);
            Err(error)
        }
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
