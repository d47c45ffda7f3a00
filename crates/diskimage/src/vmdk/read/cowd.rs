//! The tables of a delta of ESX.

use std::ops::Range;
use std::sync::Arc;

use super::grains::{ABSENT, GrainMap, Place, ZERO};
use super::tables::{Caches, numbers_32, read_table, table_range};
use crate::image::ByteSource;
use crate::image::oddities::Oddities;
use crate::number::u64_from;
use crate::vmdk::layout::cowd::{CowdHeader, HEADER_LEN, TABLE_ENTRIES};
use crate::vmdk::layout::{ENTRY_BYTES, SECTOR_BYTES, Sector, ZERO_GRAIN_ENTRY};
use crate::{Error, Result};

/// Bytes of a grain table.
const TABLE_LEN: usize = 4 * 4096;

/// Says where the grains of a COWD delta are.
pub(super) struct CowdMap {
    source: Arc<dyn ByteSource>,
    header: CowdHeader,
    caches: Arc<Caches>,
    owner: u32,
    oddities: Oddities,
}

impl CowdMap {
    /// Reads the header and checks that the directory lies in the file.
    pub(super) fn open(source: Arc<dyn ByteSource>, caches: &Arc<Caches>) -> Result<Self> {
        let in_file = |error: Error| error.in_file(source.name());
        let mut bytes = [0; HEADER_LEN];
        source.read_at(0, &mut bytes)?;
        let header = CowdHeader::parse(&bytes).map_err(in_file)?;
        table_range(&*source, header.directory, u64::from(header.directory_entries) * ENTRY_BYTES)?;
        let oddities = Oddities::default();
        if header.is_unclean {
            oddities.note(format!("{} was not closed cleanly", source.name()));
        }
        if !header.has_known_flags {
            oddities.note(format!("{} has flags that are not known", source.name()));
        }
        let owner = caches.owner();
        Ok(Self { source, header, caches: caches.clone(), owner, oddities })
    }

    fn directory_entry(&self, number: u64) -> Result<u32> {
        let directory = self.header.directory.bytes().expect("the directory lies in the file");
        let mut entry = [0; 4];
        self.source.read_at(directory + number * ENTRY_BYTES, &mut entry)?;
        Ok(u32::from_le_bytes(entry))
    }

    fn load(&self, number: u64) -> Result<Arc<[Place]>> {
        let table = self.directory_entry(number)?;
        if table == 0 {
            return Ok(Arc::new([]));
        }
        let behind = |sector: u32| u64::from(sector) >= u64_from(HEADER_LEN) / SECTOR_BYTES;
        if !behind(table) {
            return Err(Error::corrupt("tables stand behind the header").found(format!("table {number}")));
        }
        let bytes = read_table(&*self.source, Sector(table.into()), TABLE_LEN)?;
        let mut places = Vec::with_capacity(bytes.len() / 4);
        for (slot, entry) in (0_u64..).zip(numbers_32(&bytes)) {
            let start = (number * u64::from(TABLE_ENTRIES) + slot) * self.header.grain_bytes();
            let needed = self.header.capacity_bytes().saturating_sub(start).min(self.header.grain_bytes());
            places.push(match entry {
                // What stands behind the last grain of the disk is not looked at.
                _ if needed == 0 => ABSENT,
                0 => ABSENT,
                ZERO_GRAIN_ENTRY => ZERO,
                sector => {
                    let place = u64::from(sector) * SECTOR_BYTES;
                    if !behind(sector) {
                        return Err(Error::corrupt("grains stand behind the header")
                            .found(format!("entry {slot} of table {number} is sector {sector}")));
                    }
                    if place + needed > self.source.len_bytes() {
                        return Err(Error::truncated("grains lie inside the file")
                            .found(format!("entry {slot} of table {number} is sector {sector}")));
                    }
                    place
                }
            });
        }
        Ok(places.into())
    }
}

impl GrainMap for CowdMap {
    fn source(&self) -> &dyn ByteSource {
        &*self.source
    }

    fn capacity_bytes(&self) -> u64 {
        self.header.capacity_bytes()
    }

    fn grain_bytes(&self) -> u64 {
        self.header.grain_bytes()
    }

    fn table_grains(&self) -> u64 {
        TABLE_ENTRIES.into()
    }

    fn table(&self, number: u64) -> Result<Arc<[Place]>> {
        let load = || self.load(number).map_err(|error| error.in_file(self.source.name()));
        self.caches.tables.get((self.owner, number), load)
    }

    fn metadata(&self, claim: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        claim(0..u64_from(HEADER_LEN))?;
        let directory_len = u64::from(self.header.directory_entries) * ENTRY_BYTES;
        claim(table_range(&*self.source, self.header.directory, directory_len)?)?;
        for number in 0..u64::from(self.header.directory_entries) {
            let table = self.directory_entry(number)?;
            if table != 0 {
                claim(table_range(&*self.source, Sector(table.into()), u64_from(TABLE_LEN))?)?;
            }
        }
        Ok(())
    }

    fn data_start(&self) -> u64 {
        self.header.directory.0 * SECTOR_BYTES
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }
}
