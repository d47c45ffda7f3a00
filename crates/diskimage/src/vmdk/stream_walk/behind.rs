//! Tables that stand behind the grains, as VMware products, VirtualBox and Xen Orchestra write them.
//!
//! Tables pass first; whose they are becomes known when the directory names their sectors. At that
//! moment each is compared with the grains that came.

use super::State;
use super::coverage::{Coverages, EntrySum, NumberedSum};
use crate::number::{clip, u64_from};
use crate::vmdk::layout::{Header, Sector, SectorBytes, entries};
use crate::{Error, Result};

/// Entries in one sector of a table.
const SECTOR_ENTRIES: u32 = 128;

/// Directories that a stream may have: the redundant one and the other.
const DIRECTORIES_MAX: usize = 2;

/// Everything that came of tables and directories.
#[derive(Debug, Default)]
pub(super) struct TablesBehind {
    /// The tables, numbered by sector and so ascending.
    tables: Vec<NumberedSum>,
    /// The table that is passing.
    table: EntrySum,
    /// The place of the directory that is passing.
    place: Sector,
    /// Its next entry.
    next_entry: u64,
    /// Directories that came whole and agree with the tables.
    directories: Vec<Sector>,
}

impl TablesBehind {
    /// Returns whether a whole directory came.
    pub(super) fn has_directory(&self) -> bool {
        !self.directories.is_empty()
    }

    /// Returns whether a whole directory came at this place.
    pub(super) fn has_directory_at(&self, place: Sector) -> bool {
        self.directories.contains(&place)
    }

    /// Begins the tables behind a marker: one, several, or all of the disk where the writer (Xen
    /// Orchestra) left the number to the header.
    pub(super) fn begin_tables(&self, header: &Header, sectors: u64) -> Result<State> {
        let table_sectors = header.table_sectors();
        let left_sectors = if sectors == 0 { header.directory_entries() * table_sectors } else { sectors };
        if !left_sectors.is_multiple_of(table_sectors) {
            return Err(Error::corrupt("a table marker announces whole tables").found(format!("{sectors} sectors")));
        }
        let tables = u64_from(self.tables.len()).saturating_add(left_sectors / table_sectors);
        if tables > header.directory_entries() * u64_from(DIRECTORIES_MAX) {
            return Err(Error::corrupt("each coverage has at most two tables").found(format!("{tables} tables")));
        }
        Ok(State::Tables { left_sectors })
    }

    /// Takes one sector of a table.
    pub(super) fn take_table(
        &mut self,
        header: &Header,
        left_sectors: u64,
        position: u64,
        sector: &SectorBytes,
    ) -> Result<State> {
        let table_sectors = header.table_sectors();
        let part = (table_sectors - left_sectors % table_sectors) % table_sectors;
        let first_slot = u32::try_from(part).expect("a table has few sectors") * SECTOR_ENTRIES;
        self.table.add_entries(first_slot, sector);
        if part + 1 == table_sectors {
            let number = u32::try_from(position - part)
                .map_err(|_| Error::limit("a table lies in the first 2 TiB, where a directory can name it"))?;
            let sum = std::mem::take(&mut self.table);
            self.tables.push(NumberedSum::new(sum, number));
        }
        Ok(match left_sectors - 1 {
            0 => State::Marker,
            left_sectors => State::Tables { left_sectors },
        })
    }

    /// Begins the directory behind the marker at `position`.
    pub(super) fn begin_directory(&mut self, header: &Header, sectors: u64, position: u64) -> Result<State> {
        if self.directories.len() >= DIRECTORIES_MAX {
            return Err(Error::corrupt("a stream has at most two directories"));
        }
        let needed = header.directory_sectors();
        if ![0, needed].contains(&sectors) {
            return Err(Error::corrupt("the directory has one entry per coverage")
                .found(format!("{sectors} sectors of {needed}")));
        }
        self.place = Sector(position + 1);
        self.next_entry = 0;
        Ok(State::Directory { left_sectors: needed })
    }

    /// Takes one sector of the directory and compares its tables with the grains that came.
    pub(super) fn take_directory(
        &mut self,
        header: &Header,
        coverages: &Coverages,
        left_sectors: u64,
        sector: &SectorBytes,
    ) -> Result<State> {
        for entry in entries(sector) {
            if self.next_entry < header.directory_entries() {
                let seen = coverages.sum(clip(usize::MAX, self.next_entry));
                self.check_entry(self.next_entry, entry, seen)?;
                self.next_entry += 1;
            }
        }
        if left_sectors > 1 {
            return Ok(State::Directory { left_sectors: left_sectors - 1 });
        }
        self.directories.push(self.place);
        Ok(State::Marker)
    }

    fn check_entry(&self, coverage: u64, entry: u32, seen: EntrySum) -> Result<()> {
        let listed = if entry == 0 {
            EntrySum::default()
        } else {
            let found = self.tables.binary_search_by_key(&entry, |table| table.number);
            let number = found.map_err(|_| {
                Error::corrupt("the directory points at tables that came")
                    .found(format!("entry {coverage} is sector {entry}"))
            })?;
            self.tables[number].sum()
        };
        if listed == seen {
            return Ok(());
        }
        Err(Error::corrupt("a table lists each grain that came, once and at its place").found(format!(
            "table {coverage} lists {} grains, {} came",
            listed.count(),
            seen.count()
        )))
    }
}
