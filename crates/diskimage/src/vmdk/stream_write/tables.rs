//! Where the parts of a stream stand: the pure half of the writer.
//!
//! Keeps the position in the file, the table of the coverage being filled, and the directory. A
//! coverage is the stretch of the guest's disk that one table describes: 512 grains, 32 MiB.

use crate::number::u64_from;
use crate::vmdk::layout::{ENTRY_LEN, Header, SECTOR_LEN, Sector, TABLE_ENTRIES, TABLE_ENTRIES_MIN};
use crate::{Error, Result};

const TABLE_LEN: usize = 512 * ENTRY_LEN;
const _: () = assert!(TABLE_ENTRIES == 512 && TABLE_ENTRIES_MIN == 128);

/// What a table takes in the file: its marker and itself.
const TABLE_SECTORS: u64 = 5;
const _: () = assert!(TABLE_LEN == 4 * SECTOR_LEN);

/// The encoded table of one coverage.
pub(super) type Table = [u8; TABLE_LEN];

#[derive(Clone, Debug)]
pub(super) struct Tables {
    grains: u64,
    directory_entries: u64,
    directory_sectors: u64,
    /// Next free sector of the file.
    position: u64,
    /// The lowest index that may come next.
    next_index: u64,
    /// The coverage being filled.
    coverage: u64,
    /// Its table.
    table: Table,
    /// Whether the table has an entry.
    filled: bool,
    /// Encoded directory, as far as coverages were ended.
    directory: Vec<u8>,
}

impl Tables {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            grains: header.grains(),
            directory_entries: header.directory_entries(),
            directory_sectors: header.directory_sectors(),
            position: header.overhead().0,
            next_index: 0,
            coverage: 0,
            table: [0; TABLE_LEN],
            filled: false,
            directory: Vec::new(),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Moves on by some sectors and returns the new position.
    pub(super) fn advance(&mut self, sectors: u64) -> u64 {
        self.position += sectors;
        self.position
    }

    /// Returns where the table of a coverage that ended stands, `None` when there is none.
    pub(super) fn table_place(&self, coverage: u64) -> Option<Sector> {
        let start = usize::try_from(coverage).ok()?.checked_mul(ENTRY_LEN)?;
        let entry = u32::from_le_bytes(*self.directory.get(start..)?.first_chunk()?);
        (entry != 0).then(|| Sector(entry.into()))
    }

    /// Returns the entry of a grain in the table being filled, `None` when it is in another one.
    pub(super) fn open_entry(&self, index: u64) -> Option<u32> {
        let slot = self.filled && !self.leaves_coverage(index);
        slot.then(|| u32::from_le_bytes(*self.table.as_chunks().0.get(slot_of(index)).expect("a slot of the table")))
    }

    pub(super) fn check_turn(&self, index: u64) -> Result<()> {
        if index >= self.grains {
            return Err(Error::misuse("grains lie on the disk").found(format!("grain {index} of {}", self.grains)));
        }
        if index < self.next_index {
            return Err(Error::misuse("grains are written in ascending order, each once")
                .found(format!("grain {index} after grain {}", self.next_index - 1)));
        }
        Ok(())
    }

    /// Notes that the grain `index` came and needs no place.
    pub(super) fn skip_to(&mut self, index: u64) {
        self.next_index = index + 1;
    }

    /// Returns whether `index` belongs to another coverage than the one being filled.
    pub(super) fn leaves_coverage(&self, index: u64) -> bool {
        self.coverage != index / u64::from(TABLE_ENTRIES)
    }

    /// Returns whether `index` ends the coverage being filled, and a table comes first.
    pub(super) fn ends_coverage(&self, index: u64) -> bool {
        self.filled && self.leaves_coverage(index)
    }

    /// Returns the coverage being filled, if it has grains.
    pub(super) fn open_coverage(&self) -> Option<u64> {
        self.filled.then_some(self.coverage)
    }

    /// Checks that the grain `index`, and the table that comes before it, can be addressed.
    pub(super) fn check_room(&self, index: u64) -> Result<()> {
        let table = if self.ends_coverage(index) { TABLE_SECTORS } else { 0 };
        self.entry_for(self.position + table).map(drop)
    }

    /// Gives the grain `index` the next `sectors`, in the table of its coverage.
    pub(super) fn place_grain(&mut self, index: u64, sectors: u64) -> Result<()> {
        let entry = self.entry_for(self.position)?;
        self.coverage = index / u64::from(TABLE_ENTRIES);
        self.table[slot_of(index) * ENTRY_LEN..][..ENTRY_LEN].copy_from_slice(&entry.to_le_bytes());
        self.filled = true;
        self.next_index = index + 1;
        self.position += sectors;
        Ok(())
    }

    /// Ends the coverage: returns its table and notes in the directory that it comes next, behind
    /// its marker. `None` when the coverage has no grains.
    pub(super) fn take_table(&mut self) -> Result<Option<Table>> {
        if !self.filled {
            return Ok(None);
        }
        let entry = self.entry_for(self.position + 1)?;
        let offset = usize::try_from(self.coverage).expect("a directory fits in memory") * ENTRY_LEN;
        self.directory.resize(offset, 0);
        self.directory.extend_from_slice(&entry.to_le_bytes());
        self.position += TABLE_SECTORS;
        self.filled = false;
        Ok(Some(std::mem::replace(&mut self.table, [0; TABLE_LEN])))
    }

    /// Returns the directory, filled up to whole sectors.
    pub(super) fn encode_directory(&mut self) -> Vec<u8> {
        debug_assert!(u64_from(self.directory.len() / ENTRY_LEN) <= self.directory_entries);
        let mut directory = std::mem::take(&mut self.directory);
        let sectors = usize::try_from(self.directory_sectors).expect("a directory fits in memory");
        directory.resize(sectors * SECTOR_LEN, 0);
        directory
    }

    fn entry_for(&self, position: u64) -> Result<u32> {
        u32::try_from(position).map_err(|_| {
            Error::limit("a stream has at most 2 TiB, because its tables hold 32-bit sectors")
                .at(self.position.saturating_mul(u64_from(SECTOR_LEN)))
        })
    }
}

fn slot_of(index: u64) -> usize {
    usize::try_from(index % u64::from(TABLE_ENTRIES)).expect("a slot is below 512")
}
