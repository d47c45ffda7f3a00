//! Compares the files of a package with its manifest.
//!
//! What it does not do: nothing inside of the disks is looked at, and a signature over the manifest is
//! not checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimage::package::Package;
use diskimage::package::verify::{BareManifest, Verification};
use tokio_util::sync::CancellationToken;
use transfer::Cancel;

use crate::blocking::stoppable;
use crate::export::{FileProgress, Observer, Phase, Progress};
use crate::{Error, ErrorKind, Result};

/// Observers hear at most once per so many bytes.
const TELL_EVERY_BYTES: u64 = 16 << 20;

/// A manifest, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Files whose digests are right.
    pub verified: Vec<String>,
    /// Digests that are wrong.
    pub mismatches: Vec<Mismatch>,
    /// Files of the package of which no manifest speaks.
    pub not_covered: Vec<String>,
    /// Files of which the manifest speaks and that are not there.
    pub missing: Vec<String>,
    /// Bytes read.
    pub read_bytes: u64,
}

/// A digest that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The file.
    pub name: String,
    /// The algorithm, as the manifest writes it.
    pub algorithm: String,
    /// What the manifest says, lower-case hexadecimal.
    pub expected: String,
    /// What the file has.
    pub found: String,
}

impl Report {
    /// Returns an error that names everything that is wrong, if anything is.
    ///
    /// # Errors
    /// [`ErrorKind::Verification`].
    pub fn check(&self, path: &Path) -> Result<()> {
        let wrong: std::collections::BTreeSet<_> = self.mismatches.iter().map(|mismatch| &mismatch.name).collect();
        let wrong = wrong.into_iter().map(|name| format!("{name} is not what the manifest says"));
        let missing = self.missing.iter().map(|name| format!("{name} is missing"));
        let said: Vec<_> = wrong.chain(missing).collect();
        if said.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Verification, format!("verify {}: {}", path.display(), said.join(", "))))
    }
}

/// Reads every file that the manifest at `path` speaks of, or that of the package there, and compares digests.
///
/// # Errors
/// [`ErrorKind::Image`] when `path` is no package or is damaged, [`ErrorKind::NotFound`] when there is nothing,
/// [`ErrorKind::Verification`] when there is no manifest. A digest that is wrong is no error here; see
/// [`Report::check`].
pub async fn verify(path: PathBuf, observer: Arc<dyn Observer>, cancel: CancellationToken) -> Result<Report> {
    stoppable(cancel, move |cancel| run(&path, observer.as_ref(), cancel)).await
}

/// What is compared: a package, or a manifest that stands alone.
enum Subject {
    Package(Box<Package>),
    Manifest(Box<BareManifest>),
}

impl Subject {
    fn open(path: &Path) -> diskimage::Result<Self> {
        let is_manifest = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("mf")) && !path.is_dir();
        if is_manifest {
            return BareManifest::open(path).map(Box::new).map(Self::Manifest);
        }
        Package::open(path).map(Box::new).map(Self::Package)
    }

    fn warnings(&self) -> Vec<String> {
        match self {
            Self::Package(package) => package.warnings().map(str::to_owned).collect(),
            Self::Manifest(manifest) => manifest.warnings().to_vec(),
        }
    }

    fn len_bytes(&self) -> diskimage::Result<u64> {
        match self {
            Self::Package(package) => package.verified_len_bytes(),
            Self::Manifest(manifest) => manifest.len_bytes(),
        }
    }

    fn verify(&self, progress: &mut dyn FnMut(u64) -> diskimage::Result<()>) -> diskimage::Result<Verification> {
        match self {
            Self::Package(package) => package.verify(progress),
            Self::Manifest(manifest) => manifest.verify(progress),
        }
    }
}

fn run(path: &Path, observer: &dyn Observer, cancel: &Cancel) -> Result<Report> {
    let shown = path.display().to_string();
    let failed = |error: diskimage::Error| Error::from(error).about(&format!("verify {shown}"));
    let subject = Subject::open(path).map_err(failed)?;
    subject.warnings().iter().for_each(|warning| observer.warning(warning));
    let name = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let mut meter = Meter { observer, name, total_bytes: subject.len_bytes().map_err(failed)?, read: 0, told: 0 };
    meter.tell();
    let verification = subject.verify(&mut |bytes| {
        meter.add(bytes);
        if cancel.is_cancelled() { Err(diskimage::Error::stopped()) } else { Ok(()) }
    });
    let verification = match verification {
        Err(_) if cancel.is_cancelled() => {
            return Err(Error::new(ErrorKind::Cancelled, format!("verify {shown}: stopped")));
        }
        verification => verification.map_err(failed)?,
    };
    let compared = verification.verified.len() + verification.mismatches.len() + verification.missing.len();
    if !verification.has_manifest || compared == 0 {
        let why = if verification.has_manifest {
            "the manifest names no file"
        } else {
            "there is no manifest to compare with"
        };
        return Err(Error::new(ErrorKind::Verification, format!("verify {shown}: {why}")));
    }
    meter.tell();
    for name in &verification.not_covered {
        observer.warning(&format!("{name} is not in the manifest, which proves nothing about it"));
    }
    Ok(report(verification))
}

fn report(verification: Verification) -> Report {
    let Verification { verified, mismatches, not_covered, missing, read_bytes, .. } = verification;
    let mismatches = mismatches.into_iter().map(|mismatch| Mismatch {
        name: mismatch.name,
        algorithm: mismatch.algorithm.to_string(),
        expected: mismatch.expected_hex,
        found: mismatch.found_hex,
    });
    Report { verified, mismatches: mismatches.collect(), not_covered, missing, read_bytes }
}

/// Tells the observer how far it is.
struct Meter<'a> {
    observer: &'a dyn Observer,
    name: String,
    total_bytes: u64,
    read: u64,
    told: u64,
}

impl Meter<'_> {
    fn add(&mut self, bytes: u64) {
        self.read += bytes;
        if self.read - self.told >= TELL_EVERY_BYTES {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = self.read;
        let file = FileProgress {
            name: self.name.clone(),
            disk: false,
            received_bytes: self.read,
            covered_bytes: self.read,
            total_bytes: self.total_bytes,
            complete: self.read >= self.total_bytes,
        };
        self.observer.progress(&Progress { phase: Phase::Verifying, vm_path: None, files: vec![file] });
    }
}
