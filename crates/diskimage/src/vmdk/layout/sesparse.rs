//! The structures of a space-efficient sparse delta, as VMFS 6 has them.
//!
//! VMware does not document them; QEMU and Xen Orchestra read them, and agree. All numbers have 64
//! bits, all positions and sizes are sectors.
//!
//! | off | constant header | off | each a place and a size |
//! |--:|---|--:|---|
//! | 0 | magic `0xcafebabe` | 80 | volatile header |
//! | 8 | version `0x2_0000_0001` | 96 | journal header |
//! | 16 | capacity | 112 | journal |
//! | 24 | grain size, 8 | 128 | grain directory |
//! | 32 | table size, 64 | 144 | grain tables |
//! | 40 | flags, 0 | 160 | free bitmap |
//! | 48 | reserved, 0 | 176 | back map |
//! | 208 | padding, 0 | 192 | grains |
//!
//! The volatile header has the magic `0xcafecafe` and, at 24, whether the journal must be replayed
//! first. With no specification to argue with, every deviation is refused.

use super::{CAPACITY_SECTORS_MAX, SECTOR_LEN, Sector, SectorBytes, field};
use crate::{Error, Result};

/// Size of every grain: 4 KiB, in sectors.
pub const GRAIN_SECTORS: u64 = 8;
/// Length of every grain table in sectors.
pub const TABLE_SECTORS: u64 = 64;
/// Entries of every grain table.
pub const TABLE_ENTRIES: u64 = 4096;
/// Entries in one sector of a directory or table.
const SECTOR_ENTRIES: u64 = 64;

const MAGIC: u64 = 0xcafe_babe;
const VERSION: u64 = 0x2_0000_0001;
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;

/// The upper half of the directory entry of a table that exists.
const DIRECTORY_ENTRY_PRESENT: u64 = 0x1000_0000;

/// The constant header, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeSparseHeader {
    /// Size of the guest's disk in sectors.
    pub capacity_sectors: u64,
    /// Where the volatile header is.
    pub volatile_header: Sector,
    /// Where the grain directory is.
    pub directory: Sector,
    /// Entries of the directory that the capacity needs; the file may have more.
    pub directory_entries: u64,
    /// Where the first grain table is.
    pub tables: Sector,
    /// How many grain tables there is room for.
    pub tables_count: u64,
    /// Where the first grain is.
    pub grains: Sector,
    /// How many grains there is room for.
    pub grains_count: u64,
}

impl SeSparseHeader {
    /// Parses and checks the first sector of a file.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Unsupported` for every deviation from the one known form, `Limit` for a
    /// capacity of no sectors or beyond 64 TiB.
    pub fn parse(sector: &SectorBytes) -> Result<Self> {
        let at = |offset: usize| u64::from_le_bytes(field(sector, offset));
        if at(0) != MAGIC {
            return Err(Error::corrupt("a seSparse delta starts with its magic number"));
        }
        for (offset, name, value) in
            [(8, "version", VERSION), (24, "grain size", GRAIN_SECTORS), (32, "table size", TABLE_SECTORS)]
        {
            if at(offset) != value {
                return Err(Error::unsupported("version and sizes of a seSparse delta are the known ones")
                    .found(format!("{name} {:#x}", at(offset)))
                    .at(crate::number::u64_from(offset)));
            }
        }
        if at(40) != 0 || sector[48..80].iter().chain(&sector[208..]).any(|&byte| byte != 0) {
            return Err(Error::unsupported("flags, reserved fields and padding of a seSparse delta are zero").at(40));
        }
        let capacity_sectors = at(16);
        if !(1..=CAPACITY_SECTORS_MAX).contains(&capacity_sectors) {
            return Err(Error::limit("the capacity is between one sector and 64 TiB")
                .found(format!("{capacity_sectors} sectors"))
                .at(16));
        }
        let directory_entries = capacity_sectors.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
        if at(136) < directory_entries.div_ceil(SECTOR_ENTRIES) {
            return Err(Error::corrupt("the directory covers the capacity")
                .found(format!("{} sectors for {directory_entries} entries", at(136)))
                .at(136));
        }
        Ok(Self {
            capacity_sectors,
            volatile_header: Sector(at(80)),
            directory: Sector(at(128)),
            directory_entries,
            tables: Sector(at(144)),
            tables_count: at(152) / TABLE_SECTORS,
            grains: Sector(at(192)),
            grains_count: at(200) / GRAIN_SECTORS,
        })
    }
}

/// Checks the volatile header of a delta.
///
/// # Errors
///
/// `Corrupt` for another magic or padding, `Unsupported` when the journal must be replayed first.
pub fn check_volatile_header(sector: &SectorBytes) -> Result<()> {
    let at = |offset: usize| u64::from_le_bytes(field(sector, offset));
    if at(0) != VOLATILE_MAGIC {
        return Err(Error::corrupt("the volatile header of a seSparse delta starts with its magic number"));
    }
    if at(24) != 0 {
        return Err(Error::unsupported(
            "the journal of a seSparse delta is empty (this one was not closed cleanly; open it once on its host)",
        ));
    }
    if sector[32..SECTOR_LEN].iter().any(|&byte| byte != 0) {
        return Err(Error::unsupported("the padding of the volatile header is zero"));
    }
    Ok(())
}

/// Returns the number of the table that a directory entry names; `None` for an absent table.
///
/// # Errors
///
/// `Corrupt` for any other form of entry.
pub fn table_of(entry: u64) -> Result<Option<u64>> {
    match (entry >> 32, entry & 0xffff_ffff) {
        (0, 0) => Ok(None),
        (DIRECTORY_ENTRY_PRESENT, table) => Ok(Some(table)),
        _ => Err(Error::corrupt("an entry of a seSparse directory is absent or has the upper half 0x10000000")
            .found(format!("{entry:#x}"))),
    }
}

/// What an entry of a grain table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeSparseEntry {
    /// The parent has it.
    Absent,
    /// Zeros, whatever the parent has: unmapped by the guest, or known to be zero.
    Zero,
    /// The grain of this number.
    Grain(u64),
}

impl SeSparseEntry {
    /// Decodes an entry.
    ///
    /// # Errors
    ///
    /// `Corrupt` for unknown types, and for an absent grain that has a number.
    pub fn decode(entry: u64) -> Result<Self> {
        const TYPE_SHIFT: u32 = 60;
        const LOW_SHIFT: u32 = 48;
        const LOW_BITS: u32 = 12;
        let payload = entry & ((1 << TYPE_SHIFT) - 1);
        match entry >> TYPE_SHIFT {
            0 if payload == 0 => Ok(Self::Absent),
            1 | 2 => Ok(Self::Zero),
            3 => {
                // The low twelve bits of the number stand above the others.
                let low = payload >> LOW_SHIFT;
                let high = payload & ((1 << LOW_SHIFT) - 1);
                Ok(Self::Grain(high << LOW_BITS | low))
            }
            _ => {
                Err(Error::corrupt("an entry of a seSparse table has one of the types 0 to 3")
                    .found(format!("{entry:#x}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn header() -> SectorBytes {
        let mut sector = [0; SECTOR_LEN];
        for (offset, value) in [
            (0, MAGIC),
            (8, VERSION),
            (16, 100_000),
            (24, 8),
            (32, 64),
            (80, 1),
            (88, 1),
            (128, 8),
            (136, 8),
            (144, 16),
            (152, 640),
            (192, 1024),
            (200, 8000),
        ] {
            sector[offset..offset + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        sector
    }

    #[test]
    fn a_header_is_read() {
        let read = SeSparseHeader::parse(&header()).unwrap();
        assert_eq!((read.directory_entries, read.tables_count, read.grains_count), (4, 10, 1000));
        assert_eq!((read.volatile_header, read.directory), (Sector(1), Sector(8)));
    }

    #[test]
    fn every_deviation_is_refused() {
        use ErrorKind::{Corrupt, Limit, Unsupported};
        for (offset, kind) in [
            (0, Corrupt),
            (8, Unsupported),
            (24, Unsupported),
            (32, Unsupported),
            (40, Unsupported),
            (48, Unsupported),
            (72, Unsupported),
            (208, Unsupported),
            (504, Unsupported),
        ] {
            let mut sector = header();
            sector[offset] ^= 1;
            assert_eq!(SeSparseHeader::parse(&sector).unwrap_err().kind(), kind, "{offset}");
        }
        for (capacity, kind) in [(0, Limit), (u64::MAX, Limit), (CAPACITY_SECTORS_MAX, Corrupt)] {
            let mut sector = header();
            sector[16..24].copy_from_slice(&capacity.to_le_bytes());
            assert_eq!(SeSparseHeader::parse(&sector).unwrap_err().kind(), kind, "{capacity}");
        }
    }

    #[test]
    fn a_journal_that_must_be_replayed_is_unsupported() {
        let mut sector = [0; SECTOR_LEN];
        sector[..8].copy_from_slice(&VOLATILE_MAGIC.to_le_bytes());
        check_volatile_header(&sector).unwrap();
        for (offset, kind) in [(0, ErrorKind::Corrupt), (24, ErrorKind::Unsupported), (32, ErrorKind::Unsupported)] {
            let mut sector = sector;
            sector[offset] ^= 1;
            assert_eq!(check_volatile_header(&sector).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn the_number_of_a_grain_is_put_together_from_its_halves() {
        for grain in [0, 1, 4095, 4096, 5000, (1 << 60) - 1] {
            let entry = 3 << 60 | (grain & 0xfff) << 48 | grain >> 12;
            assert_eq!(SeSparseEntry::decode(entry).unwrap(), SeSparseEntry::Grain(grain));
        }
        assert_eq!(SeSparseEntry::decode(0).unwrap(), SeSparseEntry::Absent);
        for entry in [1 << 60, 1 << 60 | 77, 2 << 60] {
            assert_eq!(SeSparseEntry::decode(entry).unwrap(), SeSparseEntry::Zero);
        }
        for entry in [1, 4 << 60, u64::MAX] {
            assert_eq!(SeSparseEntry::decode(entry).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_directory_entry_names_a_table_or_none() {
        assert_eq!(table_of(0).unwrap(), None);
        assert_eq!(table_of(0x1000_0000_0000_0007).unwrap(), Some(7));
        for entry in [7, 0x2000_0000_0000_0007, u64::MAX] {
            assert_eq!(table_of(entry).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
