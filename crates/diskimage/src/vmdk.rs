//! VMware's virtual disk format.
//!
//! So far this covers the *stream-optimized* kind: compressed grains, each behind a marker, with
//! the tables that locate them at the end, so that it can be written and read in one pass. It is
//! what an export lease sends and what an OVF package holds.
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
//! * [`stream_write`] writes a stream, [`stream_walk`] checks one while it passes.
//!
//! Deliberately absent for now: random access to a finished file, flat and multi-extent disks, and
//! the snapshot formats of ESXi.

pub mod descriptor;
pub mod grain;
pub mod layout;
pub mod stream_walk;
pub mod stream_write;
