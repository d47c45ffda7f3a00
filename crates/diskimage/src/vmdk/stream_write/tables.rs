//! Where the parts of a stream stand: the pure half of the writer.
//!
//! Keeps the position in the file, the table of the coverage being filled, and the directory. A
//! coverage is the stretch of the guest's disk that one table describes: 512 grains, 32 MiB.

use crate::number::u64_from;
use crate::vmdk::layout::{ENTRY_LEN, Header, SECTOR_LEN, TABLE_ENTRIES, TABLE_ENTRIES_MIN};
use crate::{Error, Result};

const TABLE_LEN: usize = 512 * ENTRY_LEN;
const _: () = assert!(TABLE_ENTRIES == 512 && TABLE_ENTRIES_MIN == 128);

/// The encoded table of one coverage.
pub(super) type Table = [u8; TABLE_LEN];

#[derive(Debug)]
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

    /// Gives the grain `index` the next `sectors`, in the table of its coverage.
    pub(super) fn place_grain(&mut self, index: u64, sectors: u64) -> Result<()> {
        let entry = self.entry_for(self.position)?;
        self.coverage = index / u64::from(TABLE_ENTRIES);
        let slot = usize::try_from(index % u64::from(TABLE_ENTRIES)).expect("a slot is below 512");
        self.table[slot * ENTRY_LEN..][..ENTRY_LEN].copy_from_slice(&entry.to_le_bytes());
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
        self.position += 1 + u64_from(TABLE_LEN / SECTOR_LEN);
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
