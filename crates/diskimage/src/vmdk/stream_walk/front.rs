//! Tables that stand in front of the grains, as qemu-img, open-vmdk and govmomi write them.
//!
//! The directory passes first and says where the tables will be; each table that passes then says
//! which grains are to come, and where.

use std::ops::Range;

use super::coverage::{Coverages, EntrySum};
use crate::number::{clip, u64_from};
use crate::vmdk::layout::{DirectoryPlace, Header, SectorBytes, entries};
use crate::{Error, Result};

/// Entries in one sector of a table or directory.
const SECTOR_ENTRIES: u64 = 128;

/// A table that the directory announced.
#[derive(Clone, Copy, Debug)]
struct Announced {
    sector: u32,
    coverage: u32,
}

/// Follows the directory and its tables while they pass.
#[derive(Debug)]
pub(super) struct FrontTables {
    directory: Range<u64>,
    directory_entries: u64,
    table_sectors: u64,
    overhead: u64,
    /// By sector once the directory has passed; 8 bytes per table, gone with the front.
    announced: Vec<Announced>,
    /// The table that comes next.
    next: usize,
    listed: EntrySum,
}

impl FrontTables {
    /// Returns a follower; `None` when the header leaves the directory to the footer.
    pub(super) fn new(header: &Header) -> Result<Option<Self>> {
        let DirectoryPlace::At(start) = header.directory() else {
            return Ok(None);
        };
        let overhead = header.overhead().0;
        let in_front = |end: &u64| *end <= overhead && start.0 >= header.descriptor().end.max(1);
        let end = start.0.checked_add(header.directory_sectors()).filter(in_front).ok_or_else(|| {
            Error::unsupported("the directory of a stream is in front or left to the footer")
                .found(format!("{start}, overhead {overhead}"))
        })?;
        Ok(Some(Self {
            directory: start.0..end,
            directory_entries: header.directory_entries(),
            table_sectors: header.table_sectors(),
            overhead,
            announced: Vec::new(),
            next: 0,
            listed: EntrySum::default(),
        }))
    }

    /// Takes the sector at `position`, whatever it is.
    pub(super) fn take(&mut self, position: u64, sector: &SectorBytes, coverages: &mut Coverages) -> Result<()> {
        if self.directory.contains(&position) {
            return self.take_directory(position, sector);
        }
        let Some(&Announced { sector: start, coverage }) = self.announced.get(self.next) else {
            return Ok(());
        };
        let Some(part) = position.checked_sub(u64::from(start)) else {
            return Ok(());
        };
        let first_slot = u32::try_from(part * SECTOR_ENTRIES).expect("a table has few sectors");
        self.listed.add_entries(first_slot, sector);
        if part + 1 == self.table_sectors {
            let coverage = usize::try_from(coverage).expect("a coverage fits in memory");
            coverages.expect(coverage, std::mem::take(&mut self.listed));
            self.next += 1;
        }
        Ok(())
    }

    fn take_directory(&mut self, position: u64, sector: &SectorBytes) -> Result<()> {
        let first = (position - self.directory.start) * SECTOR_ENTRIES;
        let entries_left = clip(usize::MAX, self.directory_entries.saturating_sub(first));
        let first = u32::try_from(first).expect("a directory has at most 4 Mi entries");
        for (coverage, entry) in (first..).zip(entries(sector)).take(entries_left) {
            if entry == 0 {
                continue;
            }
            let start = u64::from(entry);
            if start < self.directory.end || start + self.table_sectors > self.overhead {
                return Err(Error::corrupt("tables in front stand between directory and grains")
                    .found(format!("entry {coverage} is sector {entry}")));
            }
            self.announced.push(Announced { sector: entry, coverage });
        }
        if position + 1 == self.directory.end {
            self.end_directory()?;
        }
        Ok(())
    }

    fn end_directory(&mut self) -> Result<()> {
        self.announced.sort_unstable_by_key(|table| table.sector);
        let overlap = self
            .announced
            .windows(2)
            .find(|pair| u64::from(pair[1].sector) < u64::from(pair[0].sector) + self.table_sectors);
        if let Some(pair) = overlap {
            return Err(Error::corrupt("each grain table belongs to one directory entry")
                .found(format!("sectors {} and {}", pair[0].sector, pair[1].sector)));
        }
        Ok(())
    }
}

/// Compares what tables in front listed with what came, at the end of the stream.
pub(super) fn check_balance(coverages: &Coverages) -> Result<()> {
    let missing: u64 = coverages.sums().filter_map(|sum| u64::try_from(-i64::from(sum.count())).ok()).sum();
    if missing > 0 {
        return Err(Error::truncated("every grain that a table in front lists has come")
            .found(format!("{missing} grains are missing")));
    }
    let differing = coverages.sums().filter(|sum| *sum != EntrySum::default());
    let differing = u64_from(differing.count());
    if differing > 0 {
        return Err(Error::corrupt("tables in front list each grain that came, once and at its place")
            .found(format!("{differing} tables differ")));
    }
    Ok(())
}
