//! What a user named: a disk image, a package, or the configuration of a machine, opened for reading.
//!
//! ```text
//!  path ─┬─ directory ── its .ovf, .vmx or .ova
//!        ├─ .vmx ─────── machine + images beside it
//!        ├─ .ovf, archive ─ package: machine + images in it
//!        └─ anything else ─ one image
//! ```
//!
//! An image names other files (extents, parents). They are opened in the folder of the image, and
//! elsewhere only when the user says so.
//!
//! What it does not do: no data is read, nothing is written, and no digest compared.

mod anywhere;
mod image;
mod package;
mod vmx;

use std::fs;
use std::path::{Path, PathBuf};

use diskimage::package::ContainerKind;
use diskimage::package::machine::{Machine, Place};

pub(crate) use image::OpenedImage;
pub(crate) use package::{Nvram, Packed};

use crate::{Error, ErrorKind, Result};

/// How a subject is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Open files that an image names outside of its own folder.
    pub follow_outside: bool,
    /// The file is the bytes of a disk, whatever it looks like.
    pub is_raw: bool,
}

/// What a user named, open.
pub(crate) struct Subject {
    /// The file that was opened: of a directory, what describes the machine in it.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: Kind,
    /// The machine that it describes; an image describes none.
    pub(crate) machine: Option<Machine>,
    /// The disks, in the order of the machine.
    pub(crate) disks: Vec<SubjectDisk>,
    /// What is odd.
    pub(crate) warnings: Vec<String>,
    /// The file with the firmware's variables, where there is one and it can be read.
    pub(crate) nvram: Option<Nvram>,
}

/// What a subject is.
pub(crate) enum Kind {
    /// One disk image.
    Image,
    /// A package.
    Package {
        /// What holds its files.
        container: ContainerKind,
        /// The name of the descriptor.
        descriptor: String,
        /// How many files the manifest speaks of, where there is one.
        manifest_files: Option<usize>,
    },
    /// The configuration of a machine.
    Vmx,
}

/// One disk of a subject.
pub(crate) struct SubjectDisk {
    /// The file, as the subject names it; empty for a blank disk.
    pub(crate) name: String,
    /// Where the machine has it.
    pub(crate) place: Option<Place>,
    /// The size that the description says.
    pub(crate) declared_bytes: Option<u64>,
    /// What is in it.
    pub(crate) content: Content,
}

/// What is in a disk.
pub(crate) enum Content {
    /// Nothing: it has no file.
    Blank,
    /// An image that can be read at any place.
    Image(OpenedImage),
    /// Something that can be read from front to back only, because it is compressed as a whole.
    Packed(Packed),
    /// Something that cannot be read.
    Unreadable(Error),
}

impl Subject {
    /// Opens what is at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Permission`], [`ErrorKind::Image`]. A disk of a machine that
    /// cannot be read is no error here.
    pub(crate) fn open(path: &Path, options: OpenOptions) -> Result<Self> {
        let path = if path.is_dir() { described_in(path)? } else { path.to_owned() };
        let opened = if options.is_raw {
            image::open_raw(&path).map(|image| Self::of_image(&path, image))
        } else if has_extension(&path, "vmx") {
            vmx::open(&path, options)
        } else if package::is_package(&path)? {
            package::open(&path, options)
        } else {
            image::open_path(&path, options).map(|image| Self::of_image(&path, image))
        };
        opened.map_err(|error| error.about(&format!("open {}", path.display())))
    }

    fn of_image(path: &Path, image: OpenedImage) -> Self {
        let name = image.name.clone();
        let disk = SubjectDisk { name, place: None, declared_bytes: None, content: Content::Image(image) };
        let (path, disks) = (path.to_owned(), vec![disk]);
        Self { path, kind: Kind::Image, machine: None, disks, warnings: Vec::new(), nvram: None }
    }
}

/// Returns the one file in a directory that describes a machine: a descriptor, else a `.vmx`, else an archive.
fn described_in(directory: &Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| Error::from_io(format!("read the directory {}", directory.display()), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    for extension in ["ovf", "vmx", "ova"] {
        let found: Vec<_> = files.iter().filter(|file| has_extension(file, extension) && file.is_file()).collect();
        match found[..] {
            [] => {}
            [only] => return Ok(only.clone()),
            [first, second, ..] => {
                let names = [first, second].map(|path| path.file_name().unwrap_or_default().display().to_string());
                let context = format!("open {}: it holds {} and {}", directory.display(), names[0], names[1]);
                return Err(Error::new(ErrorKind::Usage, context).with_hint("name the one that is meant"));
            }
        }
    }
    let context = format!("open {}: it holds no .ovf, .vmx or .ova", directory.display());
    Err(Error::new(ErrorKind::NotFound, context).with_hint("name the disk that is meant"))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests;
