//! A seSparse link as bytes, made while they are read.
//!
//! ```text
//!  constant header │ volatile header │ journal │ grain directory │ tables │ free bitmap │ back map │ grains
//!        0                 1           2 … 4095        4096            one after the other, in sectors
//! ```
//!
//! All numbers are `u64`, little-endian, and count sectors of the file. A directory entry stands for
//! 16 MiB of the guest, a table entry for 4 KiB; its highest four bits say what it is. Tables stand in
//! descending order of what they stand for, because nothing promises readers an order. Bitmap and back
//! map have their room and are zeros: no reader that we know of looks at them.

use std::io;

use super::index::Index;
use super::layer::{Held, Layer};
use super::region::{SECTOR, copy_from, to_usize};
use crate::content::GRAIN_BYTES;

const MAGIC: u64 = 0xcafe_babe;
const VERSION: u64 = 0x2_0000_0001;
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
/// Sectors of a grain of the format, 4 KiB.
const SMALL_SECTORS: u64 = 8;
/// Grains of the format in one of ours.
const SMALL_IN_GRAIN: u64 = GRAIN_BYTES / SECTOR / SMALL_SECTORS;
/// Entries of a table.
const ENTRIES: u64 = 4096;
/// Sectors of a table.
const TABLE_SECTORS: u64 = ENTRIES * 8 / SECTOR;
/// Grains of ours in a table.
const TABLE_GRAINS: u64 = ENTRIES / SMALL_IN_GRAIN;
/// Where the fixed parts lie, and how long they are: header of the journal, journal, directory.
const JOURNAL_HEADER: (u64, u64) = (2, 2);
const JOURNAL: (u64, u64) = (2048, 2048);
const DIRECTORY_SECTOR: u64 = 4096;
/// The upper half of a directory entry that has a table.
const HAS_TABLE: u64 = 0x1000_0000 << 32;
/// Kinds of table entries: unmapped by the guest, zeros, data.
const UNMAPPED: u64 = 1 << 60;
const ZEROS: u64 = 2 << 60;
const DATA: u64 = 3 << 60;

/// One link.
#[derive(Debug)]
pub(crate) struct SeSparse {
    layer: Layer,
    index: Index,
    capacity_sectors: u64,
    places: Places,
}

/// Sectors at which the parts begin whose place depends on the disk.
#[derive(Clone, Copy, Debug)]
struct Places {
    tables: u64,
    bitmap: u64,
    back_map: u64,
    grains: u64,
}

impl SeSparse {
    /// Lays out what `layer` holds of a disk.
    pub(crate) fn new(layer: Layer, capacity_bytes: u64) -> Self {
        let index = Index::build(&layer, capacity_bytes.div_ceil(GRAIN_BYTES), TABLE_GRAINS);
        let all = index.len();
        let tables = DIRECTORY_SECTOR + (u64::try_from(all).unwrap_or(u64::MAX) * 8).div_ceil(SECTOR);
        let bitmap = tables + index.tables_before(all) * TABLE_SECTORS;
        let small = index.grains_before(all) * SMALL_IN_GRAIN;
        let back_map = bitmap + small.div_ceil(8).div_ceil(SECTOR);
        let grains = (back_map + (small * 8).div_ceil(SECTOR)).next_multiple_of(SMALL_SECTORS);
        let places = Places { tables, bitmap, back_map, grains };
        Self { layer, index, capacity_sectors: capacity_bytes / SECTOR, places }
    }

    /// Returns the bytes of the file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.places.grains * SECTOR + self.index.grains_before(self.index.len()) * GRAIN_BYTES
    }

    /// Returns whether reading never waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.layer.is_in_memory()
    }

    /// Fills a part of `buffer`, at least a byte, with the file's bytes from `offset`, and returns its length.
    pub(crate) fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Places { tables, bitmap, grains, .. } = self.places;
        let sector = offset / SECTOR;
        if sector < JOURNAL_HEADER.0 {
            return Ok(copy_from(&self.headers(), offset, buffer));
        }
        if sector < DIRECTORY_SECTOR {
            return Ok(zeros(offset, DIRECTORY_SECTOR * SECTOR, buffer));
        }
        if sector < tables {
            let len = buffer.len().min(to_usize(tables * SECTOR - offset));
            return Ok(self.read_directory(offset - DIRECTORY_SECTOR * SECTOR, &mut buffer[..len]));
        }
        if sector < bitmap {
            let inside = offset - tables * SECTOR;
            let table_bytes = TABLE_SECTORS * SECTOR;
            let table = self.table_with(inside / table_bytes);
            return Ok(copy_from(&self.table(table), inside % table_bytes, buffer));
        }
        if sector < grains {
            return Ok(zeros(offset, grains * SECTOR, buffer));
        }
        let inside = offset - grains * SECTOR;
        let number = inside / GRAIN_BYTES;
        let table = self.index.table_at(number, |table| self.index.grains_before(table));
        let place = number - self.index.grains_before(table);
        let grain = self.data_grains(table).nth(to_usize(place)).expect("the count says that it is there");
        let inner = to_usize(inside % GRAIN_BYTES);
        let len = buffer.len().min(to_usize(GRAIN_BYTES) - inner);
        self.layer.read_inside(grain, inner, &mut buffer[..len])?;
        Ok(len)
    }

    fn headers(&self) -> Vec<u8> {
        let Places { tables, bitmap, back_map, grains } = self.places;
        let end = self.size_bytes() / SECTOR;
        let constant = [MAGIC, VERSION, self.capacity_sectors, SMALL_SECTORS, TABLE_SECTORS, 0, 0, 0, 0, 0];
        let parts = [
            (1, 1),
            JOURNAL_HEADER,
            JOURNAL,
            (DIRECTORY_SECTOR, tables - DIRECTORY_SECTOR),
            (tables, bitmap - tables),
            (bitmap, back_map - bitmap),
            (back_map, grains - back_map),
            (grains, end - grains),
        ];
        let mut bytes: Vec<u8> = constant.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend(parts.into_iter().flat_map(|(at, len)| [at, len]).flat_map(u64::to_le_bytes));
        bytes.resize(to_usize(SECTOR), 0);
        let free_table = self.index.tables_before(self.index.len());
        bytes.extend([VOLATILE_MAGIC, free_table, 1, 0].into_iter().flat_map(u64::to_le_bytes));
        bytes.resize(to_usize(2 * SECTOR), 0);
        bytes
    }

    fn read_directory(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let first = offset / 8;
        let entries = (buffer.len() / 8 + 2).min(4096);
        let all = self.index.tables_before(self.index.len());
        let entry = |table: usize| {
            let present = table < self.index.len() && self.index.is_present(table);
            let number = || all - 1 - self.index.tables_before(table);
            if present { HAS_TABLE | number() } else { 0 }
        };
        let bytes: Vec<u8> = (to_usize(first)..).take(entries).flat_map(|table| entry(table).to_le_bytes()).collect();
        copy_from(&bytes, offset - first * 8, buffer)
    }

    /// Returns the table that has a number in the file.
    fn table_with(&self, number: u64) -> usize {
        let rank = self.index.tables_before(self.index.len()) - 1 - number;
        self.index.table_at(rank, |table| self.index.tables_before(table))
    }

    fn table(&self, table: usize) -> Vec<u8> {
        let mut next = self.index.grains_before(table) * SMALL_IN_GRAIN;
        let mut bytes = Vec::with_capacity(to_usize(ENTRIES * 8));
        let end = self.capacity_sectors.div_ceil(GRAIN_BYTES / SECTOR);
        for grain in grains_of(table) {
            let held = if grain < end { self.layer.held(grain) } else { Held::Nothing };
            for _ in 0..SMALL_IN_GRAIN {
                let entry = match held {
                    Held::Nothing => 0,
                    Held::Zeros if grain % 2 == 0 => UNMAPPED,
                    Held::Zeros => ZEROS,
                    Held::Data => {
                        next += 1;
                        data_entry(next - 1)
                    }
                };
                bytes.extend_from_slice(&entry.to_le_bytes());
            }
        }
        bytes
    }

    /// Returns the grains of a table that have data, in order.
    fn data_grains(&self, table: usize) -> impl Iterator<Item = u64> {
        let end = self.capacity_sectors.div_ceil(GRAIN_BYTES / SECTOR);
        grains_of(table).filter(move |&grain| grain < end && self.layer.held(grain) == Held::Data)
    }
}

/// Returns the entry of the grain with this number: its low twelve bits stand above the others.
fn data_entry(number: u64) -> u64 {
    DATA | (number & 0xfff) << 48 | number >> 12
}

fn grains_of(table: usize) -> std::ops::Range<u64> {
    let first = u64::try_from(table).unwrap_or(u64::MAX) * TABLE_GRAINS;
    first..first + TABLE_GRAINS
}

/// Fills `buffer` with zeros up to `end`.
fn zeros(offset: u64, end: u64, buffer: &mut [u8]) -> usize {
    let len = buffer.len().min(to_usize(end - offset));
    buffer[..len].fill(0);
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_grain_is_split_as_readers_join_it() {
        for number in [0, 1, 4095, 4096, 5000, 1 << 30] {
            let entry = data_entry(number);
            assert_eq!(entry >> 60, 3);
            assert_eq!((entry & 0x0fff_0000_0000_0000) >> 48 | (entry & 0xffff_ffff_ffff) << 12, number);
        }
    }
}
