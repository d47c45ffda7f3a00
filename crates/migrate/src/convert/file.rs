//! A conversion into a file: whose is what lies there, and the way to its final name.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use diskimage::parallel::Workers;
use sha2::{Digest as _, Sha256};
use transfer::journal::{Header, Store as _, inspect, is_journal};

use super::names::{Names, stands_there};
use super::resume::Done;
use super::source::{Source, digest};
use super::{Job, Report, error};
use crate::copy::{Copied, JournalFile};
use crate::sink::{FilePlace, Format, ImageTarget, Stream};
use crate::{Error, ErrorKind, Result};

/// What of a conversion lies there.
enum Found {
    /// Nothing, or something to go on with or to replace.
    Work,
    /// All of it: an earlier life was cut off behind the renaming.
    Finished([u8; 32]),
}

pub(super) fn convert(job: &Job<'_>, path: &Path) -> Result<Report> {
    let names = Names::of(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !directory.is_dir() {
        let context = format!("write {}: there is no directory {}", path.display(), directory.display());
        return Err(Error::new(ErrorKind::Target, context).with_hint("make the directory first"));
    }
    let failed = |reason| error::of_copy(format!("write {}", path.display()), reason);
    let header = job.header(None)?;
    let mut journal = JournalFile::open(&names.journal).map_err(failed)?;
    let done = match find(job, &names, &mut journal, &header) {
        Ok(Found::Work) => {
            let place = FilePlace::new(&names.part);
            let target = ImageTarget::new(place, job.options.format, header.source.capacity_bytes);
            let target = target.with_stream(stream(job, &names, &header)?);
            let done = job.run(&target, &mut journal, &header)?;
            names.publish(job.options.replace)?;
            done
        }
        Ok(Found::Finished(digest)) => {
            let copied = Copied { kept_bytes: header.source.capacity_bytes, ..Copied::default() };
            Done { copied, resumed: true, digest }
        }
        Err(refusal) => {
            // An empty one was made just now, and is not to look like a conversion that was cut off.
            if journal.read().is_ok_and(|bytes| bytes.is_empty()) {
                journal.remove().map_err(failed)?;
            }
            return Err(refusal);
        }
    };
    journal.remove().map_err(failed)?;
    let metadata =
        fs::metadata(path).map_err(|reason| error::of_target(&format!("look at {}", path.display()), reason))?;
    Ok(Report {
        path: path.to_owned(),
        capacity_bytes: header.source.capacity_bytes,
        file_bytes: metadata.len(),
        allocated_bytes: metadata.blocks() * 512,
        read_bytes: done.copied.read_bytes,
        kept_bytes: done.copied.kept_bytes,
        resumed: done.resumed,
        content_digest: done.digest,
    })
}

/// Returns what a stream needs. Its content id follows what the journal knows of the source, so that it is
/// the same in each life of a conversion, and another once the source was written to.
fn stream(job: &Job<'_>, names: &Names, header: &Header) -> Result<Stream> {
    if !matches!(job.options.format, Format::StreamOptimized { .. }) {
        return Ok(Stream::default());
    }
    let mut hasher = Sha256::new();
    for file in &header.source.files {
        hasher.update(format!("{}\n{}\n{}\n", file.name, file.size_bytes, file.modified));
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
    // The two highest values mean "none".
    let content_id = u32::from_le_bytes([a, b, c, d]) & 0x7fff_ffff;
    let threads = job.options.copy.workers;
    let workers = Workers::start(threads, threads.saturating_mul(Workers::BUDGET_BYTES_PER_THREAD))
        .map_err(|reason| Error::new(ErrorKind::Internal, "start the threads that compress").with_source(reason))?;
    let file_name = names.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Stream { content_id, file_name, workers: Some(Arc::new(workers)) })
}

/// Looks at what has the names of this conversion, and refuses what is not ours.
///
/// The journal comes into being before the partial file and goes after the renaming, so: with a
/// journal, a partial file is ours; without one it is not.
fn find(job: &Job<'_>, names: &Names, journal: &mut JournalFile, header: &Header) -> Result<Found> {
    let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
    let (part, image, replace) = (exists(&names.part), exists(&names.path), job.options.replace);
    let bytes = journal.read().map_err(|reason| error::of_copy("look for an earlier conversion", reason))?;
    if names.path.is_dir() {
        let context = format!("write {}: it is a directory", names.path.display());
        return Err(Error::new(ErrorKind::Target, context).with_hint("name a file in it"));
    }
    if !bytes.is_empty() && !is_journal(&bytes) && !replace {
        return Err(strangers(&names.journal));
    }
    if bytes.is_empty() && part {
        if !replace {
            return Err(strangers(&names.part));
        }
        let failed = |reason| error::of_target(&format!("remove {}", names.part.display()), reason);
        fs::remove_file(&names.part).map_err(failed)?;
    }
    if image
        && !part
        && let Some(digest) = finished(job, names, &bytes, header)
    {
        return Ok(Found::Finished(digest));
    }
    if image && !replace {
        return Err(stands_there(&names.path));
    }
    Ok(Found::Work)
}

/// Returns the digest of the image under the final name when it is what the journal's conversion made.
///
/// The name alone does not say so: somebody may have put another file there since. So it is read.
fn finished(job: &Job<'_>, names: &Names, journal: &[u8], header: &Header) -> Option<[u8; 32]> {
    let said = inspect(journal).ok().filter(|said| said.header.differences(header).is_empty())?;
    let expected = said.progress.digest()?;
    let image = Source::open_as(&names.path, job.options.format).ok()?;
    let found = digest(&image, job.options.copy.workers, job.cancel).ok()?;
    (found == expected).then_some(found)
}

fn strangers(path: &Path) -> Error {
    let context = format!("write {}: no conversion wrote this file", path.display());
    Error::new(ErrorKind::Target, context).with_hint("move it away, name another file, or say --force to replace it")
}
