//! The bytes of simulated disks.
//!
//! A disk is a row of grains of 64 KiB, as in the stream that an export sends. A seeded disk draws
//! them from a pool that is deflated once per process, so that a disk of any size costs no memory
//! and its stream hardly any CPU; a disk from a file is deflated while it is sent.
//!
//! ```text
//!  DiskContent ──GrainReader──► grains, ascending, zeros left out ──► export streams
//!              └─read_range───► raw bytes of any range             ──► judges
//! ```
//!
//! **Invariant:** both ways give the same bytes, and the same inventory gives the same bytes in
//! every run. Deliberately absent: writing. Guests of a simulator change nothing.

mod delta;
mod file;
mod grains;
mod pool;
mod random;
mod seeded;

pub use delta::Delta;
pub use grains::{Grain, GrainReader, Step};

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use diskimage::vmdk::stream_write::GRAIN_LEN;

use crate::error::{Error, ErrorKind, Result};
use crate::inventory::{Content, Disk};
use file::FileContent;
use seeded::Seeded;

pub(crate) use random::fill as fill_random;
pub(crate) use random::mix;

/// Bytes of a grain.
pub const GRAIN_BYTES: u64 = GRAIN_LEN as u64;

/// The bytes of one disk.
#[derive(Debug)]
pub struct DiskContent {
    capacity_bytes: u64,
    kind: Kind,
    populated_bytes: OnceLock<u64>,
}

#[derive(Debug)]
enum Kind {
    Seeded(Seeded),
    File(FileContent),
}

/// What makes two disks have the same bytes: then their streams and hashes are the same, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentKey {
    /// Seed, part of grains with data (in 2⁻³²), compressibility in percent, capacity.
    Seeded(u64, u64, u8, u64),
    /// File and capacity. The file is taken to stay as it is while the simulator runs.
    File(PathBuf, u64),
}

impl DiskContent {
    /// Opens the content of an inventory's disk.
    ///
    /// # Errors
    ///
    /// `Inventory` when its file cannot be opened or is longer than the disk.
    pub fn open(disk: &Disk) -> Result<Self> {
        let capacity_bytes = disk.size.0;
        let kind = match &disk.content {
            Content::Seeded { seed, fill, compressibility } => {
                Kind::Seeded(Seeded::new(*seed, *fill, *compressibility))
            }
            Content::File { path } => {
                let file = FileContent::open(path).map_err(|source| {
                    Error::new(ErrorKind::Inventory, format!("cannot open the disk content {}", path.display()))
                        .with_source(source)
                })?;
                if file.len_bytes() > capacity_bytes {
                    let context = format!(
                        "the disk content {} has {} bytes, more than its disk of {capacity_bytes}",
                        path.display(),
                        file.len_bytes()
                    );
                    return Err(Error::new(ErrorKind::Inventory, context));
                }
                Kind::File(file)
            }
        };
        Ok(Self { capacity_bytes, kind, populated_bytes: OnceLock::new() })
    }

    /// Returns the size of the disk.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Returns what identifies the bytes.
    #[must_use]
    pub fn key(&self) -> ContentKey {
        match &self.kind {
            Kind::Seeded(seeded) => {
                let (seed, fill, compressibility) = seeded.parameters();
                ContentKey::Seeded(seed, fill, compressibility, self.capacity_bytes)
            }
            Kind::File(file) => ContentKey::File(file.path().to_owned(), self.capacity_bytes),
        }
    }

    /// Returns a number that follows from what identifies the bytes; the same in every run.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let identity = match &self.kind {
            Kind::Seeded(seeded) => {
                let (seed, fill, compressibility) = seeded.parameters();
                mix(seed) ^ mix(fill ^ (u64::from(compressibility) << 40))
            }
            // Neither name nor time: a copy of the file is the same disk.
            Kind::File(file) => mix(file.len_bytes()),
        };
        mix(identity ^ self.capacity_bytes)
    }

    /// Returns whether grains come from memory, so that making a stream never waits for a disk.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        matches!(self.kind, Kind::Seeded(_))
    }

    /// Fills `buffer` with the disk's bytes from `offset`; what lies behind its end is zeros.
    ///
    /// # Errors
    ///
    /// When the file underneath cannot be read.
    pub fn read_range(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let inside = self.capacity_bytes.saturating_sub(offset);
        let inside = usize::try_from(inside).unwrap_or(usize::MAX).min(buffer.len());
        let (buffer, behind) = buffer.split_at_mut(inside);
        behind.fill(0);
        match &self.kind {
            Kind::Seeded(seeded) => seeded.read_range(offset, buffer),
            Kind::File(file) => file.read_range(offset, buffer)?,
        }
        Ok(())
    }

    /// Returns how many bytes of the disk lie in grains that hold data.
    ///
    /// Counted once and kept. A file is read for it.
    ///
    /// # Errors
    ///
    /// When the file underneath cannot be read.
    pub fn populated_bytes(&self) -> io::Result<u64> {
        if let Some(&bytes) = self.populated_bytes.get() {
            return Ok(bytes);
        }
        let bytes = match &self.kind {
            Kind::Seeded(seeded) => {
                let grains = self.grain_count();
                (0..grains).filter(|&index| seeded.has_data(index)).map(|index| self.grain_bytes(index)).sum()
            }
            Kind::File(file) => {
                let mut data = vec![0; GRAIN_LEN];
                let mut sum = 0;
                for index in 0..file.len_bytes().div_ceil(GRAIN_BYTES) {
                    file.read_range(index * GRAIN_BYTES, &mut data)?;
                    if data.iter().any(|&byte| byte != 0) {
                        sum += self.grain_bytes(index);
                    }
                }
                sum
            }
        };
        Ok(*self.populated_bytes.get_or_init(|| bytes))
    }

    /// Returns the number of grains, the last one perhaps short.
    fn grain_count(&self) -> u64 {
        self.capacity_bytes.div_ceil(GRAIN_BYTES)
    }

    /// Returns how many bytes of a grain belong to the disk.
    fn grain_bytes(&self, index: u64) -> u64 {
        (self.capacity_bytes - index * GRAIN_BYTES).min(GRAIN_BYTES)
    }
}

#[cfg(test)]
mod tests;
