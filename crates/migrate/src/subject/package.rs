//! A package: its machine, and the images in it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use diskimage::image::probe::probe_source;
use diskimage::image::{ByteSource, FileSource, Files as _, Format};
use diskimage::package::machine::{Disk, DiskBacking, FileBacking};
use diskimage::package::{DiskFormat, Package};

use super::{Content, Kind, OpenOptions, Subject, SubjectDisk, has_extension, image};
use crate::{Error, ErrorKind, Result};

/// The longest file with a firmware's variables that is carried along; VMware's have 264 KiB.
const NVRAM_BYTES_MAX: u64 = 16 << 20;

/// Says whether a file is opened as a package: a descriptor by its name, an archive by how it begins.
pub(super) fn is_package(path: &Path) -> Result<bool> {
    if has_extension(path, "ovf") {
        return Ok(true);
    }
    let about = |error: Error| error.about(&format!("open {}", path.display()));
    let format =
        FileSource::open(path).and_then(|source| probe_source(&source)).map_err(|error| about(error.into()))?;
    Ok(matches!(format, Some(Format::Tar | Format::Zip | Format::Gzip | Format::Xz)) || has_extension(path, "ova"))
}

/// Opens a package.
pub(super) fn open(path: &Path, _options: OpenOptions) -> Result<Subject> {
    let package = Arc::new(Package::open(path)?);
    let mut machine = package.machine(None)?;
    let disks = machine.disks.iter().map(|disk| open_disk(&package, disk)).collect();
    let nvram = match &machine.nvram {
        Some(href) => match read_nvram(&package, href) {
            Ok(nvram) => Some(nvram),
            Err(error) => {
                machine.warnings.push(format!("the firmware's variables cannot be read: {}", error.chain()));
                None
            }
        },
        None => None,
    };
    let files = package.manifest().map(|manifest| {
        manifest.entries().iter().map(|entry| &entry.name).collect::<std::collections::BTreeSet<_>>().len()
    });
    Ok(Subject {
        path: path.to_owned(),
        kind: Kind::Package {
            container: package.kind(),
            descriptor: package.descriptor_name().to_owned(),
            manifest_files: files,
        },
        disks,
        warnings: package.warnings().map(str::to_owned).collect(),
        nvram,
        machine: Some(machine),
    })
}

fn open_disk(package: &Arc<Package>, disk: &Disk) -> SubjectDisk {
    let (name, content) = match &disk.backing {
        DiskBacking::Blank => (String::new(), Content::Blank),
        DiskBacking::File(backing) => {
            let opened = open_backing(package, backing, disk.capacity_bytes);
            (backing.name.clone(), opened.unwrap_or_else(Content::Unreadable))
        }
    };
    SubjectDisk { name, place: disk.place, declared_bytes: disk.capacity_bytes, content }
}

fn open_backing(package: &Arc<Package>, backing: &FileBacking, capacity_bytes: Option<u64>) -> Result<Content> {
    let file = package.disk_file(backing, capacity_bytes)?;
    let format = file.format()?;
    let member = file.members().next().unwrap_or_default().to_owned();
    Ok(match file.source()? {
        Some(source) => Content::Image(image::open(source, format, &member, &**package)?),
        None => Content::Packed(Packed {
            package: package.clone(),
            backing: backing.clone(),
            format,
            declared_bytes: capacity_bytes,
        }),
    })
}

/// A disk that can be read from front to back only.
pub(crate) struct Packed {
    package: Arc<Package>,
    backing: FileBacking,
    pub(crate) format: DiskFormat,
    declared_bytes: Option<u64>,
}

impl Packed {
    /// Returns the image, unpacked, from its start.
    pub(crate) fn reader(&self) -> Result<Box<dyn Read + Send>> {
        Ok(self.package.disk_file(&self.backing, self.declared_bytes)?.reader()?)
    }

    /// Returns the files that the packed bytes are in; `path` is that of the package.
    pub(crate) fn files(&self, path: &Path) -> Result<Vec<Arc<dyn ByteSource>>> {
        let file = self.package.disk_file(&self.backing, self.declared_bytes)?;
        let members: diskimage::Result<Vec<_>> = file.members().map(|name| self.package.open(name)).collect();
        match members {
            Ok(members) => Ok(members),
            // A member of a compressed archive is nowhere but in it.
            Err(_) => Ok(vec![Arc::new(FileSource::open(path)?)]),
        }
    }

    /// Opens the image where it was unpacked to.
    pub(crate) fn open_unpacked(&self, source: Arc<dyn ByteSource>) -> Result<image::OpenedImage> {
        image::open(source, self.format, &self.backing.name, &*self.package)
    }
}

/// The firmware's variables of a machine.
pub(crate) struct Nvram {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
}

fn read_nvram(package: &Package, href: &str) -> Result<Nvram> {
    let file = package.descriptor().file_by_href(href);
    let file = file.ok_or_else(|| Error::new(ErrorKind::Image, format!("{href} is not listed")))?;
    let mut bytes = Vec::new();
    let reader = package.file(file, None)?.reader()?;
    let read = reader.take(NVRAM_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::from_io(format!("read {href}"), error))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > NVRAM_BYTES_MAX) {
        return Err(Error::new(ErrorKind::Image, format!("{href} is longer than {NVRAM_BYTES_MAX} bytes")));
    }
    Ok(Nvram { bytes })
}
