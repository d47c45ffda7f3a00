//! QEMU's disk format.
//!
//! ```text
//!  cluster 0    1                                                          end
//!  ┌────────┬──────┬──────┬──────────────────┬──────┬────┬─────────┬─────────┐
//!  │ header │ data │ data │ compressed, many │ data │ L2 │ L1      │ refcnts │  as we write it
//!  └────────┴──────┴──────┴──────────────────┴──────┴────┴─────────┴─────────┘
//!  guest cluster ─► L1 entry ─► L2 table ─► L2 entry ─► position of the data
//! ```
//!
//! * [`layout`]: sizes, limits and the arithmetic of clusters. [`entry`]: what a table says.
//! * [`header`]: header, extensions, name of the backing file.
//! * [`codec`]: compresses and expands one cluster.
//! * [`read`] opens images for random access. [`write`](mod@write) makes them, in any order and over crashes.
//!
//! Deliberately absent: encryption, data in another file, extended L2 entries, internal snapshots
//! and bitmaps (they are not read), and writing into an image that exists.

pub mod codec;
pub mod entry;
pub mod header;
pub mod layout;
pub mod read;
pub mod write;
