//! Bodies of grains, deflated once per process and shared by all disks.
//!
//! A grain is a stamp of 16 bytes, which tells it from every other grain, and a body from the pool:
//!
//! ```text
//!  guest bytes   stamp (16)                     body (65520)
//!  zlib bytes    78 9c │ 00 10 00 ef ff stamp │ deflated body │ Adler-32 of both
//!                        stored block, fresh    from the pool   combined, fresh
//! ```
//!
//! A stored block ends at a byte, so the deflated body follows it as it is, and the checksums of
//! the parts combine by arithmetic. So each grain of each disk differs, at the cost of 20 bytes.
//! The limit: grains with the same body differ in their stamps only.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use diskimage::vmdk::stream_write::GRAIN_LEN;
use libdeflater::{CompressionLvl, Compressor};

use super::random;

/// Bodies of one pool. Deflated to half, 64 of them take 2 MiB, which stay in the processor's cache.
pub(super) const POOL_ENTRIES: u64 = 64;

/// Bytes at the front of a grain that make it unique.
pub(super) const STAMP_LEN: usize = 16;

const BODY_LEN: usize = GRAIN_LEN - STAMP_LEN;

/// The length of the stamp, as deflate writes it.
const STAMP_LEN_U16: u16 = 16;
const _: () = assert!(STAMP_LEN_U16 as usize == STAMP_LEN);

/// Where the stamp stands in a deflated grain: behind zlib's header and that of the stored block.
const STAMP_AT: usize = 2 + 5;

/// Noise and phrase take turns within so many bytes, so that deflate meets short matches everywhere
/// as in real data, and not one long run.
const SEGMENT_LEN: usize = 128;

/// Pools by compressibility in percent.
static POOLS: LazyLock<Mutex<BTreeMap<u8, Arc<Pool>>>> = LazyLock::new(Mutex::default);

/// Bodies of one compressibility.
#[derive(Debug)]
pub(super) struct Pool {
    compressibility_percent: u8,
    entries: Vec<Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    body: OnceLock<Box<[u8]>>,
    deflated: OnceLock<Deflated>,
}

#[derive(Debug)]
struct Deflated {
    /// A deflated grain with a stamp and a checksum of zeros.
    template: Box<[u8]>,
    body_sum: Adler,
}

impl Pool {
    /// Returns the pool of a compressibility; its entries are made when they are first used.
    pub(super) fn shared(compressibility_percent: u8) -> Arc<Self> {
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(compressibility_percent).or_insert_with(|| {
            let entries = (0..POOL_ENTRIES).map(|_| Entry::default()).collect();
            Arc::new(Self { compressibility_percent, entries })
        });
        Arc::clone(pool)
    }

    /// Returns the guest bytes behind the stamp.
    pub(super) fn body(&self, entry: u64) -> &[u8] {
        self.entry(entry).body.get_or_init(|| make_body(entry, self.compressibility_percent))
    }

    /// Writes a deflated grain to `out`, replacing what is there.
    pub(super) fn deflated_grain(&self, entry: u64, stamp: &[u8; STAMP_LEN], out: &mut Vec<u8>) {
        // The raw body is not kept: only judges need it.
        let deflated =
            self.entry(entry).deflated.get_or_init(|| deflate(&make_body(entry, self.compressibility_percent)));
        out.clear();
        out.extend_from_slice(&deflated.template);
        out[STAMP_AT..STAMP_AT + STAMP_LEN].copy_from_slice(stamp);
        let sum = Adler::of(stamp).followed_by(deflated.body_sum, BODY_LEN);
        let sum_at = out.len() - 4;
        out[sum_at..].copy_from_slice(&sum.to_bytes());
    }

    fn entry(&self, entry: u64) -> &Entry {
        let index = usize::try_from(entry % POOL_ENTRIES).expect("a remainder of 64 is small");
        &self.entries[index]
    }
}

fn make_body(entry: u64, compressibility_percent: u8) -> Box<[u8]> {
    /// Tells the noise of bodies from all other noise.
    const BODY_SEED: u64 = 0xb0d1;
    let noise_len = (SEGMENT_LEN * usize::from(100 - compressibility_percent)).div_ceil(100);
    let seed = random::mix(BODY_SEED ^ entry);
    let mut phrase = [0; SEGMENT_LEN];
    random::fill(seed, &mut phrase);
    // Noise everywhere first; then the phrase takes its part of each segment.
    let mut body = vec![0; BODY_LEN];
    random::fill(!seed, &mut body);
    for segment in body.chunks_mut(SEGMENT_LEN) {
        let end = segment.len();
        let start = noise_len.min(end);
        segment[start..].copy_from_slice(&phrase[start..end]);
    }
    body.into_boxed_slice()
}

fn deflate(body: &[u8]) -> Deflated {
    // What zlib and qemu-img use by default.
    const LEVEL: i32 = 6;
    let level = CompressionLvl::new(LEVEL).expect("level 6 exists");
    let mut compressor = Compressor::new(level);
    let mut deflated = vec![0; compressor.deflate_compress_bound(body.len())];
    let len = compressor.deflate_compress(body, &mut deflated).expect("the buffer has the compressor's own bound");
    let mut template = vec![0x78, 0x9c, 0x00];
    template.extend_from_slice(&STAMP_LEN_U16.to_le_bytes());
    template.extend_from_slice(&(!STAMP_LEN_U16).to_le_bytes());
    template.extend_from_slice(&[0; STAMP_LEN]);
    template.extend_from_slice(&deflated[..len]);
    template.extend_from_slice(&[0; 4]);
    Deflated { template: template.into_boxed_slice(), body_sum: Adler::of(body) }
}

/// An Adler-32 checksum in its two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Adler {
    a: u32,
    b: u32,
}

impl Adler {
    const MODULUS: u32 = 65521;

    fn of(bytes: &[u8]) -> Self {
        bytes.iter().fold(Self { a: 1, b: 0 }, |Self { a, b }, &byte| {
            let a = (a + u32::from(byte)) % Self::MODULUS;
            Self { a, b: (a + b) % Self::MODULUS }
        })
    }

    /// Returns the sum of these bytes followed by `len` others whose sum is `next`.
    fn followed_by(self, next: Self, len: usize) -> Self {
        // Starting the second part from `self.a` instead of 1 adds the difference to each of its steps.
        let shift = u64::from(self.a + Self::MODULUS - 1);
        let len = u64::try_from(len).expect("usize has at most 64 bits");
        let modulus = u64::from(Self::MODULUS);
        let b = (u64::from(self.b) + u64::from(next.b) + shift * (len % modulus)) % modulus;
        Self {
            a: (self.a + next.a + Self::MODULUS - 1) % Self::MODULUS,
            b: u32::try_from(b).expect("a remainder of 65521 is small"),
        }
    }

    fn to_bytes(self) -> [u8; 4] {
        (self.b << 16 | self.a).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_parts_combine_to_the_sum_of_the_whole() {
        let mut bytes = vec![0; 70_000];
        random::fill(5, &mut bytes);
        for split in [0, 1, 16, 65_521, 70_000] {
            let (first, second) = bytes.split_at(split);
            assert_eq!(Adler::of(first).followed_by(Adler::of(second), second.len()), Adler::of(&bytes));
        }
        assert_eq!(Adler::of(b"Wikipedia").to_bytes(), [0x11, 0xe6, 0x03, 0x98]);
    }

    #[test]
    fn the_bodies_of_a_pool_differ() {
        for percent in [0, 50, 100] {
            let pool = Pool::shared(percent);
            let bodies: std::collections::BTreeSet<_> = (0..POOL_ENTRIES).map(|entry| pool.body(entry)).collect();
            assert_eq!(bodies.len(), 64);
        }
    }

    #[test]
    fn a_body_is_as_compressible_as_asked() {
        for percent in [0, 10, 50, 75, 100_u8] {
            let deflated = deflate(&make_body(3, percent)).template.len();
            let asked = GRAIN_LEN * usize::from(100 - percent) / 100;
            assert!(deflated.abs_diff(asked) < GRAIN_LEN / 20, "{percent} %: {deflated} bytes, asked {asked}");
        }
    }
}
