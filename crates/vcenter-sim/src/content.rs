//! The bytes of simulated disks.
//!
//! A disk is a row of grains of 64 KiB, as in the stream that an export sends. A seeded disk draws
//! them from a pool that is deflated once per process, so that a disk of any size costs no memory
//! and its stream hardly any CPU; a disk from a file is deflated while it is sent.
//!
//! ```text
//!  DiskContent ──GrainReader──► grains, ascending, zeros left out ──► export streams
//!   │          └─read_range───► raw bytes of any range             ──► judges
//!   └ layered: what a guest wrote above snapshots ([`Delta`]), over the disk as it was
//! ```
//!
//! **Invariant:** both ways give the same bytes, and the same inventory gives the same bytes in
//! every run. Deliberately absent: writing. What a guest writes is known before it does.

mod delta;
mod file;
mod grains;
mod layers;
mod pool;
mod random;
mod seeded;

pub use delta::Delta;
pub use grains::{Grain, GrainReader, Step};

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use diskimage::vmdk::stream_write::GRAIN_LEN;

use crate::error::{Error, ErrorKind, Result};
use crate::inventory::{Content, Disk};
use file::FileContent;
use layers::Layers;
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
    Layered(Layers),
}

/// What makes two disks have the same bytes: then their streams and hashes are the same, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentKey {
    /// Seed, part of grains with data (in 2⁻³²), compressibility in percent, capacity.
    Seeded(u64, u64, u8, u64),
    /// File and capacity. The file is taken to stay as it is while the simulator runs.
    File(PathBuf, u64),
    /// What lies below, which disk of its VM it is, and seed and share of each link above, lowest first.
    Layered(Box<Self>, usize, Vec<(u64, u16)>),
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

    /// Puts what a guest wrote above the disk `disk` of its VM over `base`: the bytes that the guest
    /// sees with these links, lowest first. Links without writes change nothing, and are not kept.
    #[must_use]
    pub fn layered(base: &Arc<Self>, disk: usize, deltas: &[Delta]) -> Arc<Self> {
        let Some(layers) = Layers::new(base, disk, deltas) else { return Arc::clone(base) };
        let capacity_bytes = base.capacity_bytes;
        Arc::new(Self { capacity_bytes, kind: Kind::Layered(layers), populated_bytes: OnceLock::new() })
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
            Kind::Layered(layers) => layers.key(),
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
            Kind::Layered(layers) => layers.fingerprint(),
        };
        mix(identity ^ self.capacity_bytes)
    }

    /// Returns whether grains come from memory and deflated, so that making a stream neither waits for a
    /// disk nor takes long.
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
            Kind::Layered(layers) => layers.read_range(offset, buffer)?,
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
        let mut scratch = Vec::new();
        let mut bytes = 0;
        for index in (0..self.grain_count()).take_while(|&index| !self.is_zero_from(index)) {
            if self.is_populated(index, &mut scratch)? {
                bytes += self.grain_bytes(index);
            }
        }
        Ok(*self.populated_bytes.get_or_init(|| bytes))
    }

    /// Returns whether a grain may hold data: what is cheap to say, without reading a file.
    pub(crate) fn may_have_data(&self, index: u64) -> bool {
        match &self.kind {
            Kind::Seeded(seeded) => seeded.has_data(index),
            // Whoever writes a grain of a file leaves out zeros, which it must look for anyway.
            Kind::File(_) => !self.is_zero_from(index),
            Kind::Layered(layers) => layers.may_have_data(index),
        }
    }

    /// Returns whether it is plain that nothing but zeros follows from a grain on.
    pub(crate) fn is_zero_from(&self, index: u64) -> bool {
        match &self.kind {
            Kind::Seeded(seeded) => seeded.is_empty(),
            Kind::File(file) => index * GRAIN_BYTES >= file.len_bytes(),
            Kind::Layered(_) => false,
        }
    }

    /// Returns the pool that a grain comes from, unless it comes from elsewhere.
    fn seeded(&self, index: u64) -> Option<&Seeded> {
        match &self.kind {
            Kind::Seeded(seeded) => Some(seeded),
            Kind::File(_) => None,
            Kind::Layered(layers) => layers.seeded(index),
        }
    }

    /// Returns whether a grain does hold data; a file is read for it, into `scratch`.
    fn is_populated(&self, index: u64, scratch: &mut Vec<u8>) -> io::Result<bool> {
        if !self.may_have_data(index) {
            return Ok(false);
        }
        match &self.kind {
            Kind::Seeded(_) => Ok(true),
            Kind::Layered(layers) => layers.is_populated(index, scratch),
            Kind::File(file) => {
                scratch.resize(GRAIN_LEN, 0);
                file.read_range(index * GRAIN_BYTES, scratch)?;
                Ok(scratch.iter().any(|&byte| byte != 0))
            }
        }
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
