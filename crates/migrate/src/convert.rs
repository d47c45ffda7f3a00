//! Makes another image of a disk that lies here: any that can be read into any that can be written.
//!
//! ```text
//!  Source ─► whose is what lies there?  ─► journal: go on, or begin ─► copy ─► the source is what it was
//!            (names, partial, journal)                                            │
//!   Report ◄─ journal removed ◄─ directory synced ◄─ renamed ◄─ finished, synced ◄┘
//! ```
//!
//! * The image grows under a name of its own, `.NAME.part`, beside its journal `.NAME.part.journal`. The final
//!   name stands for a whole image, always. A stop, an error or a crash leaves both files, and the same
//!   call goes on from them.
//! * It goes on only if every file of the source is of the size and the time that it was: bytes of two
//!   states of a disk make a disk that never was. Else it starts anew and says so.
//! * **Invariant:** a file that no conversion wrote is replaced only when the caller says so, and the files
//!   of the source never.
//! * A block device has no temporary name and no final one; it is overwritten where it is. Where its journal
//!   goes is the caller's to say.
//!
//! What holes cost, how cores are used and what is re-read on a resume is [`crate::copy`]'s; how each format
//! is written over crashes, [`diskimage`]'s. Deliberately absent: packages of several disks, and async:
//! this blocks for as long as it takes.

mod device;
mod error;
mod file;
mod meter;
mod names;
mod resume;
mod source;

use std::path::{Path, PathBuf};

use transfer::Cancel;

use crate::copy;
use crate::sink::Format;
use crate::{Error, ErrorKind, Result};

pub(crate) use source::refuse_source;
pub use source::{Recorder, Source, digest};

/// Where an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file: written under another name, renamed when it is whole.
    File {
        /// Its final name.
        path: PathBuf,
    },
    /// A block device, overwritten from its start; raw only, and only while nobody uses it.
    Device {
        /// Its node, or a link to it.
        path: PathBuf,
        /// Where the journal of this conversion goes; without one, nothing can be resumed.
        journal: Option<PathBuf>,
    },
}

impl Target {
    /// Returns the target that a path is; a device has no journal then.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        use std::os::unix::fs::FileTypeExt as _;
        let path = path.to_owned();
        if path.metadata().is_ok_and(|found| found.file_type().is_block_device()) {
            return Self::Device { path, journal: None };
        }
        Self::File { path }
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path } | Self::Device { path, .. } => path,
        }
    }
}

/// How a disk is converted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What is written.
    pub format: Format,
    /// Whether files that stand in the way and are not ours are replaced.
    pub replace: bool,
    /// Threads, and when a commit is due.
    pub copy: copy::Options,
}

impl Options {
    /// Returns the usual options: one thread per core, nothing is replaced.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { format, replace: false, copy: copy::Options::local(workers) }
    }
}

/// Where a conversion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Bytes are moving.
    Copying,
    /// Tables are written, everything is synced and renamed.
    Finishing,
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub phase: Phase,
    /// Size of the guest's disk.
    pub total_bytes: u64,
    /// How much of it needs no more work: the sum of the following, and what is known to be zero.
    pub settled_bytes: u64,
    /// Read and written in this life.
    pub copied_bytes: u64,
    /// Written by an earlier life and found right.
    pub kept_bytes: u64,
}

/// Hears what a conversion has to say. Calls come from several threads and must not block.
pub trait Observer: Send + Sync {
    /// Something moved: at most ten times a second, and at every change of the phase.
    fn progress(&self, progress: &Progress);
    /// Something odd but not fatal that a person should read.
    fn warning(&self, text: &str);
}

impl Observer for () {
    fn progress(&self, _progress: &Progress) {}

    fn warning(&self, _text: &str) {}
}

/// A finished conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was written.
    pub path: PathBuf,
    /// Size of the guest's disk.
    pub capacity_bytes: u64,
    /// Length of the file; of a device, the part that was written.
    pub file_bytes: u64,
    /// What the file takes on its file system; of a device, as its length.
    pub allocated_bytes: u64,
    /// Bytes read from the source in this life.
    pub read_bytes: u64,
    /// Bytes that an earlier life had written and that were found right.
    pub kept_bytes: u64,
    /// Whether an earlier life was gone on with.
    pub resumed: bool,
    /// Digest of the guest's disk (see [`transfer::chunk`]): that of the source, computed while it was read.
    pub content_digest: [u8; 32],
}

/// Converts one disk; see the module. Blocks until it is done, and starts [`copy::Options::workers`] threads.
///
/// # Errors
/// `Usage` for options that fit no image, a target that is the source, or a format that does not fit the
/// target; `Target` for what stands in the way, is in use or full; `Image` when the source cannot be
/// read; `Verification` when it changed meanwhile; `Cancelled`. Partial file and journal stay.
pub fn disk(
    source: &Source,
    target: &Target,
    options: &Options,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<Report> {
    let job = Job { source, options, observer, cancel };
    source.refuse_as_target(target.path())?;
    if let Target::File { path } = target {
        refuse_special(path)?;
        let names = names::Names::of(path)?;
        [&names.part, &names.journal].into_iter().try_for_each(|beside| source.refuse_as_target(beside))?;
    }
    let checked = options.format.check(source.disk().capacity_bytes());
    checked.map_err(|reason| error::of_copy(format!("write {}", target.path().display()), reason))?;
    match target {
        Target::File { path } => file::convert(&job, path),
        Target::Device { path, journal } => device::convert(&job, path, journal.as_deref()),
    }
}

/// Refuses to put an image in the place of something that is neither a file nor a block device, for which
/// "replace" cannot be meant: `/dev/null`, a pipe, a socket.
pub(crate) fn refuse_special(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            let context = format!("write {}: it is no regular file", path.display());
            Err(Error::new(ErrorKind::Target, context).with_hint("name another file for the result"))
        }
        _ => Ok(()),
    }
}

/// What all parts of a conversion need.
struct Job<'a> {
    source: &'a Source,
    options: &'a Options,
    observer: &'a dyn Observer,
    cancel: &'a Cancel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_special_is_replaced_by_an_image() {
        let refused = refuse_special(Path::new("/dev/null")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Target);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.raw");
        refuse_special(&file).unwrap();
        std::fs::write(&file, "x").unwrap();
        refuse_special(&file).unwrap();
    }
}
