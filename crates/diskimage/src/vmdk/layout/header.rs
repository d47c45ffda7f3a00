//! The header of a hosted sparse extent, which is also the footer of a stream.
//!
//! | off | size | name | meaning |
//! |--:|--:|---|---|
//! | 0 | 4 | magic | `KDMV` |
//! | 4 | 4 | version | 1, 2 or 3; streams have 3 |
//! | 8 | 4 | flags | see the `FLAG_*` constants in `codec` |
//! | 12 | 8 | capacity | sectors of guest data |
//! | 20 | 8 | grain size | sectors, a power of two |
//! | 28 | 8 | descriptor offset | sectors; 0 = no descriptor |
//! | 36 | 8 | descriptor size | sectors |
//! | 44 | 4 | entries per table | 512 |
//! | 48 | 8 | redundant directory | sectors; counts only with its flag |
//! | 56 | 8 | directory | sectors; all ones = the footer knows |
//! | 64 | 8 | overhead | sectors of metadata; the first grain of a stream starts here |
//! | 72 | 1 | unclean shutdown | 1 = tables may be stale |
//! | 73 | 4 | newline test | `0A 20 0D 0A`; a transfer in text mode damages it |
//! | 77 | 2 | compression | 0 none, 1 deflate |
//! | 79 | 433 | | zeros |
//!
//! Here is what a header means; `codec` has its bytes and the checks.

mod codec;

use std::ops::Range;

use super::{DESCRIPTOR_SECTORS_MAX, ENTRY_BYTES, GRAIN_SECTORS, SECTOR_BYTES, Sector, TABLE_ENTRIES};
use crate::Result;
use codec::{
    DIRECTORY_IN_FOOTER, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEWLINE_TEST, FLAG_REDUNDANT_DIRECTORY, FLAG_ZERO_GRAINS,
    VERSION_STREAM, descriptor_too_long,
};

/// Where the grain directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryPlace {
    /// The footer knows.
    Footer,
    /// At this sector of the file.
    At(Sector),
}

/// A header whose values were checked against the format and against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    version: u32,
    flags: u32,
    capacity_sectors: u64,
    grain_sectors: u64,
    /// Empty when there is no descriptor.
    descriptor: Range<u64>,
    table_entries: u32,
    redundant_directory: u64,
    directory: DirectoryPlace,
    overhead: Sector,
    unclean: bool,
}

impl Header {
    /// Returns the header of a stream as this crate writes it.
    ///
    /// The descriptor stands in `descriptor_sectors` from sector 1, the first grain on the first
    /// multiple of the grain size behind it.
    ///
    /// # Errors
    ///
    /// `Limit` for a capacity of no sectors or beyond 64 TiB, or a descriptor
    /// beyond [`DESCRIPTOR_SECTORS_MAX`].
    pub fn for_stream(capacity_sectors: u64, descriptor_sectors: u64) -> Result<Self> {
        if descriptor_sectors > DESCRIPTOR_SECTORS_MAX {
            return Err(descriptor_too_long(descriptor_sectors));
        }
        let descriptor = 1..1 + descriptor_sectors;
        let header = Self {
            version: VERSION_STREAM,
            flags: FLAG_NEWLINE_TEST | FLAG_COMPRESSED | FLAG_MARKERS,
            capacity_sectors,
            grain_sectors: GRAIN_SECTORS,
            overhead: Sector(descriptor.end.next_multiple_of(GRAIN_SECTORS)),
            descriptor,
            table_entries: TABLE_ENTRIES,
            redundant_directory: 0,
            directory: DirectoryPlace::Footer,
            unclean: false,
        };
        header.check_geometry()?;
        Ok(header)
    }

    /// Returns the header with free sectors between the descriptor and the first grain.
    #[must_use]
    pub(in crate::vmdk) fn with_reserve(self, sectors: u64) -> Self {
        Self { overhead: Sector(self.overhead.0 + sectors), ..self }
    }

    /// Returns the footer that belongs to this header once the directory stands at `directory`.
    #[must_use]
    pub fn with_directory(&self, directory: Sector) -> Self {
        Self { directory: DirectoryPlace::At(directory), ..self.clone() }
    }

    /// Returns whether the footer belongs to this header.
    ///
    /// Everything that says how to read the disk must be the same. The directory of course
    /// differs; so does the overhead in streams of Xen Orchestra, whose footer counts the tables.
    #[must_use]
    pub fn agrees_with_footer(&self, footer: &Self) -> bool {
        self.version == footer.version
            && self.flags == footer.flags
            && self.capacity_sectors == footer.capacity_sectors
            && self.grain_sectors == footer.grain_sectors
            && self.descriptor == footer.descriptor
            && self.table_entries == footer.table_entries
    }

    /// Returns whether grains are compressed and have markers, as in a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.flags & FLAG_MARKERS != 0
    }

    /// Returns whether the writer says that entries of tables may mean zeros.
    #[must_use]
    pub fn has_zero_grains(&self) -> bool {
        self.flags & FLAG_ZERO_GRAINS != 0
    }

    /// Returns whether the writer says that it did not finish cleanly.
    #[must_use]
    pub fn is_unclean(&self) -> bool {
        self.unclean
    }

    /// Returns the size of the guest's disk in sectors; it need not be a multiple of the grain.
    #[must_use]
    pub fn capacity_sectors(&self) -> u64 {
        self.capacity_sectors
    }

    /// Returns the size of the guest's disk in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_sectors * SECTOR_BYTES
    }

    /// Returns the size of a grain in sectors.
    #[must_use]
    pub fn grain_sectors(&self) -> u64 {
        self.grain_sectors
    }

    /// Returns the size of a grain in bytes.
    #[must_use]
    pub fn grain_bytes(&self) -> u64 {
        self.grain_sectors * SECTOR_BYTES
    }

    /// Returns how many grains the disk has, the last one possibly short.
    #[must_use]
    pub fn grains(&self) -> u64 {
        self.capacity_sectors.div_ceil(self.grain_sectors)
    }

    /// Returns how many bytes of the guest's disk the grain `index` holds; 0 behind the end.
    #[must_use]
    pub fn guest_bytes_of(&self, index: u64) -> u64 {
        let start = index.saturating_mul(self.grain_sectors);
        self.capacity_sectors.saturating_sub(start).min(self.grain_sectors) * SECTOR_BYTES
    }

    /// Returns how many entries a grain table has.
    #[must_use]
    pub fn table_entries(&self) -> u32 {
        self.table_entries
    }

    /// Returns the length of a grain table in sectors.
    #[must_use]
    pub fn table_sectors(&self) -> u64 {
        (u64::from(self.table_entries) * ENTRY_BYTES).div_ceil(SECTOR_BYTES)
    }

    /// Returns how many entries the grain directory has, one per table.
    #[must_use]
    pub fn directory_entries(&self) -> u64 {
        self.grains().div_ceil(u64::from(self.table_entries))
    }

    /// Returns the length of the grain directory in sectors.
    #[must_use]
    pub fn directory_sectors(&self) -> u64 {
        (self.directory_entries() * ENTRY_BYTES).div_ceil(SECTOR_BYTES)
    }

    /// Returns the sectors of the embedded descriptor, half-open; empty when there is none.
    #[must_use]
    pub fn descriptor(&self) -> Range<u64> {
        self.descriptor.clone()
    }

    /// Returns where the grain directory is.
    #[must_use]
    pub fn directory(&self) -> DirectoryPlace {
        self.directory
    }

    /// Returns where the second grain directory is, if there is one and its place is known.
    #[must_use]
    pub fn redundant_directory(&self) -> Option<Sector> {
        let known = ![0, DIRECTORY_IN_FOOTER].contains(&self.redundant_directory);
        (self.flags & FLAG_REDUNDANT_DIRECTORY != 0 && known).then_some(Sector(self.redundant_directory))
    }

    /// Returns where metadata in front ends and, in a stream, the first marker stands.
    #[must_use]
    pub fn overhead(&self) -> Sector {
        self.overhead
    }
}

#[cfg(test)]
mod tests;
