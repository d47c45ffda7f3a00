//! The OVF descriptor, as far as files, disks and the names of machines go.
//!
//! Enough to check a descriptor against the files that were really written. Elements are known by
//! their namespace, whatever the prefix; attributes with or without one, as in the wild. OVF 0.9,
//! 1.x and 2.0 are read.
//!
//! Deliberately absent for now: the virtual hardware, networks and properties; writing. The text is
//! not resolved beyond the five entities of XML itself: a document type is refused.

mod parse;
mod units;
mod xml;

use crate::Result;

/// Longest descriptor that is read.
pub const OVF_BYTES_MAX: usize = 8 << 20;
/// Deepest nesting of elements.
pub const DEPTH_MAX: usize = 64;
/// Most elements.
pub const ELEMENTS_MAX: usize = 100_000;

/// What a descriptor says; every reference inside it leads somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// The files of the package, in the order of the descriptor.
    pub files: Vec<FileRef>,
    /// The disks, in the order of the descriptor.
    pub disks: Vec<Disk>,
    /// The machines; usually one.
    pub virtual_systems: Vec<VirtualSystem>,
}

impl Descriptor {
    /// Parses a descriptor: UTF-8, or UTF-16 with a byte order mark.
    ///
    /// # Errors
    ///
    /// `Corrupt` for what is not well-formed XML, not an OVF envelope, lacks a required attribute,
    /// repeats an identifier or refers to a file that is not listed; `Unsupported` for a document
    /// type, an unknown compression or unit, a capacity that is a property, and a disk with a
    /// parent; `Limit` beyond the limits of [`self`].
    pub fn parse(text: &[u8]) -> Result<Self> {
        parse::parse(text)
    }

    /// Returns the file with this identifier.
    #[must_use]
    pub fn file(&self, id: &str) -> Option<&FileRef> {
        self.files.iter().find(|file| file.id == id)
    }

    /// Returns the file with this reference, as written.
    #[must_use]
    pub fn file_by_href(&self, href: &str) -> Option<&FileRef> {
        self.files.iter().find(|file| file.href == href)
    }

    /// Returns the file in which a disk is; `None` for a blank disk.
    #[must_use]
    pub fn file_of(&self, disk: &Disk) -> Option<&FileRef> {
        self.file(disk.file_ref.as_deref()?)
    }
}

/// `References/File`: a file of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// `id`.
    pub id: String,
    /// `href`, as written; see [`super::href`] before using it.
    pub href: String,
    /// `size`: the length of the file.
    pub size_bytes: Option<u64>,
    /// `compression`.
    pub compression: Compression,
    /// `chunkSize`: set when the file is cut into numbered parts of this length.
    pub chunk_bytes: Option<u64>,
}

/// How a whole file is compressed; not to be confused with compression inside of a disk format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    Identity,
    /// gzip.
    Gzip,
}

/// `DiskSection/Disk`: a virtual disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// `diskId`.
    pub disk_id: String,
    /// `fileRef`: the identifier of the file; `None` for a blank disk.
    pub file_ref: Option<String>,
    /// `capacity` times `capacityAllocationUnits`.
    pub capacity_bytes: u64,
    /// `populatedSize`: an estimate of the bytes in use.
    pub populated_bytes: Option<u64>,
    /// `format`: a URI, often misspelt; the file's own magic decides.
    pub format: Option<String>,
}

/// `VirtualSystem`: a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualSystem {
    /// `id`.
    pub id: String,
    /// `Name`.
    pub name: Option<String>,
}
