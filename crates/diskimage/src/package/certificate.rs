//! The certificate of a package: a signature of the manifest, and who made it.
//!
//! It is recognised and reported, but **not checked**: a signature is worth what the trust in its
//! maker is, and whom to trust is not for a disk tool to say. What protects the bytes on their way
//! is the manifest.

use super::manifest::Algorithm;
use crate::{Error, Result};

/// Longest file that is read.
pub const CERTIFICATE_BYTES_MAX: usize = 1 << 20;

/// A `.cert` file, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The algorithm of the signature's digest.
    pub algorithm: Option<Algorithm>,
    /// The manifest that is signed, as written.
    pub manifest: Option<String>,
    /// How many certificates follow.
    pub certificates: usize,
}

impl Certificate {
    /// Parses a file.
    ///
    /// # Errors
    ///
    /// `Limit` beyond [`CERTIFICATE_BYTES_MAX`].
    pub fn parse(text: &[u8]) -> Result<Self> {
        if text.len() > CERTIFICATE_BYTES_MAX {
            return Err(Error::limit("a certificate has at most 1 MiB").found(format!("{} bytes", text.len())));
        }
        let text = String::from_utf8_lossy(text);
        // `SHA256(vm.mf)= SIGNATURE`
        let signature = text.lines().find_map(|line| {
            let (name, rest) = line.rsplit_once(')')?;
            rest.trim_start().strip_prefix('=')?;
            let (word, name) = name.split_once('(')?;
            Some((Algorithm::from_word(word.trim())?, name.to_owned()))
        });
        let (algorithm, manifest) = signature.unzip();
        let certificates = text.lines().filter(|line| line.trim() == "-----BEGIN CERTIFICATE-----").count();
        Ok(Self { algorithm, manifest, certificates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_recognised() {
        let text = "SHA256(vm.mf)= 00ff\r\n-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n";
        let expected =
            Certificate { algorithm: Some(Algorithm::Sha256), manifest: Some("vm.mf".into()), certificates: 1 };
        assert_eq!(Certificate::parse(text.as_bytes()).unwrap(), expected);
        let nothing = Certificate { algorithm: None, manifest: None, certificates: 0 };
        assert_eq!(Certificate::parse(b"\xff hello (=)").unwrap(), nothing);
        assert!(Certificate::parse(&vec![b'x'; CERTIFICATE_BYTES_MAX + 1]).is_err());
    }
}
