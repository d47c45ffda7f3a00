//! What a disk image, a package or a `.vmx` is, as `POST /api/v1/inspect` says it.
//!
//! Words for models (`pvscsi`, `e1000e`) are text and not an enumeration: new ones come with new virtual
//! hardware, and nobody here acts on them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Problem;

/// What to look at: the body of `POST /api/v1/inspect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InspectRequest {
    /// Absolute path of a disk image, a package, or a directory that holds one.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub path: PathBuf,
    /// Open files that the image names outside of its own folder.
    #[serde(default)]
    pub follow_outside: bool,
    /// The file is the bytes of a disk, whatever it looks like.
    #[serde(default)]
    pub source_is_raw: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Inspection {
    /// The path as asked for.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub path: PathBuf,
    /// `image`, `package` or `vmx`.
    pub kind: String,
    /// What holds the files of a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageSummary>,
    /// The machine that it describes; an image describes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The disks, in the order of the machine.
    pub disks: Vec<InspectedDisk>,
    /// What is odd about the whole.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What holds the files of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PackageSummary {
    /// `folder`, `tar`, `tar.gz`, `tar.xz` or `zip`.
    pub container: String,
    /// The name of the descriptor.
    pub descriptor: String,
    /// How many files the manifest speaks of; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_files: Option<u64>,
}

/// A machine. What the source leaves open is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Machine {
    /// Its name, as people know it.
    pub name: String,
    /// Notes of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
    /// VMware's word for the guest operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_id: Option<String>,
    /// The guest operating system for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// The generation of virtual hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_version: Option<String>,
    /// `bios` or `efi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Whether the firmware starts signed loaders only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// Whether it has a trusted platform module.
    #[serde(default)]
    pub tpm: bool,
    /// Virtual processors.
    pub vcpus: u32,
    /// Cores that one socket has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores_per_socket: Option<u32>,
    /// Memory.
    pub memory_bytes: u64,
    /// Controllers of disks.
    #[serde(default)]
    pub controllers: Vec<Controller>,
    /// Network adapters.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// CD and floppy drives.
    #[serde(default)]
    pub removables: Vec<Removable>,
    /// The file with the firmware's variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvram: Option<String>,
    /// The UUID that the firmware shows to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios_uuid: Option<String>,
    /// The UUID by which vCenter knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// What else the source says.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// What is odd about it, and what is lost in other formats.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A controller of disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Controller {
    /// Bus and number, such as `scsi0`.
    pub address: String,
    /// Its model.
    pub model: String,
}

/// A network adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Nic {
    /// Its model.
    pub model: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The network that it is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// A drive whose medium can be taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Removable {
    /// `cdrom` or `floppy`.
    pub kind: String,
    /// Bus, controller and unit, such as `ide0:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The file in the drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
}

/// Something that a source says and that no field holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Fact {
    /// What it is about.
    pub subject: String,
    /// What is said; empty for a secret.
    pub text: String,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct InspectedDisk {
    /// The file, as the subject names it; empty for a blank disk.
    pub name: String,
    /// Bus, controller and unit, such as `scsi0:0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The size that the description says; the image knows better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_bytes: Option<u64>,
    /// `known`, `blank`, `packed` (compressed as a whole, not looked into) or `unreadable`.
    pub state: String,
    /// What is known of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A disk image: a chain of links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Image {
    /// Size of the guest's disk.
    pub capacity_bytes: u64,
    /// Bytes of it that are stored as data.
    pub allocated_bytes: u64,
    /// The chain, the newest link first.
    pub links: Vec<Link>,
    /// What is odd without harm to the data.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Link {
    /// The file that was opened.
    pub file: String,
    /// `vmdk`, `qcow2` or `raw`.
    pub format: String,
    /// The kind inside of the format, such as `streamOptimized`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Size of the guest's disk as this link says.
    pub capacity_bytes: u64,
    /// Bytes that are data in this link.
    pub allocated_bytes: u64,
    /// The files that make it up, in the order of the guest's disk.
    pub extents: Vec<Part>,
    /// What it says its parent is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it says identifies its content; it identifies nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// The content id that the parent had when this link was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_content_id: Option<String>,
}

/// A file, or a part of one, that holds a stretch of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Part {
    /// The file; absent for a stretch without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How its bytes are stored: `flat`, `sparse`, `stream`, `cowd`, `sesparse`, `zero`, `none`.
    pub kind: String,
    /// Where the stretch begins on the guest's disk.
    pub start_bytes: u64,
    /// Its length there.
    pub len_bytes: u64,
    /// Length of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}
