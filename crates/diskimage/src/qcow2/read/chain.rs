//! An image on its backing files.
//!
//! An image names its backing file and, in an extension, the format. The name comes from inside of
//! an untrusted file, so it is never opened here: the caller does, or refuses. The format is never
//! probed: a guest can write a qcow2 header into the first sector of its raw disk, and would so
//! choose what the host reads.

use std::sync::Arc;

use super::super::header::Backing;
use super::{Qcow2Reader, ReadOptions};
use crate::image::chain::LINKS_MAX;
use crate::image::chain::chain_too_long;
use crate::image::{ByteSource, Disk as _, Image, Link, LinkDescription, PartDescription};
use crate::raw::read::RawReader;
use crate::{Error, Result};

/// Opens the backing files that images name. Arguments: what the image says, and the name of the
/// image that says so, against which a relative name is meant.
pub type OpenBacking<'a> = dyn FnMut(&Backing, &str) -> Result<Arc<dyn ByteSource>> + 'a;

/// Opens an image with all of its backing files.
///
/// # Errors
/// As [`Qcow2Reader::open`] for each link, and what `open_backing` says. `Unsupported` for a backing
/// file without a format, of another format than raw and qcow2, or named by a protocol; `Corrupt`
/// for a loop, `Limit` for more than 64 links.
pub fn open(source: Arc<dyn ByteSource>, options: ReadOptions, open_backing: &mut OpenBacking<'_>) -> Result<Image> {
    let mut links = Vec::new();
    let mut seen = Vec::new();
    let mut next = Some((source, true));
    while let Some((source, is_qcow2)) = next.take() {
        if links.len() == LINKS_MAX {
            return Err(chain_too_long().in_file(source.name()));
        }
        let identity = source.identity();
        if seen.contains(&identity) {
            return Err(Error::corrupt("a chain of backing files has no loop").in_file(source.name()));
        }
        seen.push(identity);
        if !is_qcow2 {
            links.push(RawReader::open(source).into_link());
            break;
        }
        let reader = Qcow2Reader::open(source.clone(), options)?;
        if let Some(backing) = reader.header().backing() {
            let is_qcow2 = format_of(backing).map_err(|error| error.in_file(source.name()))?;
            next = Some((open_backing(backing, source.name())?, is_qcow2));
        }
        links.push(reader.into_link());
    }
    Image::new(links)
}

/// Returns whether a backing file is a qcow2 image, or else raw.
fn format_of(backing: &Backing) -> Result<bool> {
    if is_protocol(&backing.name) {
        let error = Error::unsupported("a backing file is named by a path");
        return Err(error.found(backing.name.clone()));
    }
    match backing.format.as_deref() {
        Some("qcow2") => Ok(true),
        Some("raw") => Ok(false),
        Some(other) => Err(Error::unsupported("a backing file is raw or qcow2").found(other.to_owned())),
        None => Err(Error::unsupported("an image says the format of its backing file").found(backing.name.clone())),
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
        let description = LinkDescription {
            name: self.source.name().to_owned(),
            format: "qcow2",
            variant: format!("version {}", self.header.version()),
            capacity_bytes: self.capacity_bytes(),
            parts: vec![PartDescription {
                name: self.source.name().to_owned(),
                kind: "qcow2",
                guest: 0..self.capacity_bytes(),
                file_bytes: self.source.len_bytes(),
            }],
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
