//! The package that an earlier run of the same export has finished, when it was cut off before it could say so.
//!
//! Between the last rename and the moment when whoever started the export has heard of it lies a gap, in which
//! a process may die. The next run finds a whole package then; it reads it, compares it with its manifest, and
//! makes the report of it. Nothing is asked of the server but which VM it is.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use diskimage::package::manifest::{Algorithm, MANIFEST_BYTES_MAX, Manifest};
use sha2::{Digest as _, Sha256};

use super::claim::{Claim, Identity, stands_finished};
use super::fetch::hexadecimal;
use super::meter::Reporter;
use super::plan::Plan;
use super::{FileReport, Phase, Proof, Report, blocking, target_error};
use crate::rights::Directory;
use crate::{Error, ErrorKind, Result, rights};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Returns the report of the package of this VM that stands in `directory` under `name`, or under that with the
/// VM's id; `None` when there is none.
///
/// # Errors
/// [`ErrorKind::Verification`] naming the file that is not what the manifest says, [`ErrorKind::Target`] for one that
/// cannot be read.
pub(super) async fn adopt(directory: &Path, name: &str, plan: &Plan, reporter: &Reporter) -> Result<Option<Report>> {
    let (directory, name, identity) = (directory.to_owned(), name.to_owned(), plan.identity.clone());
    let (vm_path, reporter) = (plan.vm.path.clone(), reporter.clone());
    let rights = rights::current()?;
    blocking(move || {
        let directory = Directory::make(&rights, &directory)?;
        let Some(base) = stands_finished(directory.path(), &name, &identity)? else { return Ok(None) };
        reporter.phase(Phase::Verifying);
        let files = read_again(directory.path(), &base)?;
        end_claim(directory.path(), &base, &identity)?;
        Ok(Some(Report {
            vm_path,
            instance_uuid: Some(identity.vm),
            descriptor: format!("{base}.ovf"),
            directory: directory.shown().to_owned(),
            files,
            received_bytes: 0,
            copy_ms: 0,
            snapshot: None,
            // What the earlier run knew beyond this was lost with it.
            proof: Some(Proof::Received),
        }))
    })
    .await
}

/// Reads every file that the manifest names, and the manifest itself.
fn read_again(directory: &Path, base: &str) -> Result<Vec<FileReport>> {
    let name = format!("{base}.mf");
    let path = directory.join(&name);
    let text = read_manifest(&path).map_err(|error| target_error(&format!("read {}", path.display()), error))?;
    let wrong = |what: String| Error::new(ErrorKind::Verification, format!("take up {}: {what}", path.display()));
    let manifest = Manifest::parse(&name, &text);
    let manifest = manifest.map_err(|error| wrong("it is no manifest".to_owned()).with_source(error))?;
    let mut files = Vec::new();
    for entry in manifest.entries().iter().filter(|entry| entry.algorithm == Algorithm::Sha256) {
        if !entry.name.starts_with(base) || entry.name.contains('/') {
            return Err(wrong(format!("it names `{}`, which is not of this package", entry.name)));
        }
        let file = hashed(directory, &entry.name)?;
        if file.sha256 != entry.digest_hex {
            return Err(wrong(format!("{} is not what it says (SHA-256 {})", file.name, file.sha256)));
        }
        let is_ours = file.name.ends_with(".ovf");
        files.push(FileReport { proof: (!is_ours).then_some(Proof::Received), ..file });
    }
    files.push(hashed(directory, &name)?);
    Ok(files)
}

fn read_manifest(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let limit = u64::try_from(MANIFEST_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

fn hashed(directory: &Path, name: &str) -> Result<FileReport> {
    let path = directory.join(name);
    let read = || {
        let (mut hasher, mut size_bytes) = (Sha256::new(), 0u64);
        let mut file = File::open(&path)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok((size_bytes, hexadecimal(&hasher.finalize())));
            }
            hasher.update(&buffer[..count]);
            size_bytes += count as u64;
        }
    };
    let (size_bytes, sha256) =
        read().map_err(|error: io::Error| target_error(&format!("read {}", path.display()), error))?;
    Ok(FileReport {
        name: name.to_owned(),
        size_bytes,
        sha256,
        capacity_bytes: None,
        populated_bytes: None,
        proof: None,
    })
}

/// Ends what the earlier run has left of its claim, but for the names of snapshots that may be left.
fn end_claim(directory: &Path, base: &str, identity: &Identity) -> Result<()> {
    let left: PathBuf = directory.join(format!(".{base}.export"));
    if fs::symlink_metadata(left).is_err() {
        return Ok(());
    }
    match Claim::open(directory, base, identity)? {
        Some(claim) if claim.has_notes() => claim.keep_notes(),
        Some(claim) => claim.release(),
        None => Ok(()),
    }
}
