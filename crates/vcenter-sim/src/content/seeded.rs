//! Disk content that is a pure function of a seed and an index.

use std::sync::Arc;

use super::pool::{POOL_ENTRIES, Pool, STAMP_LEN};
use super::{GRAIN_BYTES, random};

/// `fill` is kept in units of 2⁻³².
const FILL_ONE: u64 = 1 << 32;

/// Which grains hold data, and which.
#[derive(Debug)]
pub(super) struct Seeded {
    seed: u64,
    /// Where the row of hashes begins that decides which grains hold data.
    fill_seed: u64,
    /// A grain holds data when the low half of its hash is below this.
    fill: u64,
    compressibility_percent: u8,
    pool: Arc<Pool>,
}

impl Seeded {
    /// Both parts are 0.0 to 1.0, which the inventory has checked; others are clamped.
    pub(super) fn new(seed: u64, fill: f64, compressibility: f64) -> Self {
        let compressibility_percent = percent(compressibility);
        let fill = fixed_point(fill);
        Self {
            seed,
            fill_seed: random::mix(seed),
            fill,
            compressibility_percent,
            pool: Pool::shared(compressibility_percent),
        }
    }

    pub(super) fn parameters(&self) -> (u64, u64, u8) {
        (self.seed, self.fill, self.compressibility_percent)
    }

    /// Returns whether no grain has data.
    pub(super) fn is_empty(&self) -> bool {
        self.fill == 0
    }

    pub(super) fn has_data(&self, index: u64) -> bool {
        random::mix(self.fill_seed.wrapping_add(index)) % FILL_ONE < self.fill
    }

    /// Writes the zlib bytes of a full grain with data to `out`, replacing what is there.
    pub(super) fn deflated_grain(&self, index: u64, out: &mut Vec<u8>) {
        self.pool.deflated_grain(self.entry(index), &self.stamp(index), out);
    }

    /// Fills `buffer` with the bytes from `offset`.
    pub(super) fn read_range(&self, offset: u64, buffer: &mut [u8]) {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let index = at / GRAIN_BYTES;
            let inner = usize::try_from(at % GRAIN_BYTES).expect("a remainder of 64 KiB is small");
            let left = usize::try_from(GRAIN_BYTES).expect("64 KiB is small") - inner;
            let (now, later) = rest.split_at_mut(left.min(rest.len()));
            self.read_inside_grain(index, inner, now);
            at += u64::try_from(now.len()).expect("usize has at most 64 bits");
            rest = later;
        }
    }

    fn read_inside_grain(&self, index: u64, inner: usize, buffer: &mut [u8]) {
        if !self.has_data(index) {
            buffer.fill(0);
            return;
        }
        let stamp = self.stamp(index);
        let stamp_part = &stamp[inner.min(STAMP_LEN)..];
        let (front, back) = buffer.split_at_mut(stamp_part.len().min(buffer.len()));
        front.copy_from_slice(&stamp_part[..front.len()]);
        let start = inner.saturating_sub(STAMP_LEN);
        back.copy_from_slice(&self.pool.body(self.entry(index))[start..start + back.len()]);
    }

    /// Within a block of 64 grains every body occurs once; each block begins elsewhere in the pool.
    fn entry(&self, index: u64) -> u64 {
        let block = index / POOL_ENTRIES;
        let rotation = random::mix(!self.seed ^ random::mix(block));
        index.wrapping_add(rotation) % POOL_ENTRIES
    }

    fn stamp(&self, index: u64) -> [u8; STAMP_LEN] {
        let mut stamp = [0; STAMP_LEN];
        stamp[..8].copy_from_slice(&index.to_le_bytes());
        // `mix` is a bijection, so other seeds give other stamps.
        stamp[8..].copy_from_slice(&random::mix(self.seed).to_le_bytes());
        stamp
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 100 before")]
fn percent(part: f64) -> u8 {
    (part.clamp(0.0, 1.0) * 100.0).round() as u8
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 2^32 before")]
fn fixed_point(part: f64) -> u64 {
    /// [`FILL_ONE`] as a float.
    const ONE: f64 = 4_294_967_296.0;
    (part.clamp(0.0, 1.0) * ONE).round() as u64
}
