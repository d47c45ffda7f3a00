//! Says what a disk image, a package or a `.vmx` is, without reading its data.
//!
//! A disk of a machine that cannot be read does not end the work: its problem stands in its place.

use std::path::{Path, PathBuf};

pub use diskimage::image::{Description, LinkDescription, PartDescription};
pub use diskimage::package::machine;
use machine::{Machine, Place};
use tokio_util::sync::CancellationToken;

use crate::blocking::stoppable;
pub use crate::subject::OpenOptions;
use crate::subject::{Content, Kind, Subject};
use crate::{Error, Result};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// What it is, as a word: `image`, `package`, `vmx`.
    pub kind: &'static str,
    /// Of a package.
    pub package: Option<PackageReport>,
    /// The machine that it describes; an image describes none.
    pub machine: Option<Machine>,
    /// The disks, in the order of the machine.
    pub disks: Vec<DiskReport>,
    /// What is odd about the whole.
    pub warnings: Vec<String>,
}

/// What holds a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageReport {
    /// The container, as a word: `folder`, `tar`, `tar.gz`, `tar.xz`, `zip`.
    pub container: &'static str,
    /// The name of the descriptor.
    pub descriptor: String,
    /// How many files the manifest speaks of; `None` without one.
    pub manifest_files: Option<u64>,
}

/// One disk.
#[derive(Debug)]
pub struct DiskReport {
    /// The file, as the subject names it; empty for a blank disk.
    pub name: String,
    /// Where the machine has it.
    pub place: Option<Place>,
    /// The size that the description says.
    pub declared_bytes: Option<u64>,
    /// What is known of its image.
    pub image: ImageReport,
}

/// What is known of an image.
#[derive(Debug)]
pub enum ImageReport {
    /// There is none: the disk is blank.
    Blank,
    /// It was opened.
    Known(Description),
    /// It is compressed as a whole, and nothing was unpacked.
    Packed,
    /// It cannot be read.
    Unreadable(Error),
}

/// Looks at what is at `path`.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Permission`], [`crate::ErrorKind::Image`].
pub async fn inspect(path: PathBuf, options: OpenOptions, cancel: CancellationToken) -> Result<Report> {
    stoppable(cancel, move |_| run(&path, options)).await
}

fn run(path: &Path, options: OpenOptions) -> Result<Report> {
    let subject = Subject::open(path, options)?;
    let (kind, package) = match subject.kind {
        Kind::Image => ("image", None),
        Kind::Vmx => ("vmx", None),
        Kind::Package { container, descriptor, manifest_files } => {
            let manifest_files = manifest_files.map(|files| u64::try_from(files).unwrap_or(u64::MAX));
            ("package", Some(PackageReport { container: container.word(), descriptor, manifest_files }))
        }
    };
    let mut disks = Vec::with_capacity(subject.disks.len());
    for disk in subject.disks {
        let image = match disk.content {
            Content::Blank => ImageReport::Blank,
            Content::Packed(_) => ImageReport::Packed,
            Content::Unreadable(error) => ImageReport::Unreadable(error),
            Content::Image(opened) => match opened.image.describe() {
                Ok(description) => ImageReport::Known(description),
                Err(error) => ImageReport::Unreadable(error.into()),
            },
        };
        disks.push(DiskReport { name: disk.name, place: disk.place, declared_bytes: disk.declared_bytes, image });
    }
    if let (None, [DiskReport { image: ImageReport::Unreadable(_), .. }]) = (&subject.machine, &disks[..]) {
        // There is nothing else to say about an image than that.
        if let Some(DiskReport { image: ImageReport::Unreadable(error), .. }) = disks.pop() {
            return Err(error.about(&format!("read {}", path.display())));
        }
    }
    Ok(Report { kind, package, machine: subject.machine, disks, warnings: subject.warnings })
}
