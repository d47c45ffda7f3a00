//! What surrounds the disks of an appliance.
//!
//! ```text
//!  Package            container + descriptor + manifest
//!   ├─ Container      folder, tar, zip, tar in gzip or xz: names to bytes
//!   ├─ Descriptor     OVF: files, disks, hardware         ─► Machine
//!   └─ Manifest       digests of the files                ─► Verification
//! ```
//!
//! * [`Package`] opens one and finds its disks, where they are if that can be.
//! * [`tar`], [`zip`] and [`unpack`] read archives.
//! * [`ovf`] reads and writes the descriptor; [`ova`] writes whole archives.
//! * [`manifest`] writes and reads the manifest, [`verify`] compares, [`certificate`] is only seen.
//! * [`vmx`] reads what VMware keeps beside the disks of a machine that is in no package.
//! * [`machine`] is the machine that a descriptor or a `.vmx` describes.
//! * [`href`] decides whether a name inside a descriptor may be used as a file name.
//!
//! Deliberately absent: what is inside of the disks, and unpacking to a place.

pub mod certificate;
mod container;
mod folder;
mod format;
pub mod href;
pub mod machine;
pub mod manifest;
mod open;
pub mod ova;
pub mod ovf;
mod parts;
pub mod tar;
pub mod unpack;
pub mod verify;
pub mod vmx;
pub mod zip;

pub use container::ContainerKind;
pub use format::{DiskFormat, disk_format};
pub use open::{Package, PackageFile};
