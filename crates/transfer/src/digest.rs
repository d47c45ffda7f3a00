//! What a finished sink knows about what it wrote.
//!
//! Values only: who computes them, and when, is the sink's business. Whether they prove anything
//! is decided by whoever has something to compare them with.

use std::fmt;

/// The digests that a sink computed while it wrote; a sink computes those it was made to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Digests {
    /// SHA-256 of the finished file, as it lies on the disk.
    pub file_sha256: Option<Sha256Digest>,
}

impl Digests {
    /// Returns the digests of a sink that hashes its file with SHA-256.
    pub fn of_file(sha256: Sha256Digest) -> Self {
        Self { file_sha256: Some(sha256) }
    }
}

/// A SHA-256 value; `Display` is lower-case hexadecimal, as manifests have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_lower_case_hexadecimal_with_leading_zeros() {
        let mut value = [0; 32];
        value[0] = 0x0a;
        value[31] = 0xff;
        assert_eq!(Sha256Digest(value).to_string(), format!("0a{}ff", "0".repeat(60)));
    }
}
