//! VMware's virtual disk format.
//!
//! Everything that goes by the name of VMDK is read ([`read`]): flat and sparse files, disks of
//! several files, streams, the snapshot deltas of ESX and ESXi, and chains of these. What is
//! written is the *stream-optimized* kind: compressed grains, each behind a marker, with the tables
//! that locate them at the end, so that it can be written and read in one pass. It is what an
//! export lease sends and what an OVF package holds.
//!
//! ```text
//!  sector 0   1            128                                              end
//!  ┌────────┬────────────┬───────┬───────┬───┬──────┬───┬────┬───┬────────┬─────┐
//!  │ header │ descriptor │ grain │ grain │ … │table │ … │ GD │ F │ footer │ EOS │
//!  └────────┴────────────┴───────┴───────┴───┴──────┴───┴────┴───┴────────┴─────┘
//!             text          every part from here on stands behind a marker
//! ```
//!
//! * [`layout`]: the on-disk structures, their limits, and nothing else.
//! * [`grain`]: compresses and expands one grain.
//! * [`descriptor`]: the text that describes a disk.
//! * [`stream_write`] writes a stream, [`stream_walk`] checks one while it passes, [`stream_expand`]
//!   also expands it, on several threads.
//! * [`write`] writes one to a file, on several threads and over crashes.
//! * [`read`] reads a finished disk at any place.
//!
//! Deliberately absent: raw devices, encrypted disks, and writing any other kind.

pub mod descriptor;
pub mod grain;
pub mod layout;
pub mod read;
pub mod stream_expand;
pub mod stream_walk;
pub mod stream_write;
pub mod write;
