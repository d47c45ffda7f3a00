//! The tables of a space-efficient sparse delta.

use std::ops::Range;
use std::sync::Arc;

use super::grains::{ABSENT, GrainMap, Place, ZERO};
use super::tables::{Caches, numbers_64, read_table, table_range};
use crate::image::ByteSource;
use crate::image::oddities::Oddities;
use crate::number::u64_from;
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

    /// Returns where a table is; `None` for an absent one.
    fn table_place(&self, number: u64) -> Result<Option<Sector>> {
        let directory = self.header.directory.bytes().expect("the directory lies in the file");
        let mut entry = [0; 8];
        let entry_place = directory + number * ENTRY_BYTES;
        self.source.read_at(entry_place, &mut entry)?;
        let Some(table) = table_of(u64::from_le_bytes(entry)).map_err(|error| error.or_at(entry_place))? else {
            return Ok(None);
        };
        if table >= self.header.tables_count {
            return Err(Error::corrupt("a directory names tables that exist")
                .found(format!("table {table} of {}", self.header.tables_count))
                .at(entry_place));
        }
        self.header.tables.checked_add(table * TABLE_SECTORS).map(Some).ok_or_else(too_far)
    }

    fn load(&self, number: u64) -> Result<Arc<[Place]>> {
        let Some(table) = self.table_place(number)? else {
            return Ok(Arc::new([]));
        };
        let bytes = read_table(&*self.source, table, TABLE_LEN)?;
        let table_bytes = table.0 * SECTOR_BYTES;
        let mut places = Vec::with_capacity(bytes.len() / 8);
        for (slot, entry) in (0_u64..).zip(numbers_64(&bytes)) {
            let start = (number * TABLE_ENTRIES + slot) * GRAIN_BYTES;
            let needed = self.capacity_bytes().saturating_sub(start).min(GRAIN_BYTES);
            let place = self.place(entry, needed);
            places.push(place.map_err(|error| error.or_at(table_bytes + slot * ENTRY_BYTES))?);
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

    fn metadata(&self, claim: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        claim(0..SECTOR_BYTES)?;
        claim(table_range(&*self.source, self.header.volatile_header, SECTOR_BYTES)?)?;
        claim(table_range(&*self.source, self.header.directory, self.header.directory_entries * ENTRY_BYTES)?)?;
        for number in 0..self.header.directory_entries {
            if let Some(table) = self.table_place(number)? {
                claim(table_range(&*self.source, table, u64_from(TABLE_LEN))?)?;
            }
        }
        Ok(())
    }

    fn data_start(&self) -> u64 {
        self.header.grains.bytes().unwrap_or(u64::MAX)
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }
}
