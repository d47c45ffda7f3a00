//! Entries of the L1 and L2 tables.
//!
//! | bits | L1 | L2, plain | L2, compressed |
//! |---|---|---|---|
//! | 0 | 0 | reads as zeros (version 3) | position … |
//! | 1–8 | 0 | 0 | … in bytes … |
//! | 9–55 | position of the L2 table | position of the cluster | … up to bit x − 1 |
//! | 56–61 | 0 | 0 | from bit x: further 512-byte sectors that the data touch |
//! | 62 | 0 | 0 | 1 |
//! | 63 | refcount is one | refcount is one | 0 |
//!
//! x is 62 − (cluster_bits − 8). A position of 0 means that there is nothing, because the header
//! stands there.

use std::ops::Range;

use super::layout::{Geometry, SECTOR_BYTES};
use crate::{Error, Result};

/// "This cluster has no other user", which a writer may use to write in place.
const COPIED: u64 = 1 << 63;
/// The data are compressed.
const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros, whatever lies at its position or below in the chain.
const READS_AS_ZERO: u64 = 1;
/// Where the position stands in an entry that is not compressed.
const POSITION: u64 = ((1 << 56) - 1) & !(SECTOR_BYTES - 1);

/// What the file says of a cluster of the guest's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nothing: the backing file counts, or zeros.
    Unallocated,
    /// Zeros, whatever the backing file has.
    Zero {
        /// A cluster that is kept for later.
        host: Option<u64>,
    },
    /// The bytes as they are, at this position.
    Plain {
        /// Position in the file, a multiple of the cluster.
        host: u64,
    },
    /// Compressed bytes.
    Compressed(Blob),
}

/// Where compressed bytes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// First byte in the file; any.
    pub offset: u64,
    /// Length up to the end of the last sector: the data may end before.
    pub len_bytes: u64,
}

impl Blob {
    /// Returns the bytes of the file, half-open.
    #[must_use]
    pub fn range(self) -> Range<u64> {
        self.offset..self.offset + self.len_bytes
    }
}

/// Decodes an entry of an L2 table.
///
/// Checks everything that needs no more than the entry: who knows the file checks that the
/// position lies inside of it.
///
/// # Errors
/// `Corrupt` for reserved bits and a position that is no multiple of the cluster.
pub fn decode_l2(entry: u64, geometry: Geometry, has_zero_flag: bool) -> Result<Mapping> {
    if entry & COMPRESSED != 0 {
        if entry & COPIED != 0 {
            return Err(broken("the entry of a compressed cluster has bit 63 clear", entry));
        }
        return Ok(Mapping::Compressed(decode_compressed(entry & !COMPRESSED, geometry)));
    }
    let reads_as_zero = entry & READS_AS_ZERO != 0;
    if reads_as_zero && !has_zero_flag {
        return Err(broken("bit 0 of an L2 entry is clear in version 2", entry));
    }
    let host = position(entry & !READS_AS_ZERO, geometry)?;
    Ok(match host {
        _ if reads_as_zero => Mapping::Zero { host },
        None => Mapping::Unallocated,
        Some(host) => Mapping::Plain { host },
    })
}

fn decode_compressed(entry: u64, geometry: Geometry) -> Blob {
    let bits = geometry.compressed_offset_bits();
    let offset = entry & ((1 << bits) - 1);
    let further_sectors = entry >> bits;
    // Below 2^62 and 2^14 sectors: no sum overflows.
    let end = (offset / SECTOR_BYTES + further_sectors + 1) * SECTOR_BYTES;
    Blob { offset, len_bytes: end - offset }
}

/// Decodes an entry of the L1 table to the position of an L2 table.
///
/// # Errors
/// `Corrupt` for reserved bits and a position that is no multiple of the cluster.
pub fn decode_l1(entry: u64, geometry: Geometry) -> Result<Option<u64>> {
    position(entry, geometry)
}

fn position(entry: u64, geometry: Geometry) -> Result<Option<u64>> {
    if entry & !COPIED & !POSITION != 0 {
        return Err(broken("reserved bits of a table entry are clear", entry));
    }
    let host = entry & POSITION;
    if !geometry.is_aligned(host) {
        return Err(broken("a table entry points at the start of a cluster", entry));
    }
    if host == 0 && entry != 0 {
        return Err(broken("a table entry without a position has no flags", entry));
    }
    Ok((host != 0).then_some(host))
}

/// Encodes an entry of the L1 table, or a plain one of an L2 table, that is the only user of its
/// cluster; without its bit 63 `qemu-img check` would complain.
pub(super) fn encode_sole(host: u64) -> u64 {
    debug_assert!(host != 0 && host & !POSITION == 0, "a position of a cluster: {host:#x}");
    host | COPIED
}

/// Encodes the entry of `len_bytes` compressed bytes at `offset`, or returns `None` where the
/// format has too few bits for the position.
pub(super) fn encode_compressed(offset: u64, len_bytes: u64, geometry: Geometry) -> Option<u64> {
    let bits = geometry.compressed_offset_bits();
    if len_bytes == 0
        || len_bytes >= geometry.cluster_bytes() + SECTOR_BYTES
        || offset.checked_add(len_bytes)? > 1 << bits
    {
        return None;
    }
    let further_sectors = (offset + len_bytes - 1) / SECTOR_BYTES - offset / SECTOR_BYTES;
    Some(COMPRESSED | further_sectors << bits | offset)
}

fn broken(rule: &'static str, entry: u64) -> Error {
    Error::corrupt(rule).found(format!("{entry:#018x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const USUAL: fn() -> Geometry = || Geometry::new(16).unwrap();

    #[test]
    fn entries_of_every_kind_are_told_apart() {
        let decode = |entry| decode_l2(entry, USUAL(), true).unwrap();
        assert_eq!(decode(0), Mapping::Unallocated);
        assert_eq!(decode(1), Mapping::Zero { host: None });
        assert_eq!(decode(COPIED | 0x50001), Mapping::Zero { host: Some(0x50000) });
        assert_eq!(decode(0x50000), Mapping::Plain { host: 0x50000 });
        assert_eq!(decode(encode_sole(0x50000)), Mapping::Plain { host: 0x50000 });
        assert_eq!(decode_l1(encode_sole(0x70000), USUAL()).unwrap(), Some(0x70000));
        assert_eq!(decode_l1(0, USUAL()).unwrap(), None);
    }

    #[test]
    fn compressed_entries_count_the_sectors_that_the_data_touch() {
        for (offset, len_bytes, sectors) in [(0x50000, 1, 1), (0x501ff, 1, 1), (0x501ff, 2, 2), (0x50200, 512, 1)] {
            for bits in [9, 16, 21] {
                let geometry = Geometry::new(bits).unwrap();
                let entry = encode_compressed(offset, len_bytes, geometry).unwrap();
                let Mapping::Compressed(blob) = decode_l2(entry, geometry, false).unwrap() else {
                    panic!("{entry:#x} is compressed");
                };
                assert_eq!(blob.offset, offset);
                assert_eq!(blob.range().end, (offset / 512 + sectors) * 512);
            }
        }
        assert_eq!(encode_compressed(1 << 54, 1, USUAL()), None, "no bits for the position");
        assert_eq!(encode_compressed(0x50000, 66048, USUAL()), None, "longer than a cluster in its sectors");
    }

    #[test]
    fn what_is_reserved_is_corrupt() {
        let bad = [1 << 1, 1 << 8, 1 << 56, 1 << 61, COPIED, 0x50200, COPIED | 0x58000, COMPRESSED | COPIED | 0x50000];
        for entry in bad {
            let error = decode_l2(entry, USUAL(), true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{entry:#x}");
        }
        assert!(decode_l2(1, USUAL(), false).is_err(), "version 2 has no zero flag");
        assert!(decode_l1(1, USUAL()).is_err(), "an L1 entry has none either");
        assert!(decode_l1(COMPRESSED | 0x50000, USUAL()).is_err());
    }

    #[test]
    fn no_entry_makes_decoding_panic() {
        for high in 0..=0xffff_u64 {
            for low in [0, 1, 0x1ff, 0xffff_ffff, u64::MAX >> 16] {
                for bits in [9, 16, 21] {
                    let geometry = Geometry::new(bits).unwrap();
                    let _mapping = decode_l2(high << 48 | low, geometry, true);
                    let _table = decode_l1(high << 48 | low, geometry);
                }
            }
        }
    }
}
