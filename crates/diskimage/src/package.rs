//! What surrounds the disks of an appliance.
//!
//! A package is a folder (or, later, a tar archive) with an OVF descriptor, the files it refers to,
//! and a manifest of their digests.
//!
//! * [`manifest`] writes and reads the manifest.
//! * [`ovf`] reads the descriptor, as far as files, disks and names go.
//! * [`href`] decides whether a name inside a descriptor may be used as a file name.
//!
//! Deliberately absent: reading files and computing digests. The caller, who has the bytes in hand
//! anyway, compares.

pub mod href;
pub mod manifest;
pub mod ovf;
