//! A conversion onto a block device: no names, and a guard against those who use it.

use std::path::Path;

use diskimage::raw;
use transfer::journal::{MemoryStore, Store};

use super::{Job, Report, error};
use crate::copy::JournalFile;
use crate::sink::{DevicePlace, Format, ImageTarget};
use crate::{Error, ErrorKind, Result};

pub(super) fn convert(job: &Job<'_>, path: &Path, journal: Option<&Path>) -> Result<Report> {
    if job.options.format != Format::Raw {
        let context =
            format!("write {} as {}: a block device takes raw disks", path.display(), job.options.format.name());
        return Err(Error::new(ErrorKind::Usage, context).with_hint("leave the format to the device, or name a file"));
    }
    let device = raw::device::open(path)
        .map_err(|reason| Error::new(ErrorKind::Target, format!("write {}", path.display())).with_source(reason))?;
    let header = job.header(Some(path.display().to_string()))?;
    let capacity_bytes = header.source.capacity_bytes;
    let target = ImageTarget::new(DevicePlace::new(device, path), Format::Raw, capacity_bytes);
    let failed = |reason| error::of_copy(format!("write {}", path.display()), reason);
    let done = match journal {
        None => job.run(&target, &mut MemoryStore::default() as &mut dyn Store, &header)?,
        Some(journal) => {
            let mut journal = JournalFile::open(journal).map_err(failed)?;
            let done = job.run(&target, &mut journal, &header)?;
            journal.remove().map_err(failed)?;
            done
        }
    };
    Ok(Report {
        path: path.to_owned(),
        capacity_bytes,
        file_bytes: capacity_bytes,
        allocated_bytes: capacity_bytes,
        read_bytes: done.copied.read_bytes,
        kept_bytes: done.copied.kept_bytes,
        resumed: done.resumed,
        content_digest: done.digest,
    })
}
