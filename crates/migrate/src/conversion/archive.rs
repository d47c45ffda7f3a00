//! A package in one file.
//!
//! Sizes and digests of the disks stand in front of them, and a disk grows over several runs. So each disk
//! is made in a hidden directory beside the archive, as for a package in a directory, and then moved into
//! the archive; a run that was cut off goes on with the disks that it finds there.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use diskimage::package::ova::{OvaFile, OvaOptions};
use diskimage::package::ovf;

use super::described::{Described, Made};
use super::folder::{disks, own};
use super::{Report, Work, paths};
use crate::export::{Phase, umask};
use crate::subject::Subject;
use crate::{Error, ErrorKind, Result};

/// Piece of one write into the archive.
const PIECE_BYTES: usize = 1 << 20;

/// Writes a subject as a package in one file.
pub(super) fn convert(work: &Work<'_>, mut subject: Subject) -> Result<Report> {
    let request = work.request;
    let output = &request.output;
    paths::refuse_taken(output, request.replace)?;
    let described = Described::of(request, &mut subject);
    described.warning.iter().for_each(|warning| work.meter.warning(warning));
    let directory = paths::hidden(output, ".parts")?;
    paths::make_directory(&directory)?;
    refuse_inside(&request.source, &directory)?;
    let mut report = Report { output: output.clone(), ..Report::default() };
    let made = disks(work, subject, &described, &directory, &mut report)?;
    let whole = directory.join("archive");
    assemble(work, &described, &made, &directory, &whole)?;
    work.meter.phase(Phase::Finishing);
    paths::publish(&whole, output, request.replace)?;
    // Everything in there is in the archive, or left over from one that was cut off.
    fs::remove_dir_all(&directory).map_err(|error| paths::failed("remove", &directory, error))?;
    report.files.push(paths::report(output)?);
    Ok(report)
}

/// Refuses a source that lies in the directory that is removed at the end.
fn refuse_inside(source: &Path, directory: &Path) -> Result<()> {
    match (source.canonicalize(), directory.canonicalize()) {
        (Ok(source), Ok(directory)) if source.starts_with(&directory) => {
            let context = format!("convert {}: it lies among the parts of the result", source.display());
            Err(Error::new(ErrorKind::Usage, context).with_hint("move it elsewhere first"))
        }
        _ => Ok(()),
    }
}

fn assemble(work: &Work<'_>, described: &Described, made: &[Made], directory: &Path, whole: &Path) -> Result<()> {
    for leftover in [whole.to_owned(), paths::hidden(whole, ".part")?] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(paths::failed("remove", &leftover, error));
            }
            _ => {}
        }
    }
    let contents = described.contents(made);
    let data: Vec<String> = contents.files().map(|file| file.name.clone()).collect();
    let options = OvaOptions {
        stem: described.stem.clone(),
        data: data.clone(),
        descriptor_bytes: ovf::longest_bytes(&described.machine, &contents).map_err(own)?,
        mtime_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let failed = |error: diskimage::Error| match error.kind() {
        diskimage::ErrorKind::Misuse => own(error),
        _ => Error::new(ErrorKind::Target, format!("write {}", work.request.output.display())).with_source(error),
    };
    let mut archive = OvaFile::create(whole, options).map_err(failed)?;
    for name in &data {
        let mut member = archive.writer().member().map_err(failed)?;
        match &described.nvram {
            Some((nvram, bytes)) if nvram == name => {
                member.write_all(&bytes.bytes).map_err(|error| paths::failed("write", whole, error))?;
            }
            _ => append(work, &directory.join(name), &mut member, whole)?,
        }
        member.finish().map_err(failed)?;
    }
    let text = ovf::write(&described.machine, &contents).map_err(own)?;
    archive.finish(&text, 0o666 & !umask()).map_err(failed)?;
    Ok(())
}

fn append(work: &Work<'_>, path: &Path, member: &mut impl std::io::Write, whole: &Path) -> Result<()> {
    let mut disk = File::open(path).map_err(|error| paths::failed("read back", path, error))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        work.cancel.check("write the archive")?;
        let got = std::io::Read::read(&mut disk, &mut piece);
        let got = got.map_err(|error| paths::failed("read back", path, error))?;
        if got == 0 {
            return Ok(());
        }
        member.write_all(&piece[..got]).map_err(|error| paths::failed("write", whole, error))?;
    }
}
