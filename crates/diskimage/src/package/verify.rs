//! Compares the files of a package with its manifest.
//!
//! Every digest is computed over the bytes as they are in the package: of a compressed disk the
//! compressed ones, of a disk in parts each part. A digest that differs does not end the work; the
//! end says which did.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::container::{Container, for_each_piece, read_member};
use super::manifest::{Algorithm, Entry, MANIFEST_BYTES_MAX, Manifest};
use super::open::Package;
use crate::number::u64_from;
use crate::{Error, Result};

/// What came out of comparing a package with its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Whether there is a manifest at all.
    pub has_manifest: bool,
    /// Files whose digests are right.
    pub verified: Vec<String>,
    /// Digests that are wrong.
    pub mismatches: Vec<Mismatch>,
    /// Files of the descriptor, and the descriptor, of which no manifest speaks.
    pub not_covered: Vec<String>,
    /// Files of which a manifest speaks and that are not there; no descriptor needs them.
    pub missing: Vec<String>,
    /// How many bytes were read.
    pub read_bytes: u64,
}

/// A digest that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The file.
    pub name: String,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What the manifest says.
    pub expected_hex: String,
    /// What the file has.
    pub found_hex: String,
}

impl Verification {
    /// Returns an error when a digest is wrong.
    ///
    /// # Errors
    ///
    /// `Corrupt` naming the first file, with both digests, and how many others there are.
    pub fn check(&self) -> Result<()> {
        let Some(first) = self.mismatches.first() else { return Ok(()) };
        let Mismatch { name, algorithm, expected_hex, found_hex } = first;
        let others = match self.mismatches.len() - 1 {
            0 => String::new(),
            others => format!("; {others} more"),
        };
        Err(Error::corrupt("a file has the digest that the manifest says")
            .found(format!("{algorithm} is {found_hex}, the manifest says {expected_hex}{others}"))
            .in_file(name))
    }
}

/// A manifest that a user named, without a descriptor: the files are those that it speaks of.
pub struct BareManifest {
    container: Container,
    manifest: Manifest,
}

impl std::fmt::Debug for BareManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareManifest").field("entries", &self.manifest.entries().len()).finish_non_exhaustive()
    }
}

impl BareManifest {
    /// Opens a manifest; its files lie in its folder and below.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be read, `Corrupt` when it has no digest at all, and as
    /// [`Manifest::parse`].
    pub fn open(path: &Path) -> Result<Self> {
        let (container, name) = Container::beside(path)?;
        let text = read_member(&container, &name, MANIFEST_BYTES_MAX)?;
        let manifest = Manifest::parse(&name, &text).map_err(|error| error.in_file(&name))?;
        if manifest.entries().is_empty() {
            return Err(Error::corrupt("a manifest has a digest of at least one file").in_file(&name));
        }
        Ok(Self { container, manifest })
    }

    /// Returns what was not understood, one sentence per line of the file.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.manifest.warnings()
    }

    /// Returns how many bytes [`Self::verify`] will read.
    ///
    /// # Errors
    ///
    /// `Outside` for a name that leads out of the folder, `Io` when a file cannot be opened.
    pub fn len_bytes(&self) -> Result<u64> {
        len_bytes(&self.container, &self.manifest)
    }

    /// Reads every file that the manifest speaks of and compares digests; see [`Package::verify`].
    ///
    /// # Errors
    ///
    /// What reading gives, or `progress`.
    pub fn verify(&self, progress: &mut dyn FnMut(u64) -> Result<()>) -> Result<Verification> {
        compare(&self.container, &self.manifest, progress)
    }
}

/// Compares a package with its manifest.
pub(super) fn verify(package: &Package, progress: &mut dyn FnMut(u64) -> Result<()>) -> Result<Verification> {
    let empty = Manifest::default();
    let manifest = package.manifest.as_ref().unwrap_or(&empty);
    let mut verification = compare(&package.container, manifest, progress)?;
    verification.has_manifest = package.manifest.is_some();
    verification.not_covered = not_covered(package, |name| manifest.of(name).next().is_some())?;
    Ok(verification)
}

/// Returns how many bytes the files of a manifest have that are there.
pub(super) fn len_bytes(container: &Container, manifest: &Manifest) -> Result<u64> {
    let names: BTreeSet<&str> = manifest.entries().iter().map(|entry| entry.name.as_str()).collect();
    let sizes = names.into_iter().map(|name| container.size(name).map_err(|error| error.in_file(name)));
    sizes.map(|size| size.map(Option::unwrap_or_default)).try_fold(0_u64, |sum, size| Ok(sum.saturating_add(size?)))
}

fn compare(
    container: &Container,
    manifest: &Manifest,
    progress: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Verification> {
    let mut verification = Verification { has_manifest: true, ..Verification::default() };
    let mut by_name: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in manifest.entries() {
        by_name.entry(entry.name.as_str()).or_default().push(entry);
    }
    let mut present = Vec::new();
    for name in by_name.keys().copied() {
        match container.size(name) {
            Ok(Some(_)) => present.push(name),
            Ok(None) => verification.missing.push(name.to_owned()),
            Err(error) => return Err(error.in_file(name)),
        }
    }
    container.visit(&present, &mut |name, input| {
        let mut digests: Vec<_> = by_name[name].iter().map(|entry| (*entry, Digester::new(entry.algorithm))).collect();
        let in_file = |error: Error| error.in_file(name);
        for_each_piece(input, &mut |piece| {
            digests.iter_mut().for_each(|(_, digester)| digester.update(piece));
            verification.read_bytes += u64_from(piece.len());
            progress(u64_from(piece.len()))
        })
        .map_err(in_file)?;
        let before = verification.mismatches.len();
        for (entry, digester) in digests {
            let found_hex = digester.finish();
            if found_hex != entry.digest_hex {
                let (algorithm, expected_hex) = (entry.algorithm, entry.digest_hex.clone());
                verification.mismatches.push(Mismatch { name: name.to_owned(), algorithm, expected_hex, found_hex });
            }
        }
        if verification.mismatches.len() == before {
            verification.verified.push(name.to_owned());
        }
        Ok(())
    })?;
    Ok(verification)
}

fn not_covered(package: &Package, is_covered: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut names: BTreeSet<String> = BTreeSet::from([package.descriptor_name().to_owned()]);
    for (_, resolved) in package.referenced()? {
        names.extend(resolved.parts.into_iter().map(|(name, _)| name));
    }
    Ok(names.into_iter().filter(|name| !is_covered(name)).collect())
}

/// A digest of any algorithm that is being computed.
#[derive(Clone, Debug)]
pub(super) enum Digester {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Digester {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::new(Sha512::new())),
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha1(state) => state.update(data),
            Self::Sha256(state) => state.update(data),
            Self::Sha512(state) => state.update(data),
        }
    }

    /// Returns the digest in lower-case hexadecimal digits.
    pub(super) fn finish(self) -> String {
        let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha1(state) => hex(&state.finalize()),
            Self::Sha256(state) => hex(&state.finalize()),
            Self::Sha512(state) => hex(&state.finalize()),
        }
    }
}
