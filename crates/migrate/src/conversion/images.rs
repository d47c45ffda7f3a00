//! Bare images: one file or device for one disk, files in a directory for several.

use std::path::{Path, PathBuf};

use diskimage::qcow2::write as qcow2;
use diskimage::vmdk::grain::Level;

use super::{Compression, DiskReport, FileReport, Format, Report, Request, Work, paths, source};
use crate::convert::{self, Source, Target};
use crate::names::file_name;
use crate::sink;
use crate::subject::Subject;
use crate::{Error, ErrorKind, Result};

/// Converts every disk of a subject into an image of its own.
pub(super) fn convert(work: &Work<'_>, subject: Subject) -> Result<Report> {
    let request = work.request;
    if let Some(machine) = &subject.machine {
        let lost = format!(
            "the hardware of {} is not kept in a bare image; --to ova and --to ovf keep it",
            file_name(&machine.name)
        );
        work.meter.warning(&lost);
    }
    let paths = targets(request, &subject)?;
    // Of all disks before the first is written: one disk's image may have the name of another's source.
    for path in &paths {
        subject.disks.iter().try_for_each(|disk| source::refuse_as_target(&subject.path, disk, path))?;
    }
    let named = paths.iter().zip(&subject.disks).map(|(path, disk)| (shown(path), source::capacity(disk)));
    work.meter.disks(named);
    let mut report = Report { output: request.output.clone(), ..Report::default() };
    let several = paths.len() > 1;
    for (index, (path, disk)) in paths.iter().zip(subject.disks).enumerate() {
        let disk = source::of_disk(work, &subject.path, disk, path)?;
        let format = format(request);
        let made = if several {
            disk_or_kept(work, index, &disk, path, format)?
        } else {
            one_disk(work, index, &disk, path, format)?
        };
        report.add_disk(shown(path), &made);
        // What the node of a device says of itself is nothing of what was written to it.
        let (size_bytes, allocated_bytes) = (made.file_bytes, made.allocated_bytes);
        report.files.push(FileReport { path: made.path, size_bytes, allocated_bytes });
    }
    Ok(report)
}

/// Returns where each disk goes.
fn targets(request: &Request, subject: &Subject) -> Result<Vec<PathBuf>> {
    let output = &request.output;
    let stem = stem(request, subject);
    let ending = match request.format {
        Format::Raw => "raw",
        Format::Qcow2 => "qcow2",
        Format::Vmdk | Format::Ova | Format::Ovf => "vmdk",
    };
    if let [_] = subject.disks[..] {
        let path = if output.is_dir() { output.join(format!("{stem}.{ending}")) } else { output.clone() };
        return Ok(vec![path]);
    }
    if output.exists() && !output.is_dir() {
        let disks = subject.disks.len();
        let context = format!("write {}: {disks} disks need a directory, and this is none", output.display());
        return Err(Error::new(ErrorKind::Usage, context).with_hint("name a directory, or say --to ova"));
    }
    paths::make_directory(output)?;
    Ok((0..subject.disks.len()).map(|index| output.join(format!("{stem}-disk-{index}.{ending}"))).collect())
}

/// Returns what the names of files begin with: the machine's name, else that of the source.
pub(super) fn stem(request: &Request, subject: &Subject) -> String {
    let of_machine = subject.machine.as_ref().map(|machine| machine.name.as_str()).filter(|name| !name.is_empty());
    let of_source = || request.source.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    file_name(&of_machine.map(str::to_owned).or_else(of_source).unwrap_or_default())
}

/// Returns the form of one image at `path`.
pub(super) fn format(request: &Request) -> sink::Format {
    match request.format {
        Format::Raw => sink::Format::Raw,
        Format::Qcow2 => sink::Format::Qcow2 {
            cluster_bytes: request.cluster_bytes.unwrap_or(qcow2::CLUSTER_BYTES_DEFAULT),
            compression: request.compression.map(|compression| match compression {
                Compression::Deflate => qcow2::Compression::Deflate,
                Compression::Zstd => qcow2::Compression::Zstd,
            }),
        },
        Format::Vmdk | Format::Ova | Format::Ovf => sink::Format::StreamOptimized { level: Level::default() },
    }
}

/// Converts one disk; an image that stands at its place is in the way.
fn one_disk(
    work: &Work<'_>,
    index: usize,
    disk: &Source,
    path: &Path,
    format: sink::Format,
) -> Result<convert::Report> {
    let options = convert::Options { replace: work.request.replace, ..convert::Options::new(format) };
    let made = convert::disk(disk, &Target::at(path), &options, &work.meter.of_disk(index), work.cancel)?;
    work.meter.complete(index);
    Ok(made)
}

/// Converts one disk of several. An image that an earlier run has finished is kept: it is one that holds
/// what the source does.
pub(super) fn disk_or_kept(
    work: &Work<'_>,
    index: usize,
    disk: &Source,
    path: &Path,
    format: sink::Format,
) -> Result<convert::Report> {
    if path.is_file()
        && !paths::hidden(path, ".part.journal")?.exists()
        && let Some(kept) = kept(work, disk, path)?
    {
        work.meter.complete(index);
        return Ok(kept);
    }
    one_disk(work, index, disk, path, format)
}

fn kept(work: &Work<'_>, disk: &Source, path: &Path) -> Result<Option<convert::Report>> {
    let Ok(image) = Source::open(path) else { return Ok(None) };
    let capacity_bytes = disk.disk().capacity_bytes();
    if image.disk().capacity_bytes() != capacity_bytes {
        return Ok(None);
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let content_digest = convert::digest(disk, workers, work.cancel)?;
    match convert::digest(&image, workers, work.cancel) {
        Ok(found) if found == content_digest => {}
        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
        _ => return Ok(None),
    }
    work.meter.warning(&format!("{} was whole already and holds what the source does", path.display()));
    let file = paths::report(path)?;
    Ok(Some(convert::Report {
        path: path.to_owned(),
        capacity_bytes,
        file_bytes: file.size_bytes,
        allocated_bytes: file.allocated_bytes,
        read_bytes: 0,
        kept_bytes: capacity_bytes,
        resumed: true,
        content_digest,
    }))
}

impl Report {
    pub(super) fn add_disk(&mut self, name: String, made: &convert::Report) {
        let digest = made.content_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.disks.push(DiskReport { name, capacity_bytes: made.capacity_bytes, content_blake3: Some(digest) });
        self.read_bytes += made.read_bytes;
        self.kept_bytes += made.kept_bytes;
    }
}

fn shown(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
