//! A package in a directory: disks, firmware's variables, manifest, and last the descriptor.
//!
//! Without its descriptor a directory is no package, so nothing takes one for whole that is not. The same
//! request goes on where an earlier one was cut off; a finished disk is read and kept.

use std::fs::File;
use std::path::{Path, PathBuf};

use diskimage::package::manifest::{Algorithm, Manifest};
use diskimage::package::ovf;
use sha2::{Digest as _, Sha256};
use transfer::Cancel;

use super::described::{Described, Made};
use super::images::{disk_or_kept, format};
use super::{Report, Work, paths, source};
use crate::export::Phase;
use crate::subject::Subject;
use crate::{Error, ErrorKind, Result};

/// Piece of one read for a digest.
const PIECE_BYTES: usize = 1 << 20;

/// Writes a subject as a package in a directory.
pub(super) fn convert(work: &Work<'_>, mut subject: Subject) -> Result<Report> {
    let request = work.request;
    let output = &request.output;
    refuse_own_folder(&request.source, output)?;
    let described = Described::of(request, &mut subject);
    described.warning.iter().for_each(|warning| work.meter.warning(warning));
    let (descriptor, manifest) = (named(output, &described, "ovf"), named(output, &described, "mf"));
    for path in [&descriptor, &manifest] {
        paths::refuse_taken(path, request.replace)?;
    }
    paths::make_directory(output)?;
    let mut report = Report { output: output.clone(), ..Report::default() };
    let made = disks(work, subject, &described, output, &mut report)?;
    let mut files: Vec<String> = described.disks.iter().flatten().cloned().collect();
    if let Some((name, nvram)) = &described.nvram {
        paths::write_file(&output.join(name), &nvram.bytes, request.replace)?;
        files.push(name.clone());
    }
    let text = ovf::write(&described.machine, &described.contents(&made)).map_err(own)?;
    work.meter.phase(Phase::Verifying);
    let mut digests = Manifest::default();
    let of_text = Sha256::digest(text.as_bytes());
    digests.add(Algorithm::Sha256, &file_of(&descriptor), &hex(&of_text)).map_err(own)?;
    for name in &files {
        let digest = sha256(&output.join(name), work.cancel)?;
        digests.add(Algorithm::Sha256, name, &digest).map_err(own)?;
        report.files.push(paths::report(&output.join(name))?);
    }
    work.meter.phase(Phase::Finishing);
    paths::write_file(&manifest, digests.to_string().as_bytes(), request.replace)?;
    paths::write_file(&descriptor, text.as_bytes(), request.replace)?;
    for path in [&manifest, &descriptor] {
        report.files.push(paths::report(path)?);
    }
    Ok(report)
}

/// Converts all disks into files of `directory`.
pub(super) fn disks(
    work: &Work<'_>,
    subject: Subject,
    described: &Described,
    directory: &Path,
    report: &mut Report,
) -> Result<Vec<Made>> {
    let shown = |name: &Option<String>| name.clone().unwrap_or_else(|| "blank disk".to_owned());
    work.meter.disks(described.disks.iter().map(shown).zip(subject.disks.iter().map(source::capacity)));
    let mut made = Vec::new();
    for (index, (name, disk)) in described.disks.iter().zip(subject.disks).enumerate() {
        let Some(name) = name else {
            let capacity_bytes = disk.declared_bytes.unwrap_or_default();
            work.meter.complete(index);
            made.push(Made { file_bytes: 0, capacity_bytes });
            continue;
        };
        let path = directory.join(name);
        let disk = source::of_disk(work, &subject.path, disk, &path)?;
        let done = disk_or_kept(work, index, &disk, &path, format(work.request))?;
        report.add_disk(name.clone(), &done);
        made.push(Made::from(&done));
    }
    Ok(made)
}

/// Refuses to write a package into the directory that its source lies in: names of both would meet.
fn refuse_own_folder(source: &Path, output: &Path) -> Result<()> {
    let folder = if source.is_dir() { Some(source) } else { source.parent() };
    let same = folder.and_then(|folder| folder.canonicalize().ok()).zip(output.canonicalize().ok());
    if same.is_some_and(|(folder, output)| folder == output) {
        let context = format!("write a package into {}: the source lies in there", output.display());
        return Err(Error::new(ErrorKind::Usage, context).with_hint("name another directory"));
    }
    Ok(())
}

fn named(output: &Path, described: &Described, ending: &str) -> PathBuf {
    output.join(format!("{}.{ending}", described.stem))
}

fn file_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn sha256(path: &Path, cancel: &Cancel) -> Result<String> {
    let failed = |error| paths::failed("read back", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        cancel.check("read back")?;
        let got = std::io::Read::read(&mut file, &mut piece).map_err(failed)?;
        if got == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&piece[..got]);
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What we wrote ourselves is in order; else it is a bug.
pub(super) fn own(error: diskimage::Error) -> Error {
    let context = "describe the package";
    Error::new(ErrorKind::Internal, context).with_source(error)
}
