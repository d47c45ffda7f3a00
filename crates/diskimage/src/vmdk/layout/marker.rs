//! Markers: what stands in front of every part of a stream.
//!
//! | off | size | grain marker | any other marker |
//! |--:|--:|---|---|
//! | 0 | 8 | guest sector of the grain | how many sectors follow; 0 in some writers |
//! | 8 | 4 | compressed bytes, more than 0 | 0 |
//! | 12 | 4 | the compressed bytes begin here | type |
//! | 16 | 496 | … zeros up to the next sector | zeros |

use super::{SECTOR_LEN, Sector, SectorBytes, field};
use crate::{Error, Result};

/// Bytes of a grain's marker; the compressed grain follows at once, in the same sector.
pub const GRAIN_MARKER_BYTES: usize = 12;

const TYPE_END_OF_STREAM: u32 = 0;
const TYPE_GRAIN_TABLE: u32 = 1;
const TYPE_GRAIN_DIRECTORY: u32 = 2;
const TYPE_FOOTER: u32 = 3;
/// Not in the note. Recent vSphere versions write it now and then; VirtualBox skips the sector and
/// open-vmdk's sources call it "progress".
const TYPE_PROGRESS: u32 = 4;

const OFFSET_SIZE: usize = 8;
const OFFSET_TYPE: usize = 12;

/// One marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A compressed grain follows in the same sector, [`GRAIN_MARKER_BYTES`] in.
    Grain {
        /// First sector of the grain on the guest's disk.
        lba: Sector,
        /// Length of the compressed bytes.
        size_bytes: u32,
    },
    /// The end; also what any sector of zeros looks like.
    EndOfStream,
    /// Grain tables follow.
    GrainTable {
        /// Their length; 0 where the writer left it to the header.
        sectors: u64,
    },
    /// The grain directory follows.
    GrainDirectory {
        /// Its length; 0 where the writer left it to the header.
        sectors: u64,
    },
    /// The footer, a second header, follows.
    Footer {
        /// Its length, 1; 0 in some writers.
        sectors: u64,
    },
    /// Nothing of use follows.
    Progress {
        /// Undocumented.
        value: u64,
    },
}

impl Marker {
    /// Decodes the sector in which a marker stands.
    ///
    /// Only the end marker must be zero to the end of its sector, because that is its definition;
    /// what others carry behind their type is not looked at, as no reader does.
    ///
    /// # Errors
    ///
    /// `Corrupt` for an unknown type, and for an end marker with content.
    pub fn decode(sector: &SectorBytes) -> Result<Self> {
        let value = u64::from_le_bytes(field(sector, 0));
        let size_bytes = u32::from_le_bytes(field(sector, OFFSET_SIZE));
        if size_bytes > 0 {
            return Ok(Self::Grain { lba: Sector(value), size_bytes });
        }
        match u32::from_le_bytes(field(sector, OFFSET_TYPE)) {
            TYPE_END_OF_STREAM if sector.iter().all(|&byte| byte == 0) => Ok(Self::EndOfStream),
            TYPE_END_OF_STREAM => Err(Error::corrupt("the end marker is a sector of zeros")),
            TYPE_GRAIN_TABLE => Ok(Self::GrainTable { sectors: value }),
            TYPE_GRAIN_DIRECTORY => Ok(Self::GrainDirectory { sectors: value }),
            TYPE_FOOTER => Ok(Self::Footer { sectors: value }),
            TYPE_PROGRESS => Ok(Self::Progress { value }),
            other => Err(Error::corrupt("a marker has one of the types 0 to 4").found(format!("type {other}"))),
        }
    }

    /// Encodes the marker as a whole sector; that of a grain still lacks the compressed bytes.
    #[must_use]
    pub fn encode(&self) -> SectorBytes {
        let (value, size_bytes, kind) = match *self {
            Self::Grain { lba, size_bytes } => (lba.0, size_bytes, 0),
            Self::EndOfStream => (0, 0, TYPE_END_OF_STREAM),
            Self::GrainTable { sectors } => (sectors, 0, TYPE_GRAIN_TABLE),
            Self::GrainDirectory { sectors } => (sectors, 0, TYPE_GRAIN_DIRECTORY),
            Self::Footer { sectors } => (sectors, 0, TYPE_FOOTER),
            Self::Progress { value } => (value, 0, TYPE_PROGRESS),
        };
        let mut sector = [0; SECTOR_LEN];
        sector[..GRAIN_MARKER_BYTES].copy_from_slice(&grain_marker(Sector(value), size_bytes));
        sector[OFFSET_TYPE..OFFSET_TYPE + 4].copy_from_slice(&kind.to_le_bytes());
        sector
    }
}

/// Returns the bytes of a grain's marker alone, to be followed by the compressed grain.
#[must_use]
pub fn grain_marker(lba: Sector, size_bytes: u32) -> [u8; GRAIN_MARKER_BYTES] {
    let mut bytes = [0; GRAIN_MARKER_BYTES];
    bytes[..OFFSET_SIZE].copy_from_slice(&lba.0.to_le_bytes());
    bytes[OFFSET_SIZE..].copy_from_slice(&size_bytes.to_le_bytes());
    bytes
}

/// Returns what a grain's marker says: the grain's first sector on the guest's disk, and the length
/// of the compressed bytes, which is 0 in markers of other types.
#[must_use]
pub fn parse_grain_marker(bytes: &[u8; GRAIN_MARKER_BYTES]) -> (Sector, u32) {
    let &[l0, l1, l2, l3, l4, l5, l6, l7, s0, s1, s2, s3] = bytes;
    (Sector(u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7])), u32::from_le_bytes([s0, s1, s2, s3]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn every_marker_survives_encoding_and_decoding() {
        let lba = Sector(0x0102_0304_0506);
        for marker in [
            Marker::Grain { lba, size_bytes: 9 },
            Marker::EndOfStream,
            Marker::GrainTable { sectors: 4 },
            Marker::GrainDirectory { sectors: 0 },
            Marker::Footer { sectors: 1 },
            Marker::Progress { value: u64::MAX },
        ] {
            assert_eq!(Marker::decode(&marker.encode()).unwrap(), marker);
        }
    }

    #[test]
    fn fields_stand_where_the_note_puts_them() {
        let sector = Marker::GrainTable { sectors: 4 }.encode();
        assert_eq!(sector[..16], [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        let lba = Sector(0x80);
        assert_eq!(grain_marker(lba, 0x1234), [0x80, 0, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 0, 0]);
        assert_eq!(parse_grain_marker(&grain_marker(lba, 0x1234)), (lba, 0x1234));
    }

    #[test]
    fn an_unknown_type_is_corrupt() {
        let mut sector = [0; SECTOR_LEN];
        sector[OFFSET_TYPE] = 5;
        assert_eq!(Marker::decode(&sector).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn an_end_marker_with_content_is_corrupt() {
        for offset in [0, 16, 511] {
            let mut sector = [0; SECTOR_LEN];
            sector[offset] = 1;
            assert_eq!(Marker::decode(&sector).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
