//! The OVF descriptor.
//!
//! * [`Descriptor::parse`] reads OVF 0.9, 1.x and 2.0. Elements are known by their namespace,
//!   whatever the prefix; attributes with or without one, as in the wild.
//! * [`Descriptor::machine`] makes the neutral [`Machine`] of one of its systems.
//! * [`write()`] renders a descriptor of OVF 1.1 from a [`Machine`].
//! * [`add_nvram`] adds one file to a text that is otherwise left as it is; [`without`] takes devices out of it.
//!
//! The text is not resolved beyond the five entities of XML itself: a document type is refused.
//!
//! Deliberately absent: opening what a descriptor refers to; see [`super`].

mod collect;
mod hardware;
mod machine;
mod nvram;
mod parse;
mod prune;
mod units;
mod write;
mod xml;

pub use hardware::{Hardware, Item, Setting};
pub use nvram::add_nvram;
pub use prune::{Unwanted, without};
pub use write::{Contents, DescribedDisk, DescribedFile, longest_bytes, write};

use super::machine::{DeclaredFormat, Fact, GuestOs, Machine};
use crate::{Error, Result};

/// Longest descriptor that is read.
pub const OVF_BYTES_MAX: usize = 8 << 20;
/// Deepest nesting of elements.
pub const DEPTH_MAX: usize = 64;
/// Most elements.
pub const ELEMENTS_MAX: usize = 100_000;
/// Most attributes of one element: looking for repeated ones takes the square of their number.
pub const ATTRIBUTES_MAX: usize = 256;

/// Most files: no package has more members.
pub const FILES_MAX: usize = 10_000;
/// Most disks: a machine of VMware's has at most 256.
pub const DISKS_MAX: usize = 1024;

/// Most names of machines that an error lists.
const NAMES_SHOWN_MAX: usize = 20;

/// What a descriptor says; every reference inside it leads somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// The files of the package, in the order of the descriptor.
    pub files: Vec<FileRef>,
    /// The disks, in the order of the descriptor.
    pub disks: Vec<Disk>,
    /// The networks, in the order of the descriptor.
    pub networks: Vec<Network>,
    /// The configurations to choose from; items of hardware name them.
    pub configurations: Vec<Configuration>,
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
    /// type, an unknown compression or unit, a capacity that is a property without a value, and a
    /// disk with a parent; `Limit` beyond the limits of [`self`].
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

    /// Returns the configuration that counts when nobody chooses: the one marked so, else the first.
    #[must_use]
    pub fn default_configuration(&self) -> Option<&Configuration> {
        self.configurations.iter().find(|known| known.is_default).or_else(|| self.configurations.first())
    }

    /// Returns one machine: the one with this identifier or name, or the only one.
    ///
    /// # Errors
    ///
    /// `Unsupported` naming the machines when there are several and none is chosen; `Misuse` when
    /// there is none of that name; `Corrupt` when a device refers to what is not there or a number
    /// is none.
    pub fn machine(&self, choice: Option<&str>) -> Result<Machine> {
        machine::machine(self, self.system(choice)?)
    }

    fn system(&self, choice: Option<&str>) -> Result<&VirtualSystem> {
        let names = || {
            let systems = self.virtual_systems.iter().take(NAMES_SHOWN_MAX);
            systems.map(|system| format!("{:?}", system.id)).collect::<Vec<_>>().join(", ")
        };
        match (choice, self.virtual_systems.as_slice()) {
            (None, [only]) => Ok(only),
            (None, []) => Err(Error::corrupt("an OVF descriptor describes a machine")),
            (None, _) => Err(Error::unsupported("one machine of several must be chosen").found(names())),
            (Some(choice), systems) => {
                let is_it = |system: &&VirtualSystem| system.id == choice || system.name.as_deref() == Some(choice);
                systems.iter().find(is_it).ok_or_else(|| {
                    Error::misuse("the chosen machine is in the descriptor")
                        .found(format!("{choice:?} is not among {}", names()))
                })
            }
        }
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
    /// What `format`, or oVirt's `volume-format`, claims.
    pub declared_format: DeclaredFormat,
}

/// `NetworkSection/Network`: a network that adapters are connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `name`.
    pub name: String,
    /// `Description`.
    pub description: Option<String>,
}

/// `DeploymentOptionSection/Configuration`: a size to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `id`.
    pub id: String,
    /// `default`.
    pub is_default: bool,
    /// `Label`.
    pub label: Option<String>,
}

/// `VirtualSystem`: a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VirtualSystem {
    /// `id`.
    pub id: String,
    /// `Name`.
    pub name: Option<String>,
    /// `OperatingSystemSection`.
    pub guest_os: GuestOs,
    /// `AnnotationSection/Annotation`.
    pub annotation: Option<String>,
    /// `VirtualHardwareSection`, each for one or several generations of virtual hardware.
    pub hardware: Vec<Hardware>,
    /// Products, properties, licences and sections that are not read.
    pub facts: Vec<Fact>,
}
