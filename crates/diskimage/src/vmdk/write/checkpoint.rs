//! What a commit tells.
//!
//! | off | size | meaning |
//! |--:|--:|---|
//! | 0 | 8 | `vmdkstr1` |
//! | 8 | 8 | number of this checkpoint, from 0 |
//! | 16 | 4 | checksum of the one before, or 0 |
//! | 20 | 4 | CRC-32 of header and descriptor |
//! | 24 | 8 | bytes of the guest's disk that are covered |
//! | 32 | 8 | sector of the file behind the last whole grain of them |
//! | 40 | 4 | trail of the grains up to there: which they are and where they stand |
//! | 44 | 4 | CRC-32 of the bytes that are no whole grain |
//! | 48 | 4 | 0 these are zeros, or none; 1 they are stored |
//! | 52 | 4 | CRC-32 of all before |
//!
//! Numbers are little-endian. The checksums chain the list: a checkpoint that is not of this disk,
//! or not next, is refused. There is no list of grains: the markers in the file are one, and the
//! trail says whether they are the same as they were.

use libdeflater::crc32;

use super::tail::Tail;
use crate::vmdk::layout::Sector;
use crate::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"vmdkstr1";
const LEN: usize = 56;

const TAIL_ZERO: u32 = 0;
const TAIL_STORED: u32 = 1;

/// How far the list of checkpoints got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    number: u64,
    checksum: u32,
}

/// One checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The guest's byte that the next write begins with.
    pub(super) next: u64,
    /// Where the file goes on.
    pub(super) position: Sector,
    /// See [`crate::vmdk::stream_write::Parts::trail`].
    pub(super) trail: u32,
    pub(super) tail: Tail,
}

impl Checkpoint {
    /// Encodes the next checkpoint of a list.
    pub(super) fn encode(&self, head_checksum: u32, chain: &mut Chain) -> Vec<u8> {
        let (checksum, kind) = match self.tail {
            Tail::Zero => (0, TAIL_ZERO),
            Tail::Stored(checksum) => (checksum, TAIL_STORED),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(chain.number.to_le_bytes());
        bytes.extend(chain.checksum.to_le_bytes());
        bytes.extend(head_checksum.to_le_bytes());
        bytes.extend(self.next.to_le_bytes());
        bytes.extend(self.position.0.to_le_bytes());
        bytes.extend(self.trail.to_le_bytes());
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        let checksum = crc32(&bytes);
        bytes.extend(checksum.to_le_bytes());
        *chain = Chain { number: chain.number + 1, checksum };
        bytes
    }

    /// Decodes a checkpoint that must be the next one of a list.
    pub(super) fn decode(bytes: &[u8], head_checksum: u32, chain: &mut Chain) -> Result<Self> {
        let bytes: &[u8; LEN] = bytes
            .try_into()
            .ok()
            .filter(|bytes: &&[u8; LEN]| bytes.starts_with(&MAGIC))
            .ok_or_else(|| refused("a checkpoint is one of a stream writer"))?;
        let tail = match number_32(bytes, 48) {
            TAIL_ZERO => Tail::Zero,
            _ => Tail::Stored(number_32(bytes, 44)),
        };
        let (next, position) = (number_64(bytes, 24), Sector(number_64(bytes, 32)));
        let decoded = Self { next, position, trail: number_32(bytes, 40), tail };
        // Everything else is known; so compare with what we would write.
        let mut expected = *chain;
        if decoded.encode(head_checksum, &mut expected) != bytes {
            return Err(refused("a checkpoint is the next one of this disk"));
        }
        *chain = expected;
        Ok(decoded)
    }
}

/// Returns the error for checkpoints that do not belong here.
pub(super) fn refused(rule: &'static str) -> Error {
    Error::new(ErrorKind::Checkpoint, rule)
}

fn number_32(bytes: &[u8; LEN], offset: usize) -> u32 {
    bytes[offset..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn number_64(bytes: &[u8; LEN], offset: usize) -> u64 {
    bytes[offset..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Checkpoint =
        Checkpoint { next: 70_000, position: Sector(500), trail: 9, tail: Tail::Stored(0xdead_beef) };
    const TWO: Checkpoint = Checkpoint { next: 1 << 40, position: Sector(1 << 31), trail: 0, tail: Tail::Zero };

    #[test]
    fn a_list_is_decoded_in_its_order_only_and_for_its_disk_only() {
        let mut chain = Chain::default();
        let list = [ONE.encode(7, &mut chain), TWO.encode(7, &mut chain)];
        let decode = |list: &[&[u8]], head| {
            let mut chain = Chain::default();
            list.iter().map(|bytes| Checkpoint::decode(bytes, head, &mut chain)).collect::<Result<Vec<_>>>()
        };
        assert_eq!(decode(&[&list[0], &list[1]], 7).unwrap(), [ONE, TWO]);
        assert_eq!(decode(&[&list[0]], 7).unwrap(), [ONE]);
        for (wrong, head) in [
            (&[&list[1][..]][..], 7),
            (&[&list[0], &list[0]], 7),
            (&[&list[0], &list[1], &list[1]], 7),
            (&[&list[0]], 8),
            (&[b"qcow2ck1"], 7),
            (&[&list[0][..LEN - 1]], 7),
            (&[b""], 7),
        ] {
            assert_eq!(decode(wrong, head).unwrap_err().kind(), ErrorKind::Checkpoint);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        for one in [ONE, TWO] {
            let bytes = one.encode(7, &mut Chain::default());
            assert_eq!(bytes.len(), LEN);
            for bit in 0..LEN * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let decoded = Checkpoint::decode(&damaged, 7, &mut Chain::default());
                assert_eq!(decoded.unwrap_err().kind(), ErrorKind::Checkpoint, "bit {bit}");
            }
        }
    }
}
