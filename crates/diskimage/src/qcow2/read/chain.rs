//! Opens an image and its backing files.
//!
//! An image names its backing file and, in an extension, the format. The name comes from inside of
//! an untrusted file, so it is opened through a [`Files`] that bounds it. The format is never probed:
//! a guest can write a qcow2 header into the first sector of its raw disk, and would so choose
//! what the host reads.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::super::header::Backing;
use super::{Qcow2Reader, ReadOptions};
use crate::image::chain::{LINKS_MAX, chain_too_long};
use crate::image::files::{beside, open_with_folder};
use crate::image::{ByteSource, Disk as _, Files, Image, Link, LinkDescription, PartDescription};
use crate::raw::read::RawReader;
use crate::{Error, Result};

/// What a backing file is, as the image above it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackingFormat {
    Qcow2,
    Raw,
}

/// Opens an image by a path that the user gave; backing files lie below its own folder.
///
/// # Errors
/// As [`open`].
pub fn open_path(path: &Path, options: ReadOptions) -> Result<Image> {
    let (source, folder, name) = open_with_folder(path)?;
    open(source, &name, &folder, options)
}

/// Opens an image with all of its backing files.
///
/// `name` is the name of the source among `files`; backing files are looked up relative to it.
///
/// # Errors
/// As [`Qcow2Reader::open`] for each link, and as [`Files::open`]. `Unsupported` for a backing file
/// without a format, of another format than raw and qcow2, or named by a protocol; `Corrupt` for
/// a chain that loops, `Limit` for more than 64 links.
pub fn open(source: Arc<dyn ByteSource>, name: &str, files: &dyn Files, options: ReadOptions) -> Result<Image> {
    let mut visited = HashSet::new();
    let mut links = Vec::new();
    let mut next = Some((source, name.to_owned(), BackingFormat::Qcow2));
    while let Some((source, name, format)) = next.take() {
        if !visited.insert(source.identity()) {
            return Err(Error::corrupt("a chain of backing files does not loop").in_file(source.name()));
        }
        if links.len() >= LINKS_MAX {
            return Err(chain_too_long());
        }
        if format == BackingFormat::Raw {
            links.push(RawReader::open(source).into_link());
            break;
        }
        let shown = source.name().to_owned();
        let reader = Qcow2Reader::open(source, options)?;
        if let Some(backing) = reader.header().backing() {
            let format = backing_format(backing).map_err(|error| error.in_file(&shown))?;
            let named = beside(&name, &backing.name);
            let below = files.open(&named).map_err(|error| error.in_file(&shown))?;
            next = Some((below, named, format));
        }
        links.push(reader.into_link());
    }
    Image::new(links)
}

fn backing_format(backing: &Backing) -> Result<BackingFormat> {
    if is_protocol(&backing.name) {
        let error = Error::unsupported("a backing file is named by a path");
        return Err(error.found(format!("{:?}", backing.name)));
    }
    match backing.format.as_deref() {
        Some("qcow2") => Ok(BackingFormat::Qcow2),
        Some("raw") => Ok(BackingFormat::Raw),
        Some(other) => Err(Error::unsupported("a backing file is raw or qcow2").found(other.to_owned())),
        None => {
            let error = Error::unsupported("an image says the format of its backing file");
            Err(error.found(format!("{:?}", backing.name)))
        }
    }
}

/// Returns whether QEMU would take a name for something else than a path: a colon before the first
/// slash.
fn is_protocol(name: &str) -> bool {
    name.split('/').next().is_some_and(|first| first.contains(':'))
}

impl Qcow2Reader {
    /// Returns this image as a link of a chain, with what is known about it.
    #[must_use]
    pub fn into_link(self) -> Link {
        let name = self.source.name().to_owned();
        let (guest, file_bytes) = (0..self.capacity_bytes(), self.source.len_bytes());
        let description = LinkDescription {
            name: name.clone(),
            format: "qcow2",
            variant: format!("version {}", self.header.version()),
            capacity_bytes: self.capacity_bytes(),
            parts: vec![PartDescription { name, kind: "qcow2", guest, file_bytes }],
            parent: self.header.backing().map(|backing| backing.name.clone()),
            warnings: self.warnings.clone(),
            ..LinkDescription::default()
        };
        Link { disk: Box::new(self), description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_protocol_are_told_from_paths() {
        for name in ["json:{}", "nbd://host/x", "ssh:x", "host:disk"] {
            assert!(is_protocol(name), "{name}");
        }
        for name in ["base.qcow2", "/a:b/c", "./a:b", "dir/a:b"] {
            assert!(!is_protocol(name), "{name}");
        }
    }
}
