//! Loads tables of numbers from a file, through the cache that a whole chain shares.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::image::ByteSource;
use crate::image::cache::Cache;
use crate::number::u64_from;
use crate::vmdk::layout::{SECTOR_BYTES, Sector};
use crate::{Error, Result};

/// Memory for tables: those of 64 GiB of the guest's disk at the usual grain, or of 1 GiB in
/// deltas with grains of one sector.
const TABLES_BYTES_MAX: u64 = 8 << 20;

/// Memory for expanded grains, which serve reads of less than a grain: 128 of the usual size.
const GRAINS_BYTES_MAX: u64 = 8 << 20;

/// The caches of one chain, whatever the number of its links and parts.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) tables: Cache<u64>,
    pub(super) grains: Cache<u8>,
    owners: AtomicU32,
}

impl Caches {
    /// Returns empty caches.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            tables: Cache::new(TABLES_BYTES_MAX),
            grains: Cache::new(GRAINS_BYTES_MAX),
            owners: AtomicU32::new(0),
        })
    }

    /// Returns the number under which one more part keeps its pieces.
    pub(super) fn owner(&self) -> u32 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }
}

/// Reads `len` bytes of a table that stands at a sector.
///
/// `len` comes from the format or from a checked header, never from a pointer.
pub(super) fn read_table(source: &dyn ByteSource, place: Sector, len: usize) -> Result<Vec<u8>> {
    let range = table_range(source, place, u64_from(len))?;
    let mut bytes = vec![0; len];
    source.read_at(range.start, &mut bytes)?;
    Ok(bytes)
}

/// Returns the bytes of a table that stands at a sector, when they lie in the file.
pub(super) fn table_range(source: &dyn ByteSource, place: Sector, len: u64) -> Result<Range<u64>> {
    let range = place.bytes().and_then(|start| Some(start..start.checked_add(len)?));
    range.filter(|range| range.end <= source.len_bytes()).ok_or_else(|| {
        Error::truncated("tables lie inside the file")
            .found(format!("{place}, the file ends at sector {}", source.len_bytes() / SECTOR_BYTES))
            .in_file(source.name())
    })
}

/// Iterates over numbers of 32 bits.
pub(super) fn numbers_32(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number))
}

/// Iterates over numbers of 64 bits.
pub(super) fn numbers_64(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number))
}
