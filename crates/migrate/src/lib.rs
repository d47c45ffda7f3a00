//! Plans and runs what happens to a VM: the one API that the daemon uses.
//!
//! This crate adapts the leaves that do not know each other: [`vsphere`] (what the server says),
//! [`transfer`] (how bytes move) and [`diskimage`] (what the bytes mean). It owns the order of an
//! export, what is checked before a byte moves, and what may stand under a final name.
//!
//! ```text
//!  source ──► inventory ──► export ┬─ plan      what will be written, what cannot work
//!                                  ├─ lease     hold, keep alive, complete or abort
//!                                  ├─ copy      one stream per disk, all disks at once
//!                                  └─ package   names, claims, manifest, descriptor, rename
//! ```
//!
//! [`vm`] does small things to one VM: look, power, drives.
//! [`copy`] is the local loop: content that lies here into a sink, under a journal. [`sink`] makes sinks of
//! disk images, [`convert`] makes another image of a disk that lies here, and [`conversion`] of whatever lies
//! here; [`verify`] compares a package with its manifest. [`rights`] say as whom all of that touches
//! files.
//!
//! What it does not do: no queue and no HTTP (that is `hypervisord`), no terminal (`hyperctl`).

mod blocking;
pub mod conversion;
pub mod convert;
pub mod copy;
mod error;
pub mod export;
pub mod inspect;
pub mod inventory;
pub mod names;
mod power;
pub mod rights;
pub mod sink;
pub mod source;
mod subject;
pub mod verify;
pub mod vm;

pub use error::{Error, ErrorKind, Result};
