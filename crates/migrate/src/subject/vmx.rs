//! A machine as VMware keeps it: a `.vmx`, and images beside it.

use std::path::Path;

use diskimage::image::Files;
use diskimage::image::files::open_with_folder;
use diskimage::image::probe::probe_source;
use diskimage::package::DiskFormat;
use diskimage::package::machine::{Disk, DiskBacking};
use diskimage::package::vmx::{VMX_BYTES_MAX, Vmx, machine};

use super::anywhere::Anywhere;
use super::{Content, Kind, OpenOptions, Subject, SubjectDisk, image};
use crate::{Error, ErrorKind, Result};

/// The longest file with a firmware's variables that is carried along.
const NVRAM_BYTES_MAX: u64 = 16 << 20;

/// Opens a machine by its `.vmx`.
pub(super) fn open(path: &Path, options: OpenOptions) -> Result<Subject> {
    let (source, folder, name) = open_with_folder(path)?;
    let len = usize::try_from(source.len_bytes()).unwrap_or(usize::MAX).min(VMX_BYTES_MAX + 1);
    let mut text = vec![0; len];
    source.read_at(0, &mut text)?;
    let vmx = Vmx::parse(&text)?;
    let machine = machine(&vmx, &name)?;
    let real = path.canonicalize().map_err(|error| Error::from_io("find its folder", error))?;
    let anywhere = Anywhere(real.parent().unwrap_or_else(|| Path::new("/")).to_owned());
    let files: &dyn Files = if options.follow_outside { &anywhere } else { &folder };
    let disks = machine.disks.iter().map(|disk| open_disk(files, disk)).collect();
    let mut warnings = vmx.warnings().to_vec();
    let nvram = machine.nvram.as_deref().and_then(|name| match read_nvram(files, name) {
        Ok(nvram) => Some(nvram),
        Err(error) => {
            warnings.push(format!("the firmware's variables {name:?} cannot be read: {}", error.chain()));
            None
        }
    });
    Ok(Subject { path: path.to_owned(), kind: Kind::Vmx, disks, warnings, nvram, machine: Some(machine) })
}

fn open_disk(files: &dyn Files, disk: &Disk) -> SubjectDisk {
    let (name, content) = match &disk.backing {
        DiskBacking::Blank => (String::new(), Content::Blank),
        DiskBacking::File(backing) => {
            let opened = open_image(files, &backing.name).map(Content::Image);
            (backing.name.clone(), opened.unwrap_or_else(Content::Unreadable))
        }
    };
    SubjectDisk { name, place: disk.place, declared_bytes: disk.capacity_bytes, content }
}

fn open_image(files: &dyn Files, name: &str) -> Result<image::OpenedImage> {
    let source = files.open(name).map_err(image::named_elsewhere)?;
    let Some(format) = probe_source(&*source)? else {
        return Err(Error::new(ErrorKind::Image, format!("{name} begins like no disk image that is known")));
    };
    image::open(source, DiskFormat::Image(format), name, files)
}

fn read_nvram(files: &dyn Files, name: &str) -> Result<super::Nvram> {
    let source = files.open(name)?;
    if source.len_bytes() > NVRAM_BYTES_MAX {
        return Err(Error::new(ErrorKind::Image, format!("{name} is longer than {NVRAM_BYTES_MAX} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(source.len_bytes()).unwrap_or_default()];
    source.read_at(0, &mut bytes)?;
    Ok(super::Nvram { bytes })
}
