//! Numbers of as many bytes as they need.

use super::refused;
use crate::Result;

const CONTINUES: u8 = 0x80;
const BITS: u32 = 7;

pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & !CONTINUES;
        value >>= BITS;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | CONTINUES);
    }
}

/// Puts the distance from `base` to `value`, the sign in the lowest bit.
pub(super) fn put_signed(bytes: &mut Vec<u8>, value: u64, base: u64) {
    let distance = value.wrapping_sub(base);
    let sign = 0_u64.wrapping_sub(distance >> 63);
    put_varint(bytes, (distance << 1) ^ sign);
}

/// Takes numbers from the front of bytes.
pub(super) struct Varints<'a>(&'a [u8]);

impl<'a> Varints<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(|| refused("the changes of a checkpoint are whole"))?;
            self.0 = rest;
            let low = u64::from(byte & !CONTINUES);
            if low << shift >> shift != low {
                break;
            }
            value |= low << shift;
            if byte & CONTINUES == 0 {
                return Ok(value);
            }
        }
        Err(refused("the numbers of a checkpoint have 64 bits"))
    }

    /// Takes a distance from `base` and returns where it leads.
    pub(super) fn signed(&mut self, base: u64) -> Result<u64> {
        let zigzag = self.next()?;
        let distance = (zigzag >> 1) ^ 0_u64.wrapping_sub(zigzag & 1);
        Ok(base.wrapping_add(distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_distances_come_back() {
        let values = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX / 2, u64::MAX];
        for value in values {
            for base in values {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                put_signed(&mut bytes, value, base);
                let mut varints = Varints::new(&bytes);
                assert_eq!(varints.next().unwrap(), value);
                assert_eq!(varints.signed(base).unwrap(), value, "from {base}");
                assert!(varints.is_empty());
            }
        }
    }

    #[test]
    fn numbers_that_end_too_early_or_too_late_are_refused() {
        for bytes in
            [&[][..], &[0x80], &[0xff; 9], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Varints::new(bytes).next().is_err(), "{bytes:?}");
        }
    }
}
