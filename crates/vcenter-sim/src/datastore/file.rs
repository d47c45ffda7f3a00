//! One file of a datastore: what is known about it, and its bytes at any offset.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::cowd::Cowd;
use super::layer::Base;
use super::region::copy_from;
use super::sesparse::SeSparse;
use crate::stream::Blob;

/// What a file is, in the words of `layoutEx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Config,
    Nvram,
    SnapshotList,
    Log,
    DiskDescriptor,
    DiskExtent,
    /// State of a snapshot.
    SnapshotData,
    /// Memory of a snapshot.
    SnapshotMemory,
    /// An image for CD-ROM drives; of no VM.
    Image,
}

impl FileKind {
    /// Returns the word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Nvram => "nvram",
            Self::SnapshotList => "snapshotList",
            Self::Log => "log",
            Self::DiskDescriptor => "diskDescriptor",
            Self::DiskExtent => "diskExtent",
            Self::SnapshotData => "snapshotData",
            Self::SnapshotMemory => "snapshotMemory",
            Self::Image => "image",
        }
    }
}

/// What keeps readers from a file of a VM that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Nothing does.
    Free,
    /// The VM writes to it.
    Written,
    /// The VM reads from it, below a link that it writes to.
    Read,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    /// Number of its datastore in [`super::Datastores`].
    pub(crate) datastore: usize,
    /// Path of its directory on the datastore, without slashes at its ends.
    pub(crate) directory: String,
    pub(crate) name: String,
    pub(crate) kind: FileKind,
    /// Bytes that a reader gets.
    pub(crate) size_bytes: u64,
    /// Bytes that it takes on the datastore; fewer for a thin disk.
    pub(crate) allocated_bytes: u64,
    /// Seconds since 1970 of the last change.
    pub(crate) modified: i64,
    pub(crate) lock: Lock,
    pub(crate) source: Source,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Kept whole; these are small.
    Text(Bytes),
    /// Noise of a seed.
    Noise { seed: u64, len_bytes: u64 },
    /// The bytes of a disk from an offset on.
    Flat { base: Arc<Base>, offset: u64 },
    /// A redo log.
    Cowd(Arc<Cowd>),
    /// A seSparse link.
    SeSparse(Arc<SeSparse>),
}

impl StoredFile {
    /// Returns the path on its datastore, `web01/web01.vmx`.
    pub(crate) fn path(&self) -> String {
        if self.directory.is_empty() { self.name.clone() } else { format!("{}/{}", self.directory, self.name) }
    }
}

impl Source {
    /// Makes the source of a text.
    pub(crate) fn text(text: String) -> Self {
        Self::Text(Bytes::from(text))
    }

    /// Returns whether reading never waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        match self {
            Self::Text(_) | Self::Noise { .. } => true,
            Self::Flat { base, .. } => base.is_in_memory(),
            Self::Cowd(link) => link.is_in_memory(),
            Self::SeSparse(link) => link.is_in_memory(),
        }
    }

    /// Fills `buffer` with the bytes from `offset`. The caller keeps inside of the file.
    ///
    /// # Errors
    ///
    /// When the file that holds a disk's content cannot be read.
    pub(crate) fn read_range(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + u64::try_from(done).expect("usize has at most 64 bits");
            let rest = &mut buffer[done..];
            done += match self {
                Self::Text(text) => copy_from(text, at, rest),
                Self::Noise { seed, .. } => {
                    Blob::read_range(*seed, at, rest);
                    rest.len()
                }
                Self::Flat { base, offset } => {
                    base.read_range(offset + at, rest)?;
                    rest.len()
                }
                Self::Cowd(link) => link.read_some(at, rest)?,
                Self::SeSparse(link) => link.read_some(at, rest)?,
            }
            .max(1);
        }
        Ok(())
    }
}
