//! The secret of a token, and its hash.

use std::fmt;

use anyhow::anyhow;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What every token starts with, so that programs that look for leaked secrets find it.
const PREFIX: &str = "h2k";

/// Random bytes in a token: 256 bits.
const SECRET_BYTES: usize = 32;

/// Random bytes in an id. Ids are public; a thousand of them hardly ever meet in 2^32.
const ID_BYTES: usize = 4;

/// A token as its holder has it. Shown by [`Secret::expose`] and by nothing else.
pub struct Secret(String);

impl Secret {
    /// Makes a token with a public id.
    pub(super) fn new(id: &str) -> anyhow::Result<Self> {
        Ok(Self(format!("{PREFIX}_{id}_{}", URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?))))
    }

    /// Returns the text that gets its holder in.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns a new public id.
pub(super) fn new_id() -> anyhow::Result<String> {
    Ok(random::<ID_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| anyhow!("ask the system for random bytes"))?;
    Ok(bytes)
}

/// The SHA-256 of a token.
#[derive(Clone)]
pub(super) struct Hash([u8; digest::SHA256_OUTPUT_LEN]);

impl Hash {
    pub(super) fn of(text: &str) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Compares in a time that does not depend on where the two differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a hash is not 64 hexadecimal digits");
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return Err(wrong());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_no_two_are_alike() {
        let (one, two) = (Secret::new("id").unwrap(), Secret::new("id").unwrap());
        assert_ne!(one.expose(), two.expose());
        let body = one.expose().strip_prefix("h2k_id_").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(body).unwrap().len(), 32);
    }

    #[test]
    fn a_hash_is_read_as_it_was_written() {
        let hash = Hash::of("x");
        let text = serde_json::to_string(&hash).unwrap();
        assert!(hash.is(&serde_json::from_str(&text).unwrap()));
        for wrong in ["\"\"", "\"xy\"", &format!("\"{}\"", "g".repeat(64)), &format!("\"{}\"", "ä".repeat(32))] {
            serde_json::from_str::<Hash>(wrong).unwrap_err();
        }
    }
}
