//! What a walk remembers of grains and tables: sums instead of lists.
//!
//! A disk of 64 TiB has a thousand million grains; listing them would cost gigabytes. Instead each
//! coverage has one sum over its (slot, sector) pairs. The grains that pass make one, the entries
//! of its table make another, and both are equal exactly when the table lists each grain once and
//! at its true place, but for a chance of 1 : 2^64; a single wrong entry is always found, because
//! different pairs have different terms. This guards against damage, not against a server that
//! forges: such a server can send any disk it likes.

use crate::vmdk::layout::{SectorBytes, ZERO_GRAIN_ENTRY, entries};

/// A sum over pairs of slot and sector, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EntrySum {
    digest: u64,
    /// Negative where a table in front lists grains that have not come yet.
    count: i32,
}

impl EntrySum {
    pub(super) fn add(&mut self, slot: u32, sector: u32) {
        self.digest = self.digest.wrapping_add(term(slot, sector));
        self.count = self.count.saturating_add(1);
    }

    /// Takes another sum off this one.
    pub(super) fn subtract(&mut self, other: Self) {
        self.digest = self.digest.wrapping_sub(other.digest);
        self.count = self.count.saturating_sub(other.count);
    }

    /// Adds the entries of a sector of a table, the first of which is `first_slot`.
    ///
    /// Entries that mean "absent" or "zeros" are no grains.
    pub(super) fn add_entries(&mut self, first_slot: u32, sector: &SectorBytes) {
        for (slot, entry) in (first_slot..).zip(entries(sector)) {
            if entry > ZERO_GRAIN_ENTRY {
                self.add(slot, entry);
            }
        }
    }

    pub(super) fn count(self) -> i32 {
        self.count
    }
}

/// The term of one pair: a bijection (the finalizer of SplitMix64), so that it is never shared.
fn term(slot: u32, sector: u32) -> u64 {
    let mut value = (u64::from(slot) << 32) | u64::from(sector);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A sum with a number beside it, in 16 bytes: there may be millions of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NumberedSum {
    digest: u64,
    count: i32,
    /// The caller's: of a coverage, one more than the highest slot that came; of a table, its
    /// sector.
    pub(super) number: u32,
}

impl NumberedSum {
    pub(super) fn new(sum: EntrySum, number: u32) -> Self {
        Self { digest: sum.digest, count: sum.count, number }
    }

    pub(super) fn sum(self) -> EntrySum {
        EntrySum { digest: self.digest, count: self.count }
    }
}

/// All coverages up to the highest that something is known of.
#[derive(Debug, Default)]
pub(super) struct Coverages(Vec<NumberedSum>);

impl Coverages {
    /// Notes a grain. Returns `false` when it repeats the highest one of its coverage.
    pub(super) fn add_grain(&mut self, coverage: usize, slot: u32, sector: u32) -> bool {
        let coverage = self.entry(coverage);
        if coverage.number == slot + 1 {
            return false;
        }
        let mut sum = coverage.sum();
        sum.add(slot, sector);
        *coverage = NumberedSum::new(sum, coverage.number.max(slot + 1));
        true
    }

    /// Notes what a table in front lists; it is to be balanced by the grains to come.
    pub(super) fn expect(&mut self, coverage: usize, listed: EntrySum) {
        let coverage = self.entry(coverage);
        let mut sum = coverage.sum();
        sum.subtract(listed);
        *coverage = NumberedSum::new(sum, coverage.number);
    }

    /// Returns the sum of a coverage.
    pub(super) fn sum(&self, coverage: usize) -> EntrySum {
        self.0.get(coverage).map(|coverage| coverage.sum()).unwrap_or_default()
    }

    /// Iterates over the sums of all coverages that something is known of.
    pub(super) fn sums(&self) -> impl Iterator<Item = EntrySum> {
        self.0.iter().map(|coverage| coverage.sum())
    }

    fn entry(&mut self, coverage: usize) -> &mut NumberedSum {
        if self.0.len() <= coverage {
            self.0.resize(coverage + 1, NumberedSum::default());
        }
        &mut self.0[coverage]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_order_but_on_every_pair() {
        let sum = |pairs: &[(u32, u32)]| {
            let mut sum = EntrySum::default();
            for &(slot, sector) in pairs {
                sum.add(slot, sector);
            }
            sum
        };
        let listed = sum(&[(1, 128), (2, 130), (9, 200)]);
        assert_eq!(listed, sum(&[(9, 200), (1, 128), (2, 130)]));
        assert_ne!(listed, sum(&[(1, 128), (2, 130)]));
        assert_ne!(listed, sum(&[(1, 130), (2, 128), (9, 200)]));
        assert_ne!(listed, sum(&[(1, 128), (1, 128), (9, 200)]));
        assert_ne!(sum(&[(0, 1)]), sum(&[(1, 0)]));
    }

    #[test]
    fn what_is_remembered_per_coverage_and_table_stays_small() {
        assert_eq!(size_of::<NumberedSum>(), 16);
    }

    #[test]
    fn a_repeated_grain_is_noticed_and_not_counted() {
        let mut coverages = Coverages::default();
        assert!(coverages.add_grain(3, 7, 128));
        assert!(!coverages.add_grain(3, 7, 300));
        assert!(coverages.add_grain(3, 6, 300));
        assert!(coverages.add_grain(2, 7, 400));
        assert_eq!(coverages.sum(3).count(), 2);
        assert_eq!(coverages.sum(99).count(), 0);
    }

    #[test]
    fn absent_and_zero_entries_are_no_grains() {
        let mut sector = [0; 512];
        sector[4] = 1;
        sector[8] = 2;
        let mut sum = EntrySum::default();
        sum.add_entries(128, &sector);
        let mut expected = EntrySum::default();
        expected.add(130, 2);
        assert_eq!(sum, expected);
    }
}
