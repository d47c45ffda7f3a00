//! Small arithmetic that the encoders of links share.

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;

/// Returns a number that is known to be small.
pub(super) fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("addresses have 64 bits")
}

/// Copies what `bytes` has from `offset` on to the front of `buffer`, and returns how much that is.
pub(super) fn copy_from(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let from = &bytes[to_usize(offset).min(bytes.len())..];
    let len = from.len().min(buffer.len());
    buffer[..len].copy_from_slice(&from[..len]);
    len
}
