//! Random choices that a seed repeats exactly.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): 64
//! bits of state, good enough to choose test cases, and stable for ever, so that a seed named in
//! a failure means the same run in every later version. Not for secrets.

/// A source of repeatable choices.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`, or 0 when `limit` is 0. The bias of the remainder does not
    /// matter to a choice of test cases.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let chosen = self.next_u64() % (limit.max(1) as u64);
        usize::try_from(chosen).expect("a number below a usize is a usize")
    }

    /// Returns true once in `n` calls, on average.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Fills `bytes`; no byte is zero, so that random data never passes for a hole.
    pub(crate) fn fill_nonzero(&mut self, bytes: &mut [u8]) {
        for group in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            for (byte, random) in group.iter_mut().zip(random) {
                *byte = random | 1;
            }
        }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_seed_never_changes() {
        // The published first values for seed 1234567.
        let mut seeded = Seeded::new(1_234_567);
        assert_eq!(seeded.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(seeded.next_u64(), 3_203_168_211_198_807_973);
    }
}
