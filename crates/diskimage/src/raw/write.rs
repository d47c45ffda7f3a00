//! Writes a raw disk in any order, from several threads, over crashes.
//!
//! The life of a writer is that of [`crate::qcow2::write`]; here there is nothing to rebuild: every
//! byte has its place, so a checkpoint only says that there was a commit.
//!
//! A new file reads as zero, so blocks of 4 KiB that are zero are not written there; where
//! something was written before they become holes. A block device holds what its last user left,
//! so zeros are written, or long ranges of them left to the device. Who writes to a device covers
//! all of it.
//!
//! Deliberately absent: a mark that the disk is not complete. A raw disk has no place for one; its
//! temporary name says it.

mod written;

use std::sync::Mutex;

use libdeflater::crc32;

use crate::lock::lock;
use crate::number::u64_from;
use crate::output::{BLOCK_LEN, Life, Output, admit, for_each_run, is_zero};
use crate::{Error, ErrorKind, Result};
use written::Written;

/// What the size of a disk is a multiple of.
const SECTOR_BYTES: u64 = 512;

/// Zeros of at least this length are left to a block device; shorter ones are written like data,
/// which is cheaper than a request of its own.
const DEVICE_ZERO_LEN_MIN: usize = 64 << 10;

/// What a raw disk is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of the guest's disk: a multiple of 512, and not 0.
    pub capacity_bytes: u64,
}

impl Options {
    /// Returns the options for a disk.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes }
    }

    /// Checks that a disk can be so, before anything is written.
    ///
    /// # Errors
    /// `Misuse`.
    pub fn check(self) -> Result<()> {
        let bytes = self.capacity_bytes;
        if bytes > 0 && bytes.is_multiple_of(SECTOR_BYTES) {
            return Ok(());
        }
        let found = format!("{bytes} bytes");
        Err(Error::misuse("a disk has whole sectors of 512 bytes, and at least one").found(found))
    }
}

/// Writes a raw disk; see the module.
#[derive(Debug)]
pub struct RawWriter {
    output: Box<dyn Output>,
    capacity_bytes: u64,
    /// Where something may stand that is not zero.
    written: Written,
    /// Number of the next checkpoint.
    next: Mutex<u64>,
    life: Life,
}

impl RawWriter {
    /// Starts a disk; whatever a file holds is given up, a device is left as it is.
    ///
    /// # Errors
    /// `Misuse` for a size that no disk has, `Full` for a device that is smaller, `Io`.
    pub fn create(output: impl Output + 'static, options: Options) -> Result<Self> {
        options.check()?;
        let capacity_bytes = options.capacity_bytes;
        if output.starts_as_zero() {
            output.set_len_bytes(0).map_err(cannot_write)?;
            output.set_len_bytes(capacity_bytes).map_err(cannot_write)?;
            return Ok(Self::assemble(Box::new(output), capacity_bytes, Written::nothing(capacity_bytes), 0));
        }
        let there = output.len_bytes().map_err(cannot_write)?;
        if there < capacity_bytes {
            let found = format!("{there} bytes instead of {capacity_bytes}");
            return Err(Error::new(ErrorKind::Full, "a device is as large as the disk").found(found));
        }
        Ok(Self::assemble(Box::new(output), capacity_bytes, Written::anything(capacity_bytes), 0))
    }

    /// Goes on with a disk from the checkpoints that its commits returned, oldest first: all of
    /// them, or a prefix. An empty list is a start anew.
    ///
    /// # Errors
    /// `Checkpoint` when they are not of a disk of this size, or the file is not; it is then as it
    /// was. Else as [`Self::create`].
    pub fn reopen<C: AsRef<[u8]>>(output: impl Output + 'static, options: Options, checkpoints: &[C]) -> Result<Self> {
        options.check()?;
        let capacity_bytes = options.capacity_bytes;
        let mut next = 0;
        for bytes in checkpoints {
            if bytes.as_ref() != checkpoint(next, capacity_bytes) {
                return Err(Error::new(ErrorKind::Checkpoint, "a checkpoint is the next one of this disk"));
            }
            next += 1;
        }
        if checkpoints.is_empty() {
            return Self::create(output, options);
        }
        let there = output.len_bytes().map_err(cannot_write)?;
        let is_whole = if output.starts_as_zero() { there == capacity_bytes } else { there >= capacity_bytes };
        if !is_whole {
            let found = format!("{there} bytes of {capacity_bytes}");
            return Err(Error::new(ErrorKind::Checkpoint, "what a checkpoint names is there").found(found));
        }
        Ok(Self::assemble(Box::new(output), capacity_bytes, Written::anything(capacity_bytes), next))
    }

    fn assemble(output: Box<dyn Output>, capacity_bytes: u64, written: Written, next: u64) -> Self {
        Self { output, capacity_bytes, written, next: Mutex::new(next), life: Life::default() }
    }

    /// Returns the size of the guest's disk in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// `Misuse` outside of the disk, without effect. All others are final: what was written last
    /// has no defined value, and every later call fails.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        admit(offset, u64_from(bytes.len()), self.capacity_bytes)?;
        self.life.run(|| {
            if self.output.starts_as_zero() {
                return self.write_to_file(offset, bytes);
            }
            if bytes.len() >= DEVICE_ZERO_LEN_MIN && is_zero(bytes) {
                return self.output.zero(offset, u64_from(bytes.len())).map_err(cannot_write);
            }
            self.output.write_all_at(bytes, offset).map_err(cannot_write)
        })
    }

    /// Writes blocks that are not zero, and makes holes where others were written before.
    fn write_to_file(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        // Zeros first: what this call itself writes nearby must not count as written before.
        for_each_run(offset, bytes, |start, run, zero| {
            let range = offset + u64_from(start)..offset + u64_from(start + run.len());
            if !zero || self.written.next_in(range.clone()).is_none() {
                Ok(())
            } else if run.len() >= BLOCK_LEN {
                self.zero_written(range.start, range.end)
            } else {
                self.output.write_all_at(run, range.start).map_err(cannot_write)
            }
        })?;
        for_each_run(offset, bytes, |start, run, zero| {
            if zero {
                return Ok(());
            }
            let range = offset + u64_from(start)..offset + u64_from(start + run.len());
            // Before the write, so that zeros which come next are not left out.
            self.written.mark(range.clone());
            self.output.write_all_at(run, range.start).map_err(cannot_write)
        })
    }

    /// Makes a range of the disk read as zero; in a file what was never written costs nothing.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        admit(offset, len_bytes, self.capacity_bytes)?;
        self.life.run(|| self.zero_written(offset, offset + len_bytes))
    }

    fn zero_written(&self, start: u64, end: u64) -> Result<()> {
        let mut at = start;
        while let Some(run) = self.written.next_in(at..end) {
            self.output.zero(run.start, run.end - run.start).map_err(cannot_write)?;
            at = run.end;
        }
        Ok(())
    }

    /// Fills `buf` with what was written at `offset`.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        admit(offset, u64_from(buf.len()), self.capacity_bytes)?;
        let cannot_read = |source| Error::io("cannot read back the disk", source);
        self.life.run(|| self.output.read_exact_at(buf, offset).map_err(cannot_read))
    }

    /// Makes durable what was written by calls that had returned before, and returns a checkpoint.
    ///
    /// # Errors
    /// Final ones; what earlier checkpoints cover stays covered.
    pub fn commit(&self) -> Result<Vec<u8>> {
        self.life.run(|| {
            let mut next = lock(&self.next);
            self.output.sync().map_err(cannot_write)?;
            let bytes = checkpoint(*next, self.capacity_bytes);
            *next += 1;
            Ok(bytes)
        })
    }

    /// Makes the disk durable. It can be reopened afterwards with the same checkpoints.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn finish(self) -> Result<()> {
        self.life.run(|| self.output.sync().map_err(cannot_write))
    }
}

/// Returns checkpoint `number` of a disk: magic (8), number (8) and capacity (8), little-endian, and
/// the CRC-32 of these (4).
fn checkpoint(number: u64, capacity_bytes: u64) -> Vec<u8> {
    let mut bytes = b"rawdisk1".to_vec();
    bytes.extend(number.to_le_bytes());
    bytes.extend(capacity_bytes.to_le_bytes());
    bytes.extend(crc32(&bytes).to_le_bytes());
    bytes
}

fn cannot_write(source: std::io::Error) -> Error {
    Error::write("cannot write the disk", source)
}
