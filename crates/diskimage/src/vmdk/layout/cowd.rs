//! The header of a delta of ESX: the letters COWD.
//!
//! | off | size | name | meaning |
//! |--:|--:|---|---|
//! | 0 | 4 | magic | `COWD` |
//! | 4 | 4 | version | 1 |
//! | 8 | 4 | flags | 3 |
//! | 12 | 4 | sectors | capacity; 32 bits allow 2 TiB |
//! | 16 | 4 | grain size | sectors, a power of two; 1 by default |
//! | 20 | 4 | directory | its sector, 4 |
//! | 24 | 4 | directory entries | one per 4096 grains |
//! | 28 | 4 | free sector | where the next grain would go |
//! | 32 | 1024 | parent | a name, often empty; not to be followed |
//! | 1648 | 4 | unclean shutdown | 1 = not closed cleanly |
//!
//! The header has 2048 bytes. A directory entry is the sector of a table of 4096 entries, an entry
//! of a table the sector of a grain; 0 is absent, 1 in a table means zeros. The source of the
//! layout is VMware's note; limits on values that it does not limit are ours.

use super::{SECTOR_BYTES, Sector};
use crate::{Error, Result};

/// Length of the header.
pub const HEADER_LEN: usize = 2048;
/// Entries of every grain table.
pub const TABLE_ENTRIES: u32 = 4096;

const HEADER_SECTORS: u32 = 4;
const MAGIC: &[u8; 4] = b"COWD";
const VERSION: u32 = 1;
const FLAGS: u32 = 3;
/// The note allows grains up to 1 MiB.
const GRAIN_SECTORS_MAX: u32 = 2048;

/// A header whose values were checked against the format and against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CowdHeader {
    /// Size of the guest's disk in sectors, at least 1.
    pub capacity_sectors: u32,
    /// Size of a grain in sectors, a power of two up to 2048.
    pub grain_sectors: u32,
    /// Where the directory is.
    pub directory: Sector,
    /// Entries of the directory that the capacity needs; the file may have more.
    pub directory_entries: u32,
    /// Whether the flags are those that the note gives.
    pub has_known_flags: bool,
    /// Whether the writer says that it did not finish cleanly.
    pub is_unclean: bool,
}

impl CowdHeader {
    /// Parses and checks the first bytes of a file.
    ///
    /// # Errors
    ///
    /// `Truncated` for fewer than [`HEADER_LEN`] bytes, `Unsupported` for another version,
    /// `Corrupt` for what no writer may write.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Error::truncated("a COWD header has 2048 bytes").found(format!("{} bytes", bytes.len())));
        };
        let u32_at = |offset: usize| {
            let mut field = [0; 4];
            field.copy_from_slice(&bytes[offset..offset + 4]);
            u32::from_le_bytes(field)
        };
        if !bytes.starts_with(MAGIC) {
            return Err(Error::corrupt("a delta of ESX starts with the letters COWD"));
        }
        if u32_at(4) != VERSION {
            return Err(Error::unsupported("the version of a COWD delta is 1")
                .found(format!("version {}", u32_at(4)))
                .at(4));
        }
        let (capacity_sectors, grain_sectors) = (u32_at(12), u32_at(16));
        if capacity_sectors == 0 {
            return Err(Error::limit("the capacity is between one sector and 2 TiB").at(12));
        }
        if !grain_sectors.is_power_of_two() || grain_sectors > GRAIN_SECTORS_MAX {
            return Err(Error::corrupt("the grain size of a COWD delta is a power of two up to 1 MiB")
                .found(format!("{grain_sectors} sectors"))
                .at(16));
        }
        let directory = u32_at(20);
        if directory < HEADER_SECTORS {
            return Err(Error::corrupt("the directory stands behind the header").found(format!("{directory}")).at(20));
        }
        let directory_entries = capacity_sectors.div_ceil(grain_sectors).div_ceil(TABLE_ENTRIES);
        if u32_at(24) < directory_entries {
            return Err(Error::corrupt("the directory covers the capacity")
                .found(format!("{} entries of {directory_entries}", u32_at(24)))
                .at(24));
        }
        Ok(Self {
            capacity_sectors,
            grain_sectors,
            directory: Sector(directory.into()),
            directory_entries,
            has_known_flags: u32_at(8) == FLAGS,
            is_unclean: u32_at(1648) != 0,
        })
    }

    /// Returns the size of the guest's disk in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        u64::from(self.capacity_sectors) * SECTOR_BYTES
    }

    /// Returns the size of a grain in bytes.
    #[must_use]
    pub fn grain_bytes(&self) -> u64 {
        u64::from(self.grain_sectors) * SECTOR_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn header() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        for (offset, value) in [(4, 1_u32), (8, 3), (12, 9000), (16, 1), (20, 4), (24, 3), (28, 5)] {
            bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[..4].copy_from_slice(MAGIC);
        bytes
    }

    #[test]
    fn a_header_is_read() {
        let read = CowdHeader::parse(&header()).unwrap();
        assert_eq!((read.capacity_bytes(), read.grain_bytes(), read.directory_entries), (9000 * 512, 512, 3));
        assert!(read.has_known_flags && !read.is_unclean);
    }

    #[test]
    fn impossible_headers_are_refused_by_the_right_kind() {
        use ErrorKind::{Corrupt, Limit, Unsupported};
        for (offset, value, kind) in [
            (0, 0, Corrupt),
            (4, 2, Unsupported),
            (12, 0, Limit),
            (12, 3 * 4096 + 1, Corrupt),
            (16, 0, Corrupt),
            (16, 3, Corrupt),
            (16, 4096, Corrupt),
            (20, 3, Corrupt),
            (24, 2, Corrupt),
        ] {
            let mut bytes = header();
            bytes[offset..offset + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert_eq!(CowdHeader::parse(&bytes).unwrap_err().kind(), kind, "{offset} {value}");
        }
        assert_eq!(CowdHeader::parse(&header()[1..]).unwrap_err().kind(), ErrorKind::Truncated);
    }

    #[test]
    fn the_largest_capacity_does_not_overflow() {
        let mut bytes = header();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(CowdHeader::parse(&bytes).unwrap().directory_entries, 1 << 20);
    }
}
