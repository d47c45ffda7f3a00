//! The tables of an image: read, checked, and kept within bounds.

use std::ops::Range;
use std::sync::Arc;

use super::super::entry::{self, Mapping};
use super::super::header::Header;
use super::super::layout::{ENTRY_BYTES, ENTRY_LEN, Geometry};
use crate::image::ByteSource;
use crate::image::cache::Cache;
use crate::number::{clip, u64_from};
use crate::{Error, Result};

/// Entries of a slice of an L2 table; 32 KiB.
const SLICE_ENTRIES: u64 = 4096;

/// Memory for slices: 4 MiB, enough for 32 GiB of disk in clusters of 64 KiB.
const SLICES_BYTES_MAX: u64 = 4 << 20;

/// How much of a table is read at a time.
const READ_LEN: usize = 64 << 10;

/// Where the tables are, and those parts of them that were used last.
#[derive(Debug)]
pub(super) struct Tables {
    /// Position of each L2 table, 0 for none.
    l1: Vec<u64>,
    /// First clusters of L2 tables and of blocks of counts, ascending.
    single: Vec<u64>,
    /// Header, L1 table, refcount table.
    fixed: [Range<u64>; 3],
    /// By position in the file.
    slices: Cache<u64>,
}

impl Tables {
    /// Reads the L1 table and finds where tables are.
    pub(super) fn open(source: &dyn ByteSource, header: &Header, warnings: &mut Vec<String>) -> Result<Self> {
        let geometry = header.geometry();
        let file_bytes = source.len_bytes();
        let fixed = [0..geometry.cluster_bytes(), header.l1_range(), header.refcount_table_range()];
        let l1_start = header.l1_range().start;
        let in_use = l1_start..l1_start + header.l1_entries_in_use() * ENTRY_BYTES;
        let mut l1 = Vec::new();
        let mut single = Vec::new();
        for_each_entry(source, in_use, |at, raw| {
            let table = entry::decode_l1(raw, geometry).map_err(|error| error.at(at))?.unwrap_or(0);
            if table != 0 {
                check_table(table, geometry, file_bytes, &fixed).map_err(|error| error.at(at))?;
                single.push(table);
            }
            l1.push(table);
            Ok(())
        })
        .map_err(|error| error.in_file(source.name()))?;
        single.sort_unstable();
        if let Some(twice) = single.windows(2).find(|pair| pair[0] == pair[1]) {
            let error = Error::corrupt("an L2 table is used once").at(twice[0]);
            return Err(error.in_file(source.name()));
        }
        // The counts of an image that was not closed may point anywhere.
        if !header.is_dirty() {
            add_refcount_blocks(source, header, &fixed, &mut single, warnings)?;
        }
        Ok(Self { l1, single, fixed, slices: Cache::new(SLICES_BYTES_MAX) })
    }

    /// Returns whether an L2 table is not there, so that nothing of what it covers is.
    pub(super) fn is_absent(&self, table: u64) -> bool {
        usize::try_from(table).ok().and_then(|table| self.l1.get(table)).is_none_or(|place| *place == 0)
    }

    /// Returns what the tables say about a guest cluster.
    pub(super) fn mapping(&self, source: &dyn ByteSource, header: &Header, cluster: u64) -> Result<Mapping> {
        let geometry = header.geometry();
        let (table, index) = (cluster / geometry.l2_entries(), cluster % geometry.l2_entries());
        let Some(place) = usize::try_from(table).ok().and_then(|table| self.l1.get(table)).filter(|place| **place != 0)
        else {
            return Ok(Mapping::Unallocated);
        };
        let (slice, slot) = (index / SLICE_ENTRIES, index % SLICE_ENTRIES);
        let entries = self.slice(source, geometry, *place, slice)?;
        let entry = entries[usize::try_from(slot).expect("less than a slice")];
        entry::decode_l2(entry, geometry, header.has_zero_flag())
            .map_err(|error| error.at(place + index * ENTRY_BYTES).in_file(source.name()))
    }

    fn slice(&self, source: &dyn ByteSource, geometry: Geometry, place: u64, slice: u64) -> Result<Arc<[u64]>> {
        let first = slice * SLICE_ENTRIES;
        let count = (geometry.l2_entries() - first).min(SLICE_ENTRIES);
        let start = place + first * ENTRY_BYTES;
        self.slices.get((0, start), || {
            let mut entries = Vec::with_capacity(clip(READ_LEN, count));
            for_each_entry(source, start..start + count * ENTRY_BYTES, |_, entry| {
                entries.push(entry);
                Ok(())
            })?;
            Ok(entries.into())
        })
    }

    /// Returns whether bytes of the file belong to a table.
    pub(super) fn overlaps(&self, bytes: &Range<u64>, geometry: Geometry) -> bool {
        let first = bytes.start - bytes.start % geometry.cluster_bytes();
        let next = self.single.partition_point(|table| *table < first);
        self.single.get(next).is_some_and(|table| *table < bytes.end)
            || self.fixed.iter().any(|table| table.start < bytes.end && bytes.start < table.end)
    }
}

/// Checks where an L2 table or a block of counts lies.
fn check_table(table: u64, geometry: Geometry, file_bytes: u64, fixed: &[Range<u64>; 3]) -> Result<()> {
    let end = table + geometry.cluster_bytes();
    if end > file_bytes {
        return Err(Error::truncated("a table lies inside the file").found(format!("at {table}")));
    }
    if fixed.iter().any(|other| other.start < end && table < other.end) {
        return Err(Error::corrupt("tables do not overlap").found(format!("at {table}")));
    }
    Ok(())
}

/// Adds the places of the blocks of counts: data and L2 tables must not lie there. What else is
/// wrong with them harms no reader.
fn add_refcount_blocks(
    source: &dyn ByteSource,
    header: &Header,
    fixed: &[Range<u64>; 3],
    single: &mut Vec<u64>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let geometry = header.geometry();
    let mut blocks = Vec::new();
    let mut damaged = 0_u64;
    let l2_tables = &*single;
    for_each_entry(source, header.refcount_table_range(), |_, raw| {
        let good = |block: &u64| check_table(*block, geometry, source.len_bytes(), fixed).is_ok();
        // A position is all that such an entry has, at the same bits as in the L1 table.
        match entry::decode_l1(raw, geometry) {
            Ok(None) => {}
            Ok(Some(block)) if l2_tables.binary_search(&block).is_ok() => {
                let error = Error::corrupt("an L2 table is no block of counts").at(block);
                return Err(error.in_file(source.name()));
            }
            Ok(Some(block)) if good(&block) => blocks.push(block),
            Ok(Some(_)) | Err(_) => damaged += 1,
        }
        Ok(())
    })?;
    if damaged > 0 {
        warnings.push(format!("{damaged} entries of its refcount table are damaged"));
    }
    single.extend(blocks);
    single.sort_unstable();
    Ok(())
}

/// Calls `each` with the position and value of every entry in a range of the file.
fn for_each_entry(
    source: &dyn ByteSource,
    bytes: Range<u64>,
    mut each: impl FnMut(u64, u64) -> Result<()>,
) -> Result<()> {
    let mut at = bytes.start;
    let mut buffer = vec![0; clip(READ_LEN, bytes.end - bytes.start)];
    while at < bytes.end {
        let piece = &mut buffer[..clip(READ_LEN, bytes.end - at)];
        source.read_at(at, piece)?;
        let (entries, _) = piece.as_chunks::<ENTRY_LEN>();
        for entry in entries {
            each(at, u64::from_be_bytes(*entry))?;
            at += ENTRY_BYTES;
        }
        debug_assert!(u64_from(entries.len()) > 0, "tables have whole entries");
    }
    Ok(())
}
