//! What every writer does alike: bounds, and the end of its life by an error.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Whether a writer may still be used.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Set by the first error that leaves something unknown.
    failed: AtomicBool,
}

impl Life {
    /// Runs a call whose every error ends this life.
    ///
    /// The reason is the kernel: after a failed sync pages count as clean, so the next one would
    /// succeed and lie.
    pub(crate) fn run<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::misuse("a writer is not used after it failed"));
        }
        call().inspect_err(|_| self.failed.store(true, Ordering::Release))
    }
}

/// Checks that a range lies in a disk.
pub(crate) fn admit(offset: u64, len_bytes: u64, capacity_bytes: u64) -> Result<()> {
    match offset.checked_add(len_bytes) {
        Some(end) if end <= capacity_bytes => Ok(()),
        _ => Err(Error::misuse("a write or read lies inside the disk")
            .found(format!("{len_bytes} bytes at {offset} of {capacity_bytes}"))),
    }
}
