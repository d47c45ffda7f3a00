//! The tables of a space-efficient sparse delta.

use std::sync::Arc;

use super::grains::{ABSENT, GrainMap, Place, ZERO};
use super::tables::{Caches, numbers_64, read_table, table_range};
use crate::image::ByteSource;
use crate::image::oddities::Oddities;
use crate::vmdk::layout::sesparse::{
    GRAIN_SECTORS, SeSparseEntry, SeSparseHeader, TABLE_ENTRIES, TABLE_SECTORS, check_volatile_header, table_of,
};
use crate::vmdk::layout::{SECTOR_BYTES, SECTOR_LEN, Sector};
use crate::{Error, Result};

/// Bytes of an entry of a directory or table.
const ENTRY_BYTES: u64 = 8;
const TABLE_LEN: usize = 8 * 4096;
const GRAIN_BYTES: u64 = GRAIN_SECTORS * SECTOR_BYTES;

/// Says where the grains of a seSparse delta are.
pub(super) struct SeSparseMap {
    source: Arc<dyn ByteSource>,
    header: SeSparseHeader,
    caches: Arc<Caches>,
    owner: u32,
    oddities: Oddities,
}

impl SeSparseMap {
    /// Reads both headers and checks that the directory lies in the file.
    pub(super) fn open(source: Arc<dyn ByteSource>, caches: &Arc<Caches>) -> Result<Self> {
        let in_file = |error: Error| error.in_file(source.name());
        let mut sector = [0; SECTOR_LEN];
        source.read_at(0, &mut sector)?;
        let header = SeSparseHeader::parse(&sector).map_err(in_file)?;
        let volatile = table_range(&*source, header.volatile_header, SECTOR_BYTES)?.start;
        source.read_at(volatile, &mut sector)?;
        check_volatile_header(&sector).map_err(|error| in_file(error.or_at(volatile)))?;
        table_range(&*source, header.directory, header.directory_entries * ENTRY_BYTES)?;
        if [header.directory, header.tables, header.grains].contains(&Sector(0)) {
            return Err(in_file(Error::corrupt("directory, tables and grains stand behind the header")));
        }
        let owner = caches.owner();
        Ok(Self { source, header, caches: caches.clone(), owner, oddities: Oddities::default() })
    }

    fn load(&self, number: u64) -> Result<Arc<[Place]>> {
        let directory = self.header.directory.bytes().expect("the directory lies in the file");
        let mut entry = [0; 8];
        let entry_place = directory + number * ENTRY_BYTES;
        self.source.read_at(entry_place, &mut entry)?;
        let Some(table) = table_of(u64::from_le_bytes(entry)).map_err(|error| error.or_at(entry_place))? else {
            return Ok(Arc::new([]));
        };
        if table >= self.header.tables_count {
            return Err(Error::corrupt("a directory names tables that exist")
                .found(format!("table {table} of {}", self.header.tables_count))
                .at(entry_place));
        }
        let place = self.header.tables.checked_add(table * TABLE_SECTORS).ok_or_else(too_far)?;
        let bytes = read_table(&*self.source, place, TABLE_LEN)?;
        let mut places = Vec::with_capacity(bytes.len() / 8);
        for (slot, entry) in (0_u64..).zip(numbers_64(&bytes)) {
            let start = (number * TABLE_ENTRIES + slot) * GRAIN_BYTES;
            let needed = self.capacity_bytes().saturating_sub(start).min(GRAIN_BYTES);
            let place = self.place(entry, needed);
            places.push(place.map_err(|error| error.or_at(place_of_slot(self.header.tables, table, slot)))?);
        }
        Ok(places.into())
    }

    fn place(&self, entry: u64, needed: u64) -> Result<Place> {
        let grain = match SeSparseEntry::decode(entry)? {
            SeSparseEntry::Absent => return Ok(ABSENT),
            SeSparseEntry::Zero => return Ok(ZERO),
            // What stands behind the last grain of the disk is not looked at.
            SeSparseEntry::Grain(_) if needed == 0 => return Ok(ABSENT),
            SeSparseEntry::Grain(grain) => grain,
        };
        if grain >= self.header.grains_count {
            return Err(Error::corrupt("a table names grains that exist")
                .found(format!("grain {grain} of {}", self.header.grains_count)));
        }
        let sector = grain.checked_mul(GRAIN_SECTORS).and_then(|sectors| self.header.grains.checked_add(sectors));
        let place = sector.and_then(Sector::bytes).ok_or_else(too_far)?;
        if place.checked_add(needed).is_none_or(|end| end > self.source.len_bytes()) {
            return Err(Error::truncated("grains lie inside the file").found(format!("grain {grain}")));
        }
        Ok(place)
    }
}

/// Returns the byte of an entry, for an error; the table was read, so it is in the file.
fn place_of_slot(tables: Sector, table: u64, slot: u64) -> u64 {
    tables.bytes().unwrap_or(0).saturating_add(table * TABLE_SECTORS * SECTOR_BYTES + slot * ENTRY_BYTES)
}

fn too_far() -> Error {
    Error::limit("tables and grains lie in the first 2^64 bytes of the file")
}

impl GrainMap for SeSparseMap {
    fn source(&self) -> &dyn ByteSource {
        &*self.source
    }

    fn capacity_bytes(&self) -> u64 {
        self.header.capacity_sectors * SECTOR_BYTES
    }

    fn grain_bytes(&self) -> u64 {
        GRAIN_BYTES
    }

    fn table_grains(&self) -> u64 {
        TABLE_ENTRIES
    }

    fn table(&self, number: u64) -> Result<Arc<[Place]>> {
        let load = || self.load(number).map_err(|error| error.in_file(self.source.name()));
        self.caches.tables.get((self.owner, number), load)
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }
}
