//! Disk content from a file, followed by zeros up to the disk's capacity.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An opened file; it stays readable when its name goes away.
#[derive(Debug)]
pub(super) struct FileContent {
    file: File,
    path: PathBuf,
    len_bytes: u64,
}

impl FileContent {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self { file, path: path.to_owned(), len_bytes: metadata.len() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Fills `buffer` from `offset`; behind the end of the file there are zeros.
    pub(super) fn read_range(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let inside = usize::try_from(self.len_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (buffer, behind) = buffer.split_at_mut(inside.min(buffer.len()));
        behind.fill(0);
        self.file.read_exact_at(buffer, offset)
    }
}
