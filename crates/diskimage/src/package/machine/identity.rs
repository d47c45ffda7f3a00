//! Numbers by which a machine and its adapters are known.

use std::fmt;

/// A UUID, in the order in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Parses 32 hexadecimal digits, whatever stands between them: VMX files have blanks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex_bytes(text, " -{}").map(Self)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The address of a network adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Parses twelve hexadecimal digits with colons, dashes, dots or nothing between them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex_bytes(text.trim(), ":-.").map(Self)
    }

    /// Returns whether an adapter may have this address: not all zeros, and not for many at once.
    #[must_use]
    pub fn is_of_one_adapter(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Reads exactly `2 * N` hexadecimal digits; only `separators` may stand between them.
fn hex_bytes<const N: usize>(text: &str, separators: &str) -> Option<[u8; N]> {
    let mut digits = text.chars().filter(|&c| !separators.contains(c)).map(|c| c.to_digit(16));
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_in_every_spelling_and_written_in_one() {
        for text in [
            "56 4d 5e 24 6d 4f 21 d3-9e 5f 28 5a 4b 1c 4e 0f",
            "564D5E24-6D4F-21D3-9E5F-285A4B1C4E0F",
            "{564d5e246d4f21d39e5f285a4b1c4e0f}",
        ] {
            assert_eq!(Uuid::parse(text).unwrap().to_string(), "564d5e24-6d4f-21d3-9e5f-285a4b1c4e0f");
        }
        for text in ["00:50:56:AB:cd:ef", "00-50-56-ab-cd-ef", "0050.56ab.cdef", " 005056abcdef "] {
            assert_eq!(MacAddress::parse(text).unwrap().to_string(), "00:50:56:ab:cd:ef");
        }
    }

    #[test]
    fn what_has_too_few_or_too_many_digits_is_nothing() {
        for text in ["", "7", "00:50:56:ab:cd", "00:50:56:ab:cd:ef:00", "00:50:56:ab:cd:eg", "0x5056abcdef"] {
            assert_eq!(MacAddress::parse(text), None, "{text:?}");
        }
        assert_eq!(Uuid::parse(&"0".repeat(31)), None);
        assert_eq!(Uuid::parse(&"0".repeat(33)), None);
    }

    #[test]
    fn addresses_of_groups_and_of_nobody_are_told_apart() {
        for (text, expected) in [("005056000001", true), ("000000000000", false), ("01005e000001", false)] {
            assert_eq!(MacAddress::parse(text).unwrap().is_of_one_adapter(), expected, "{text}");
        }
    }
}
