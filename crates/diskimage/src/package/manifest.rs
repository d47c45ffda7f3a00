//! The manifest of a package: one digest per file.
//!
//! ```text
//! SHA256(disk-0.vmdk)= 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! That is the form that is written, because VMware's tools refuse others. Reading takes what is in
//! the wild: blanks around the parts, none behind `=`, the algorithm names of OpenSSL 3
//! (`SHA2-256`), CRLF, upper-case digits, brackets and equals signs in names. A line that is none
//! of these is a warning: it verifies nothing, and the reader of a report should know.
//!
//! Deliberately absent: computing digests, and resolving names against the folder of the manifest.

use std::fmt;

use crate::number::u64_from;
use crate::{Error, Result};

/// Longest manifest that is read.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Most lines of a manifest.
pub const LINES_MAX: usize = 10_000;

/// A digest algorithm of manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-1; newer importers refuse it.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512; from virtual hardware 15 on.
    Sha512,
}

impl Algorithm {
    /// Returns the word that manifests use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// Returns the length of a digest in bytes.
    #[must_use]
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Returns the algorithm of a word in any known spelling (`SHA256`, `sha-256`, `SHA2-256`).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" => Some(Self::Sha1),
            "SHA256" | "SHA-256" | "SHA2-256" => Some(Self::Sha256),
            "SHA512" | "SHA-512" | "SHA2-512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The digest of one file; `to_string` renders it as a line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The file, relative to the folder of the manifest; not to be trusted.
    pub name: String,
    /// The digest in lower-case hexadecimal digits.
    pub digest_hex: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, name, digest_hex } = self;
        write!(f, "{algorithm}({name})= {digest_hex}")
    }
}

/// A manifest; `to_string` renders it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
    warnings: Vec<String>,
}

impl Manifest {
    /// Returns the entries in the order of the file, without repeated ones.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns what was not understood, one sentence per line of the file.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Iterates over the digests of a file: one per algorithm.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.name == name)
    }

    /// Adds the digest of a file.
    ///
    /// # Errors
    ///
    /// `Misuse` for a digest of the wrong length or with other characters than hexadecimal digits,
    /// and for a name with a line end, which the format cannot express; `Corrupt` when the same
    /// file has another digest already.
    pub fn add(&mut self, algorithm: Algorithm, name: &str, digest_hex: &str) -> Result<()> {
        if !is_digest(algorithm, digest_hex) {
            return Err(
                Error::misuse("a digest has the length of its algorithm").found(format!("{algorithm} {digest_hex:?}"))
            );
        }
        if name.is_empty() || name.trim() != name || name.contains(char::is_control) {
            return Err(Error::misuse("a file name in a manifest has no control characters and no outer blanks")
                .found(format!("{name:?}")));
        }
        self.insert(Entry { algorithm, name: name.to_owned(), digest_hex: digest_hex.to_ascii_lowercase() })
    }

    /// Adds all entries and warnings of another manifest of the same package.
    ///
    /// # Errors
    ///
    /// `Corrupt` when both have different digests for one file.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        self.warnings.extend(other.warnings);
        other.entries.into_iter().try_for_each(|entry| self.insert(entry))
    }

    /// Returns this manifest with names relative to another place, from which its own folder is
    /// `folder`, with a slash at its end.
    #[must_use]
    pub fn in_folder(mut self, folder: &str) -> Self {
        self.entries.iter_mut().for_each(|entry| entry.name.insert_str(0, folder));
        self
    }

    /// Parses a manifest.
    ///
    /// `own_name` is the name of the manifest itself: an entry for it, which some tools write with
    /// the digest of an empty file, is ignored.
    ///
    /// # Errors
    ///
    /// `Limit` for more than 1 MiB or 10 000 lines; `Corrupt` for two different digests of one
    /// file.
    pub fn parse(own_name: &str, text: &[u8]) -> Result<Self> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(Error::limit("a manifest has at most 1 MiB").found(format!("{} bytes", text.len())));
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut manifest = Self::default();
        let mut offset = 0;
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if number >= LINES_MAX {
                return Err(Error::limit("a manifest has at most 10000 lines").at(offset));
            }
            manifest.take_line(own_name, number + 1, line).map_err(|error| error.at(offset))?;
            offset += u64_from(line.len()) + 1;
        }
        Ok(manifest)
    }

    fn take_line(&mut self, own_name: &str, number: usize, line: &[u8]) -> Result<()> {
        let parsed = match std::str::from_utf8(line).map(str::trim) {
            Ok("") => return Ok(()),
            Ok(line) => parse_entry(line),
            Err(_) => None,
        };
        match parsed {
            Some(entry) if entry.name == own_name => Ok(()),
            Some(entry) => self.insert(entry),
            None => {
                let text = String::from_utf8_lossy(line);
                self.warnings.push(format!(
                    "line {number} of the manifest is no digest and verifies nothing: {:?}",
                    text.trim()
                ));
                Ok(())
            }
        }
    }

    fn insert(&mut self, entry: Entry) -> Result<()> {
        let known = self.of(&entry.name).find(|known| known.algorithm == entry.algorithm);
        match known {
            None => self.entries.push(entry),
            Some(known) if known.digest_hex == entry.digest_hex => {}
            Some(_) => {
                return Err(Error::corrupt("a file has one digest per algorithm")
                    .found(format!("{} of {:?}", entry.algorithm, entry.name)));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// Parses one line: the name is all between the first `(` and the last `)` that is followed by `=`.
fn parse_entry(line: &str) -> Option<Entry> {
    let (word, rest) = line.split_once('(')?;
    let algorithm = Algorithm::from_word(word.trim())?;
    let (name, digest) = rest.rmatch_indices(')').find_map(|(end, _)| {
        let digest = rest[end + 1..].trim_start().strip_prefix('=')?;
        Some((&rest[..end], digest.trim()))
    })?;
    (is_digest(algorithm, digest) && !name.is_empty()).then(|| Entry {
        algorithm,
        name: name.to_owned(),
        digest_hex: digest.to_ascii_lowercase(),
    })
}

fn is_digest(algorithm: Algorithm, text: &str) -> bool {
    text.len() == 2 * algorithm.digest_bytes() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
