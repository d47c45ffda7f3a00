//! Reads a VMDK at any place, whatever it is made of.
//!
//! ```text
//!  open ─► link ─► parts ─┬─ flat        plain bytes: FLAT, VMFS
//!   │       ▲             ├─ hosted      KDMV, uncompressed ─┐
//!   └─ parent             ├─ cowd        the deltas of ESX   ├─ grains: tables that say where
//!                         ├─ sesparse    and of newer ESXi  ─┘   each piece of the disk is
//!                         ├─ stream      KDMV, compressed
//!                         └─ constant    ZERO, and what must not be read
//! ```
//!
//! The extents and the files themselves decide what a disk is; its `createType` is a label only.
//! Files that a descriptor names come from a [`Files`](crate::image::Files), so that a descriptor
//! names nothing that its reader was not allowed to open.
//!
//! Tables are loaded on demand through one cache per chain, and checked once, when they are
//! loaded: a pointer past the end of its file is an error, never zeros.
//!
//! Deliberately absent: reading in one pass ([`super::stream_walk`] does), raw devices (`VMFSRDM`),
//! the journal of a seSparse delta, and an opinion about what a mismatch of content ids means.

mod chain;
mod check;
mod concat;
mod constant;
mod cowd;
mod flat;
mod grains;
mod hosted;
mod link;
mod options;
mod sesparse;
mod stream;
mod tables;

pub use chain::{open, open_path};
pub use options::{OpenOptions, Parent};
