//! Chunks: the unit in which content is proven and remembered.
//!
//! A disk is cut into aligned chunks of one size, the last one perhaps shorter. Each has a
//! [`ChunkValue`]: BLAKE3 of its bytes, or "zero" when all of them are, however they came. The digest
//! of a whole disk is taken over the values, so that it costs what the data cost and not what the
//! capacity would.
//!
//! Deliberately absent: who fetches a chunk and when.

use std::fmt;
use std::ops::Range;

use crate::{Error, ErrorKind, Result};

/// The usual size of a chunk: 8 MiB. Large enough that a request for one is not latency, small
/// enough that losing one in every connection costs seconds.
pub const CHUNK_BYTES: u64 = 8 << 20;

/// The least and the most bytes that a chunk may have.
pub const CHUNK_BYTES_MIN: u64 = 4 << 10;
/// See [`CHUNK_BYTES_MIN`].
pub const CHUNK_BYTES_MAX: u64 = 1 << 30;

/// Keeps the digest of a disk apart from every other use of BLAKE3. Part of the format.
const DISK_DIGEST_CONTEXT: &str = "hyper2kvm 2026-11-24 digest of a disk's content, version 1";

/// What stands for the value of a zero chunk in the digest of a disk. Part of the format.
const ZERO_VALUE: [u8; 32] = [0; 32];

/// Zeros are hashed in pieces of this size.
const ZEROES: [u8; 4096] = [0; 4096];

/// How a disk is cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    capacity_bytes: u64,
    chunk_bytes: u64,
}

impl Chunks {
    /// Cuts `capacity_bytes` into chunks of `chunk_bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`] when the size is no power of two between [`CHUNK_BYTES_MIN`] and
    /// [`CHUNK_BYTES_MAX`].
    pub fn new(capacity_bytes: u64, chunk_bytes: u64) -> Result<Self> {
        if !chunk_bytes.is_power_of_two() || !(CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk_bytes) {
            let context = format!(
                "cut a disk into chunks of {chunk_bytes} bytes: it must be a power of two from {CHUNK_BYTES_MIN} to {CHUNK_BYTES_MAX}"
            );
            return Err(Error::new(ErrorKind::Bounds, context));
        }
        Ok(Self { capacity_bytes, chunk_bytes })
    }

    /// Returns the length of the content in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Returns the size of every chunk but perhaps the last, in bytes.
    pub fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    /// Returns how many there are.
    pub fn count(&self) -> u64 {
        self.capacity_bytes.div_ceil(self.chunk_bytes)
    }

    /// Returns the bytes of chunk `index`, half-open; empty behind the last one.
    pub fn range(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.chunk_bytes).min(self.capacity_bytes);
        start..start.saturating_add(self.chunk_bytes).min(self.capacity_bytes)
    }

    /// Returns how many bytes chunk `index` has; 0 behind the last one.
    pub fn len_bytes(&self, index: u64) -> u64 {
        let range = self.range(index);
        range.end - range.start
    }
}

/// What a chunk, or its leading part, holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkValue {
    /// Every byte is zero.
    Zero,
    /// BLAKE3 of the bytes, not all of which are zero.
    Data([u8; 32]),
}

impl ChunkValue {
    /// Returns the value of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = ChunkHasher::new();
        hasher.update(bytes);
        hasher.value()
    }
}

impl fmt::Debug for ChunkValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("Zero"),
            Self::Data(hash) => write!(f, "Data({})", blake3::Hash::from_bytes(*hash).to_hex()),
        }
    }
}

/// Takes the bytes of one chunk, front to back, and knows its value at every moment.
///
/// Leading zeros are counted, not hashed, until the first other byte comes: a chunk of zeros costs
/// a look at its bytes, and one that was skipped as a hole costs nothing.
#[derive(Clone, Debug)]
pub struct ChunkHasher {
    hasher: blake3::Hasher,
    len_bytes: u64,
    /// Leading zeros that the hasher has not seen; all of `len_bytes` until the first data.
    leading_zeroes: u64,
    data: bool,
}

impl Default for ChunkHasher {
    fn default() -> Self {
        Self { hasher: blake3::Hasher::new(), len_bytes: 0, leading_zeroes: 0, data: false }
    }
}

impl ChunkHasher {
    /// Stands before the first byte of a chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if !self.data && is_zero(bytes) {
            return self.update_zeroes(bytes.len() as u64);
        }
        self.begin_data();
        self.hasher.update(bytes);
        self.len_bytes += bytes.len() as u64;
    }

    /// Takes `len_bytes` zeros.
    pub fn update_zeroes(&mut self, len_bytes: u64) {
        self.len_bytes += len_bytes;
        if self.data {
            hash_zeroes(&mut self.hasher, len_bytes);
        } else {
            self.leading_zeroes += len_bytes;
        }
    }

    /// Returns how many bytes were taken.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Returns the value of what was taken so far.
    pub fn value(&self) -> ChunkValue {
        if self.data { ChunkValue::Data(*self.hasher.finalize().as_bytes()) } else { ChunkValue::Zero }
    }

    fn begin_data(&mut self) {
        if !self.data {
            hash_zeroes(&mut self.hasher, self.leading_zeroes);
            self.leading_zeroes = 0;
            self.data = true;
        }
    }
}

/// Computes the digest of a disk from the values of its chunks, which come in order.
#[derive(Clone, Debug)]
pub struct DiskHasher {
    hasher: blake3::Hasher,
    chunks: Chunks,
    taken: u64,
}

impl DiskHasher {
    /// Stands before the first chunk.
    pub fn new(chunks: Chunks) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(DISK_DIGEST_CONTEXT);
        hasher.update(&chunks.capacity_bytes.to_le_bytes());
        hasher.update(&chunks.chunk_bytes.to_le_bytes());
        Self { hasher, chunks, taken: 0 }
    }

    /// Takes the value of the next whole chunk.
    pub fn update(&mut self, value: ChunkValue) {
        self.hasher.update(match &value {
            ChunkValue::Zero => &ZERO_VALUE,
            ChunkValue::Data(hash) => hash,
        });
        self.taken += 1;
    }

    /// Returns the digest; `None` unless exactly all chunks were taken.
    pub fn finish(&self) -> Option<[u8; 32]> {
        (self.taken == self.chunks.count()).then(|| *self.hasher.finalize().as_bytes())
    }
}

/// Returns whether every byte is zero.
///
/// The words are combined without a branch within a block, which the compiler turns into vector
/// instructions; a block that is not zero ends the search.
pub fn is_zero(bytes: &[u8]) -> bool {
    const BLOCK: usize = 512;
    let blocks = bytes.chunks_exact(BLOCK);
    let rest = blocks.remainder();
    let any = |block: &[u8]| block.iter().fold(0, |sum, byte| sum | byte) != 0;
    !blocks.into_iter().any(any) && !any(rest)
}

fn hash_zeroes(hasher: &mut blake3::Hasher, len_bytes: u64) {
    let mut left = len_bytes;
    while left > 0 {
        let now = left.min(ZEROES.len() as u64);
        hasher.update(&ZEROES[..usize::try_from(now).unwrap_or(ZEROES.len())]);
        left -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_as_short_as_the_disk_leaves_it() {
        let chunks = Chunks::new(3 * 4096 + 512, 4096).unwrap();
        assert_eq!(chunks.count(), 4);
        assert_eq!(chunks.range(0), 0..4096);
        assert_eq!(chunks.range(3), 12288..12800);
        assert_eq!(chunks.len_bytes(4), 0);
        assert_eq!(chunks.range(u64::MAX), 12800..12800);
        assert_eq!(Chunks::new(0, 4096).unwrap().count(), 0);
    }

    #[test]
    fn a_size_that_is_no_power_of_two_or_out_of_bounds_is_refused() {
        for size in [0, 1, 512, 5000, CHUNK_BYTES_MAX * 2] {
            assert_eq!(Chunks::new(1 << 20, size).unwrap_err().kind(), ErrorKind::Bounds, "{size}");
        }
    }

    #[test]
    fn the_value_is_the_same_however_the_bytes_were_cut_and_whether_zeros_were_skipped_or_read() {
        let mut bytes = vec![0; 10_000];
        bytes[7_000] = 1;
        let whole = ChunkValue::of(&bytes);
        assert_eq!(whole, ChunkValue::Data(*blake3::hash(&bytes).as_bytes()));
        for cut in [1, 6_999, 7_000, 7_001, 9_999] {
            let mut hasher = ChunkHasher::new();
            hasher.update(&bytes[..cut]);
            hasher.update(&bytes[cut..]);
            assert_eq!(hasher.value(), whole, "cut at {cut}");
        }
        let mut skipped = ChunkHasher::new();
        skipped.update_zeroes(7_000);
        skipped.update(&[1]);
        skipped.update_zeroes(2_999);
        assert_eq!((skipped.value(), skipped.len_bytes()), (whole, 10_000));
    }

    #[test]
    fn zeros_have_the_value_zero_whatever_their_number() {
        for len in [0, 1, 511, 512, 513, 100_000] {
            assert_eq!(ChunkValue::of(&vec![0; len]), ChunkValue::Zero, "{len}");
        }
        for place in [0, 511, 512, 1023, 1024] {
            let mut bytes = vec![0; 1025];
            bytes[place] = 0x80;
            assert!(!is_zero(&bytes), "{place}");
        }
    }

    #[test]
    fn the_digest_of_a_disk_tells_capacity_chunk_size_order_and_values_apart() {
        let digest = |capacity, size, values: &[ChunkValue]| {
            let mut hasher = DiskHasher::new(Chunks::new(capacity, size).unwrap());
            values.iter().for_each(|&value| hasher.update(value));
            hasher.finish()
        };
        let (data, zero) = (ChunkValue::of(&[1]), ChunkValue::Zero);
        let digests = [
            digest(8192, 4096, &[data, zero]),
            digest(8192, 4096, &[zero, data]),
            digest(8191, 4096, &[data, zero]),
            digest(16384, 8192, &[data, zero]),
        ];
        for (index, one) in digests.iter().enumerate() {
            assert!(one.is_some());
            assert!(digests[index + 1..].iter().all(|other| other != one));
        }
        assert_eq!(digest(8192, 4096, &[data]), None, "a chunk is missing");
        assert_eq!(digest(8192, 4096, &[data, zero, zero]), None, "a chunk too many");
    }
}
