//! One process per store.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{Error, ErrorKind, Result};

/// Name of the file whose lock says that the store is in use. It stays; the kernel ends the lock with the process.
const LOCK_NAME: &str = "lock";

/// Holds the store's directory for this process.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock, or says that somebody has it.
    pub(super) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK_NAME);
        let doing = format!("lock {}", path.display());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(super::FILE_MODE)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(|error| Error::io(doing.as_str(), error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(Error::new(ErrorKind::Locked, format!("{doing}: another process uses this job store")))
            }
            Err(error) => Err(Error::io(doing, error.into())),
        }
    }
}
