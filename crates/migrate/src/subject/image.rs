//! One disk image with everything that it names.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use diskimage::image::files::open_with_folder;
use diskimage::image::probe::probe_source;
use diskimage::image::{ByteSource, FileSource, Files, Format, Image};
use diskimage::package::DiskFormat;
use diskimage::raw::read::RawReader;
use diskimage::{qcow2, vmdk};

use super::anywhere::Anywhere;
use super::{OpenOptions, has_extension};
use crate::{Error, ErrorKind, Result};

/// What the names of raw disks end in. Such a file has no signature, so that its name has to say it.
const RAW_ENDINGS: [&str; 6] = ["raw", "img", "dd", "bin", "iso", "dsk"];

/// What a person can do about a disk that names a file elsewhere.
const OUTSIDE_HINT: &str = "only files in the disk's own folder are opened; if you trust it, say --follow-outside";

/// An image that can be read at any place.
pub(crate) struct OpenedImage {
    /// What a person calls it.
    pub(crate) name: String,
    /// The disk.
    pub(crate) image: Image,
    /// Every file that a part of it is in, itself first.
    pub(crate) files: Vec<Arc<dyn ByteSource>>,
}

/// Opens the image that a user named.
pub(super) fn open_path(path: &Path, options: OpenOptions) -> Result<OpenedImage> {
    let (source, folder, name) = open_with_folder(path)?;
    let format = match probe_source(&*source)? {
        Some(format) => DiskFormat::Image(format),
        None if may_be_raw(path) => DiskFormat::Raw,
        None => return Err(nameless(path)),
    };
    if options.follow_outside {
        let real = path.canonicalize().map_err(|error| Error::from_io("find its folder", error))?;
        let folder = Anywhere(real.parent().unwrap_or_else(|| Path::new("/")).to_owned());
        return open(source, format, &name, &folder);
    }
    open(source, format, &name, &folder)
}

/// Opens a file as the bytes of a disk.
pub(super) fn open_raw(path: &Path) -> Result<OpenedImage> {
    let source: Arc<dyn ByteSource> = Arc::new(FileSource::open(path)?);
    open(source, DiskFormat::Raw, "", &diskimage::image::NoFiles)
}

/// Opens an image. `name` is its name among `files`, from which comes what it names.
pub(super) fn open(
    source: Arc<dyn ByteSource>,
    format: DiskFormat,
    name: &str,
    files: &dyn Files,
) -> Result<OpenedImage> {
    let shown = source.name().to_owned();
    let recorder = Recorder { files, opened: Mutex::new(vec![source.clone()]) };
    let opened = match format {
        DiskFormat::Raw => Image::new(vec![RawReader::open(source).into_link()]),
        DiskFormat::Image(Format::Qcow2) => {
            qcow2::read::open(source, name, &recorder, qcow2::read::ReadOptions::default())
        }
        // It also says what is wrong with everything that is none.
        DiskFormat::Image(_) => vmdk::read::open(source, name, &recorder, vmdk::read::OpenOptions::default()),
    };
    let image = opened.map_err(named_elsewhere)?;
    let files = recorder.opened.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(OpenedImage { name: shown, image, files })
}

/// Says how a name that leads out of the folder is followed.
pub(super) fn named_elsewhere(error: diskimage::Error) -> Error {
    let is_outside = error.kind() == diskimage::ErrorKind::Outside;
    let error = Error::from(error);
    if is_outside { error.with_hint(OUTSIDE_HINT) } else { error }
}

fn may_be_raw(path: &Path) -> bool {
    RAW_ENDINGS.iter().any(|ending| has_extension(path, ending))
        || path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Damage to its first bytes makes any image look like this one, so nobody takes it for a raw disk unasked.
fn nameless(path: &Path) -> Error {
    let flat = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("-flat"));
    let hint = if flat {
        "name the .vmdk beside it, which describes the disk; or say --from raw"
    } else {
        "if it is the bytes of a disk and no image, say --from raw"
    };
    Error::new(ErrorKind::Image, "it begins like no disk image that is known").with_hint(hint)
}

/// Remembers what was opened.
struct Recorder<'a> {
    files: &'a dyn Files,
    opened: Mutex<Vec<Arc<dyn ByteSource>>>,
}

impl Files for Recorder<'_> {
    fn open(&self, name: &str) -> diskimage::Result<Arc<dyn ByteSource>> {
        let source = self.files.open(name)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(source.clone());
        Ok(source)
    }
}
