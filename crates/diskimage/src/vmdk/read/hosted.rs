//! The tables of a hosted sparse extent, compressed or not.
//!
//! Most writers keep every table twice. Both copies are read: one that is broken is replaced by
//! the other, with a word about it, and two that are well-formed but different are an error, since
//! nothing says which is right. After an unclean shutdown the second may lag behind, so then the
//! first counts, as in QEMU.

use std::ops::Range;
use std::sync::Arc;

use super::grains::{ABSENT, GrainMap, Place, ZERO};
use super::tables::{Caches, numbers_32, read_table, table_range};
use crate::image::ByteSource;
use crate::image::oddities::Oddities;
use crate::number::clip;
use crate::vmdk::layout::{
    DirectoryPlace, ENTRY_BYTES, GRAIN_MARKER_BYTES, Header, SECTOR_BYTES, Sector, ZERO_GRAIN_ENTRY,
};
use crate::{Error, Result};

/// Says where the grains of a hosted sparse extent are.
pub(super) struct HostedMap {
    source: Arc<dyn ByteSource>,
    header: Header,
    /// The directory that counts.
    first: Sector,
    second: Option<Sector>,
    caches: Arc<Caches>,
    owner: u32,
    oddities: Oddities,
}

impl HostedMap {
    /// Takes a header that knows its directory: that of the extent, or the footer of a stream.
    pub(super) fn open(source: Arc<dyn ByteSource>, header: Header, caches: &Arc<Caches>) -> Result<Self> {
        let DirectoryPlace::At(first) = header.directory() else {
            return Err(Error::corrupt("an extent that is not a stream says where its directory is")
                .at(56)
                .in_file(source.name()));
        };
        let second = header.redundant_directory();
        let oddities = Oddities::default();
        if header.is_unclean() {
            oddities.note(format!("{} was not closed cleanly", source.name()));
        }
        let map = Self { source, header, first, second, caches: caches.clone(), owner: caches.owner(), oddities };
        map.check_directory(first).or_else(|error| match second {
            Some(second) => map.check_directory(second),
            None => Err(error),
        })?;
        Ok(map)
    }

    fn check_directory(&self, directory: Sector) -> Result<()> {
        self.check_behind_descriptor(directory.0, "directory")?;
        table_range(&*self.source, directory, self.header.directory_entries() * ENTRY_BYTES).map(drop)
    }

    fn check_behind_descriptor(&self, sector: u64, what: &str) -> Result<()> {
        let descriptor = self.header.descriptor();
        if sector == 0 || descriptor.contains(&sector) {
            return Err(Error::corrupt("directory and tables stand beside header and descriptor")
                .found(format!("{what} at sector {sector}"))
                .in_file(self.source.name()));
        }
        Ok(())
    }

    fn load(&self, number: u64) -> Result<Arc<[Place]>> {
        let first = self.copy(self.first, number);
        let Some(second) = self.second else {
            return first;
        };
        let second = self.copy(second, number);
        let name = self.source.name();
        match (first, second) {
            (Ok(first), Ok(second)) if first == second => Ok(first),
            (Ok(first), Ok(_)) if self.header.is_unclean() => {
                self.oddities.note(format!("{name}: the two copies of some tables differ; the first was used"));
                Ok(first)
            }
            (Ok(_), Ok(_)) => Err(Error::corrupt("both copies of a grain table are the same")
                .found(format!("table {number}"))
                .in_file(name)),
            (Ok(first), Err(error)) => {
                self.oddities.note(format!("the second copy of some tables is broken: {error}"));
                Ok(first)
            }
            (Err(error), Ok(second)) => {
                self.oddities.note(format!("the second copy of some tables was used, the first is broken: {error}"));
                Ok(second)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Returns the sector of a table, 0 for an absent one. The directory lies in the file.
    fn directory_entry(&self, directory: Sector, number: u64) -> Result<u32> {
        let mut entry = [0; 4];
        self.source.read_at(directory.0 * SECTOR_BYTES + number * ENTRY_BYTES, &mut entry)?;
        Ok(u32::from_le_bytes(entry))
    }

    /// Returns one copy of a table, checked; no places where it is absent or empty.
    fn copy(&self, directory: Sector, number: u64) -> Result<Arc<[Place]>> {
        self.check_directory(directory)?;
        let table = self.directory_entry(directory, number)?;
        if table == 0 {
            return Ok(Arc::new([]));
        }
        self.check_behind_descriptor(table.into(), "table")?;
        let entries = self.header.table_entries();
        let len = clip(usize::MAX, u64::from(entries) * ENTRY_BYTES);
        let bytes = read_table(&*self.source, Sector(table.into()), len)?;
        if crate::vmdk::grain::is_zero(&bytes) {
            return Ok(Arc::new([]));
        }
        let first = number * u64::from(entries);
        let table_place = u64::from(table) * SECTOR_BYTES;
        let place = |(slot, entry): (u64, u32)| {
            self.place(first + slot, entry)
                .map_err(|error| error.or_at(table_place + slot * ENTRY_BYTES).in_file(self.source.name()))
        };
        (0_u64..).zip(numbers_32(&bytes)).map(place).collect()
    }

    fn place(&self, grain: u64, entry: u32) -> Result<Place> {
        let needed = self.header.guest_bytes_of(grain);
        match entry {
            0 => return Ok(ABSENT),
            // What stands behind the last grain of the disk is not looked at.
            _ if needed == 0 => return Ok(ABSENT),
            ZERO_GRAIN_ENTRY if self.header.overhead().0 <= u64::from(ZERO_GRAIN_ENTRY) => {
                return Err(Error::corrupt("sector 1 belongs to the metadata, so that an entry of 1 can mean zeros")
                    .found(format!("grain {grain}, overhead of {} sectors", self.header.overhead().0)));
            }
            ZERO_GRAIN_ENTRY => {
                if !self.header.has_zero_grains() {
                    let name = self.source.name();
                    self.oddities.note(format!("{name} has entries that mean zeros, and does not say so in its flags"));
                }
                return Ok(ZERO);
            }
            _ => {}
        }
        let stored = if self.header.is_stream() { crate::number::u64_from(GRAIN_MARKER_BYTES) } else { needed };
        // In a stream the overhead is where the first marker stands, and tables may follow later; in
        // other extents it is all of the metadata.
        let front =
            if self.header.is_stream() { self.header.descriptor().end.max(1) } else { self.header.overhead().0 };
        if u64::from(entry) < front {
            return Err(
                Error::corrupt("grains stand behind the metadata").found(format!("grain {grain} at sector {entry}"))
            );
        }
        let place = u64::from(entry) * SECTOR_BYTES;
        if place + stored > self.source.len_bytes() {
            return Err(
                Error::truncated("grains lie inside the file").found(format!("grain {grain} at sector {entry}"))
            );
        }
        Ok(place)
    }
}

impl GrainMap for HostedMap {
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
        self.header.table_entries().into()
    }

    fn table(&self, number: u64) -> Result<Arc<[Place]>> {
        self.caches.tables.get((self.owner, number), || self.load(number))
    }

    fn metadata(&self, claim: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        let in_bytes = |sectors: Range<u64>| sectors.start * SECTOR_BYTES..sectors.end * SECTOR_BYTES;
        claim(0..SECTOR_BYTES)?;
        claim(in_bytes(self.header.descriptor()))?;
        let table_len = u64::from(self.header.table_entries()) * ENTRY_BYTES;
        for directory in [Some(self.first), self.second].into_iter().flatten() {
            claim(table_range(&*self.source, directory, self.header.directory_entries() * ENTRY_BYTES)?)?;
            for number in 0..self.header.directory_entries() {
                let table = self.directory_entry(directory, number)?;
                if table != 0 {
                    claim(table_range(&*self.source, Sector(table.into()), table_len)?)?;
                }
            }
        }
        Ok(())
    }

    fn data_start(&self) -> u64 {
        self.header.overhead().0.saturating_mul(SECTOR_BYTES)
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }
}
