//! Where in a file something may stand that is not zero.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Smallest unit that is remembered.
const UNIT_BYTES_MIN: u64 = 64 << 10;

/// Most units: 2 MiB of memory, whatever the disk.
const UNITS_MAX: u64 = 1 << 24;

const WORD_BITS: u64 = 64;

/// One bit per unit, set and never cleared.
pub(super) struct Written {
    unit_bytes: u64,
    words: Vec<AtomicU64>,
}

impl Written {
    /// Returns the marks of a disk that is all zero.
    pub(super) fn nothing(capacity_bytes: u64) -> Self {
        Self::new(capacity_bytes, 0)
    }

    /// Returns the marks of a disk of which nothing is known.
    pub(super) fn anything(capacity_bytes: u64) -> Self {
        Self::new(capacity_bytes, u64::MAX)
    }

    fn new(capacity_bytes: u64, word: u64) -> Self {
        let unit_bytes = (capacity_bytes / UNITS_MAX + 1).next_power_of_two().max(UNIT_BYTES_MIN);
        let words = capacity_bytes.div_ceil(unit_bytes).div_ceil(WORD_BITS);
        Self { unit_bytes, words: (0..words).map(|_| AtomicU64::new(word)).collect() }
    }

    /// Notes that something is about to be written.
    pub(super) fn mark(&self, bytes: Range<u64>) {
        for unit in bytes.start / self.unit_bytes..bytes.end.div_ceil(self.unit_bytes) {
            let (word, bit) = self.place(unit);
            // Reading first keeps threads that write side by side from waiting for the line.
            if word.load(Ordering::Acquire) & bit == 0 {
                word.fetch_or(bit, Ordering::AcqRel);
            }
        }
    }

    /// Returns the first part of a range where something may stand.
    pub(super) fn next_in(&self, bytes: Range<u64>) -> Option<Range<u64>> {
        if bytes.is_empty() {
            return None;
        }
        let units = bytes.start / self.unit_bytes..bytes.end.div_ceil(self.unit_bytes);
        let first = self.find(units.clone(), true)?;
        let last = self.find(first..units.end, false).unwrap_or(units.end);
        Some((first * self.unit_bytes).max(bytes.start)..(last * self.unit_bytes).min(bytes.end))
    }

    /// Returns the first unit of a range that is marked, or is not.
    fn find(&self, units: Range<u64>, marked: bool) -> Option<u64> {
        let mut unit = units.start;
        while unit < units.end {
            let (word, _) = self.place(unit);
            let word = word.load(Ordering::Acquire);
            let wanted = if marked { word } else { !word } >> (unit % WORD_BITS);
            if wanted != 0 {
                let found = unit + u64::from(wanted.trailing_zeros());
                return (found < units.end).then_some(found);
            }
            unit = (unit / WORD_BITS + 1) * WORD_BITS;
        }
        None
    }

    fn place(&self, unit: u64) -> (&AtomicU64, u64) {
        let word = usize::try_from(unit / WORD_BITS).expect("fewer words than memory");
        (&self.words[word], 1 << (unit % WORD_BITS))
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("unit_bytes", &self.unit_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_parts_are_found_in_order_and_clipped_to_the_range() {
        let unit = UNIT_BYTES_MIN;
        let written = Written::nothing(1000 * unit);
        assert_eq!(written.next_in(0..1000 * unit), None);
        written.mark(10 * unit + 5..10 * unit + 6);
        written.mark(62 * unit..66 * unit);
        written.mark(999 * unit..1000 * unit);
        assert_eq!(written.next_in(0..1000 * unit), Some(10 * unit..11 * unit));
        assert_eq!(written.next_in(11 * unit..1000 * unit), Some(62 * unit..66 * unit));
        assert_eq!(written.next_in(63 * unit + 7..64 * unit - 7), Some(63 * unit + 7..64 * unit - 7));
        assert_eq!(written.next_in(66 * unit..999 * unit), None);
        assert_eq!(written.next_in(66 * unit..1000 * unit), Some(999 * unit..1000 * unit));
        assert_eq!(written.next_in(5..5), None);
        assert_eq!(Written::anything(700).next_in(100..700), Some(100..700));
    }

    #[test]
    fn the_largest_disk_takes_two_mebibytes() {
        let written = Written::nothing(64 << 40);
        assert!(written.words.len() * 8 <= 2 << 20);
        written.mark((64 << 40) - 1..64 << 40);
        assert!(written.next_in(0..64 << 40).is_some());
    }
}
