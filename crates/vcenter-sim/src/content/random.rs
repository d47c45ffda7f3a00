//! Numbers that look random and are the same in every run.

/// Scrambles a number: the finalizer of SplitMix64, which is a bijection.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Fills a buffer with noise.
pub(crate) fn fill(seed: u64, buffer: &mut [u8]) {
    let seed = mix(seed);
    for (index, bytes) in (0_u64..).zip(buffer.chunks_mut(8)) {
        let word = mix(seed ^ index).to_le_bytes();
        bytes.copy_from_slice(&word[..bytes.len()]);
    }
}
