//! What surrounds the disks of an appliance.
//!
//! A package is a folder (or, later, a tar archive) with an OVF descriptor, the files it refers to,
//! and a manifest of their digests.
//!
//! * [`manifest`] writes and reads the manifest.
//! * [`ovf`] reads and writes the descriptor.
//! * [`vmx`] reads what VMware keeps beside the disks of a machine that is in no package.
//! * [`machine`] is the machine that either of them describes.
//! * [`href`] decides whether a name inside a descriptor may be used as a file name.
//!
//! Deliberately absent: reading files and computing digests. The caller, who has the bytes in hand
//! anyway, compares.

pub mod href;
pub mod machine;
pub mod manifest;
pub mod ovf;
pub mod vmx;
