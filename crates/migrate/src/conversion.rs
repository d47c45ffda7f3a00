//! Writes a disk or a package that lies here in another format.
//!
//! ```text
//!  Subject ─► source: each disk, readable at any place
//!                 ├─► images   one file per disk           ┐
//!                 ├─► folder   disks, descriptor, manifest ├─ each disk by convert::disk, resumable
//!                 └─► archive  the same in one file        ┘
//! ```
//!
//! The hardware of a machine goes with its disks into packages ([`folder`], [`archive`]); bare images have
//! no place for it.
//!
//! What it does not do: nothing is fetched from a server ([`crate::export`] does), and no guest is
//! changed.

mod archive;
mod described;
mod folder;
mod images;
mod meter;
mod paths;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use transfer::Cancel;

use crate::blocking::stoppable;
use crate::export::Observer;
use crate::subject::{OpenOptions, Subject};
use crate::{Error, ErrorKind, Result};
use meter::Meter;

/// What to convert, and into what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A disk image, a package, or a directory that holds one package.
    pub source: PathBuf,
    /// What is written: a file, a block device, or a directory for several disks.
    pub output: PathBuf,
    /// The form of what is written.
    pub format: Format,
    /// Compress the clusters of a qcow2.
    pub compression: Option<Compression>,
    /// Length of a cluster of a qcow2; `None`: the writer's default.
    pub cluster_bytes: Option<u64>,
    /// Replace what stands under the name of the output.
    pub replace: bool,
    /// Open files that the source names outside of its own folder.
    pub follow_outside: bool,
    /// The source is the bytes of a disk, whatever it looks like.
    pub source_is_raw: bool,
}

/// In which form a disk or a package is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// qcow2, version 3.
    Qcow2,
    /// A streamOptimized VMDK.
    Vmdk,
    /// A package in one archive.
    Ova,
    /// A package in a directory.
    Ovf,
}

/// How the clusters of a qcow2 are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// What every reader of qcow2 knows.
    Deflate,
    /// Faster to read; QEMU knows it since 5.1.
    Zstd,
}

/// A finished conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was made: a file, a block device or a directory.
    pub output: PathBuf,
    /// The disks, in the order of the source.
    pub disks: Vec<DiskReport>,
    /// The files that were made.
    pub files: Vec<FileReport>,
    /// Bytes of guest data read.
    pub read_bytes: u64,
    /// Bytes of guest data that an earlier run had written, and that were found right.
    pub kept_bytes: u64,
    /// Milliseconds that the copying took.
    pub copy_ms: u64,
}

/// One disk of a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskReport {
    /// The name of the file that holds it; for an archive the name of the member.
    pub name: String,
    /// Guest capacity.
    pub capacity_bytes: u64,
    /// Digest of what the guest sees, lower-case hexadecimal.
    pub content_blake3: Option<String>,
}

/// One file of a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Absolute path.
    pub path: PathBuf,
    /// Length.
    pub size_bytes: u64,
    /// Bytes that it takes on its file system.
    pub allocated_bytes: u64,
}

/// Converts what `request` says. After an error or a stop the partial files stay, and the same request
/// goes on from there.
///
/// # Errors
/// See [`ErrorKind`]; every message names the file it is about.
pub async fn convert(request: Request, observer: Arc<dyn Observer>, cancel: CancellationToken) -> Result<Report> {
    stoppable(cancel, move |cancel| run(&request, observer.as_ref(), cancel)).await
}

fn run(request: &Request, observer: &dyn Observer, cancel: &Cancel) -> Result<Report> {
    let begun = Instant::now();
    let shown = request.source.display();
    let options = OpenOptions { follow_outside: request.follow_outside, is_raw: request.source_is_raw };
    let subject = Subject::open(&request.source, options)?;
    paths::refuse_own_source(request)?;
    let of_machine = subject.machine.iter().flat_map(|machine| &machine.warnings);
    subject.warnings.iter().chain(of_machine).for_each(|warning| observer.warning(warning));
    if subject.disks.is_empty() {
        let context = format!("convert {shown}: it has no disk");
        return Err(Error::new(ErrorKind::Image, context));
    }
    let work = Work { request, meter: Meter::new(observer), cancel };
    let mut report = match request.format {
        Format::Raw | Format::Qcow2 | Format::Vmdk => images::convert(&work, subject)?,
        Format::Ovf => folder::convert(&work, subject)?,
        Format::Ova => archive::convert(&work, subject)?,
    };
    report.copy_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// What all parts of a conversion need.
struct Work<'a> {
    request: &'a Request,
    meter: Meter<'a>,
    cancel: &'a Cancel,
}
