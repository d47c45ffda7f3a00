//! An ESX redo log (COWD) as bytes, made while they are read.
//!
//! | sector | what |
//! |--:|---|
//! | 0 | header, 4 sectors |
//! | 4 | grain directory: a `u32` sector number for each table, 0 where the link has nothing |
//! | then | for each table that there is: its 4096 entries (32 sectors), then its grains |
//!
//! All numbers are little-endian and count sectors of the file. An entry stands for one sector of the
//! guest: 0 is the parent's, 1 is zeros, else it says where the sector lies. Every second table keeps its
//! data in descending order, because nothing promises readers an order.

use std::io;

use super::index::Index;
use super::layer::{Held, Layer};
use super::region::{SECTOR, copy_from, to_usize};
use crate::content::GRAIN_BYTES;

/// Bytes of the header.
const HEADER_LEN: usize = 2048;
/// Sector of the directory, behind the header.
const DIRECTORY_SECTOR: u32 = 4;
/// Entries of a table.
const ENTRIES: u64 = 4096;
/// Sectors of a table.
const TABLE_SECTORS: u64 = ENTRIES * 4 / SECTOR;
/// Sectors of a grain of ours, 64 KiB; the format's own grains have one sector.
const GRAIN_SECTORS: u64 = GRAIN_BYTES / SECTOR;
/// Grains of ours in a table.
const TABLE_GRAINS: u64 = ENTRIES / GRAIN_SECTORS;
/// The entry for zeros.
const ZEROS: u32 = 1;

/// One redo log.
#[derive(Debug)]
pub(crate) struct Cowd {
    layer: Layer,
    index: Index,
    capacity_sectors: u32,
}

impl Cowd {
    /// Lays out what `layer` holds of a disk; its size fits a redo log.
    pub(crate) fn new(layer: Layer, capacity_bytes: u64) -> Self {
        let capacity_sectors = u32::try_from(capacity_bytes / SECTOR).expect("checked by the inventory");
        let index = Index::build(&layer, capacity_bytes.div_ceil(GRAIN_BYTES), TABLE_GRAINS);
        Self { layer, index, capacity_sectors }
    }

    /// Returns the bytes of the file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.table_sector(self.index.len()) * SECTOR
    }

    /// Returns whether reading never waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.layer.is_in_memory()
    }

    /// Fills a part of `buffer`, at least a byte, with the file's bytes from `offset`, and returns its length.
    pub(crate) fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let directory_at = u64::from(DIRECTORY_SECTOR) * SECTOR;
        if offset < directory_at {
            return Ok(copy_from(&self.header(), offset, buffer));
        }
        let tables_at = self.table_sector(0) * SECTOR;
        if offset < tables_at {
            let len = buffer.len().min(to_usize(tables_at - offset));
            return Ok(self.read_directory(offset - directory_at, &mut buffer[..len]));
        }
        let table = self.index.table_at(offset / SECTOR, |table| self.table_sector(table));
        let inside = offset - self.table_sector(table) * SECTOR;
        if inside < TABLE_SECTORS * SECTOR {
            return Ok(copy_from(&self.table(table), inside, buffer));
        }
        let inside = inside - TABLE_SECTORS * SECTOR;
        let place = inside / GRAIN_BYTES;
        let grain = self.grain_at(table, place);
        let inner = to_usize(inside % GRAIN_BYTES);
        let len = buffer.len().min(to_usize(GRAIN_BYTES) - inner);
        self.layer.read_inside(grain, inner, &mut buffer[..len])?;
        Ok(len)
    }

    /// Returns the sector at which a table begins, if it is present; with the number of tables, the file's end.
    fn table_sector(&self, table: usize) -> u64 {
        let directory = (u64::try_from(self.index.len()).unwrap_or(u64::MAX) * 4).div_ceil(SECTOR);
        let before = self.index.tables_before(table) * TABLE_SECTORS + self.index.grains_before(table) * GRAIN_SECTORS;
        u64::from(DIRECTORY_SECTOR) + directory + before
    }

    fn header(&self) -> [u8; HEADER_LEN] {
        let entries = u32::try_from(self.index.len()).expect("2^32 sectors have 2^20 tables");
        let free = u32::try_from(self.size_bytes() / SECTOR).expect("checked by the inventory");
        let mut header = [0; HEADER_LEN];
        // Magic, version, flags, capacity, sectors of a grain, directory, its entries, next free sector.
        let fields = [u32::from_le_bytes(*b"COWD"), 1, 3, self.capacity_sectors, 1, DIRECTORY_SECTOR, entries, free];
        for (field, bytes) in fields.iter().zip(header.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        header
    }

    fn read_directory(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let first = offset / 4;
        let entries = (buffer.len() / 4 + 2).min(4096);
        let bytes: Vec<u8> = (to_usize(first)..).take(entries).flat_map(|table| self.entry(table)).collect();
        copy_from(&bytes, offset - first * 4, buffer)
    }

    /// Returns the directory's entry of a table; those that only fill a sector up are 0.
    fn entry(&self, table: usize) -> [u8; 4] {
        let present = table < self.index.len() && self.index.is_present(table);
        let sector = if present { self.table_sector(table) } else { 0 };
        u32::try_from(sector).expect("checked by the inventory").to_le_bytes()
    }

    fn table(&self, table: usize) -> Vec<u8> {
        let data = self.table_sector(table) + TABLE_SECTORS;
        let held = self.data_grains(table);
        let mut bytes = Vec::with_capacity(to_usize(ENTRIES * 4));
        for grain in grains_of(table) {
            let place = held.iter().position(|&there| there == grain);
            for sector in 0..GRAIN_SECTORS {
                let is_inside = grain * GRAIN_SECTORS + sector < u64::from(self.capacity_sectors);
                let entry = match place {
                    _ if !is_inside => 0,
                    Some(place) => {
                        let place = u64::try_from(place).unwrap_or(u64::MAX);
                        u32::try_from(data + place * GRAIN_SECTORS + sector).expect("checked by the inventory")
                    }
                    None if self.layer.held(grain) == Held::Zeros => ZEROS,
                    None => 0,
                };
                bytes.extend_from_slice(&entry.to_le_bytes());
            }
        }
        bytes
    }

    /// Returns the grains of a table that have data, in the order in which the file has them.
    fn data_grains(&self, table: usize) -> Vec<u64> {
        let last = u64::from(self.capacity_sectors).div_ceil(GRAIN_SECTORS);
        let has_data = |grain: &u64| *grain < last && self.layer.held(*grain) == Held::Data;
        let mut grains: Vec<u64> = grains_of(table).filter(has_data).collect();
        if table % 2 == 1 {
            grains.reverse();
        }
        grains
    }

    fn grain_at(&self, table: usize, place: u64) -> u64 {
        self.data_grains(table)[to_usize(place)]
    }
}

fn grains_of(table: usize) -> std::ops::Range<u64> {
    let first = u64::try_from(table).unwrap_or(u64::MAX) * TABLE_GRAINS;
    first..first + TABLE_GRAINS
}
