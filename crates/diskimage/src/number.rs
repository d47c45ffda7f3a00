//! Conversions between the machine's sizes and the 64-bit numbers of the formats.
//!
//! They exist so that no other module needs a cast or a repeated `expect`.

/// Returns a length in memory as the 64-bit number that formats and offsets use.
pub(crate) fn u64_from(length: usize) -> u64 {
    u64::try_from(length).expect("a length in memory fits in 64 bits")
}

/// Returns how many of `available` in-memory bytes a 64-bit remainder may take.
pub(crate) fn clip(available: usize, wanted: u64) -> usize {
    usize::try_from(wanted).map_or(available, |wanted| wanted.min(available))
}
