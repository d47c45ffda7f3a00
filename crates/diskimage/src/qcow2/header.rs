//! The header of an image, its extensions, and the name of its backing file.
//!
//! | off | size | name | meaning |
//! |--:|--:|---|---|
//! | 0 | 4 | magic | `QFI` and 0xfb |
//! | 4 | 4 | version | 2 or 3 |
//! | 8 | 8 | backing name offset | 0, or bytes into the first cluster |
//! | 16 | 4 | backing name length | at most 1023, no NUL |
//! | 20 | 4 | cluster bits | 9 to 21 |
//! | 24 | 8 | size | bytes of the guest's disk |
//! | 32 | 4 | encryption | 0 none |
//! | 36 | 4 | L1 entries | enough for the size |
//! | 40 | 8 | L1 offset | |
//! | 48 | 8 | refcount table offset | |
//! | 56 | 4 | refcount table clusters | |
//! | 60 | 4 | snapshots | |
//! | 64 | 8 | snapshots offset | |
//! | 72 | 8 | incompatible features | from here on only in version 3 |
//! | 80 | 8 | compatible features | unknown ones do not matter |
//! | 88 | 8 | autoclear features | matter to writers only |
//! | 96 | 4 | refcount order | logarithm of the bits of a count, at most 6 |
//! | 100 | 4 | header length | at least 104, a multiple of 8 |
//! | 104 | 1 | compression type | where the length covers it: 0 deflate, 1 zstd |
//!
//! Extensions follow: type (4), length (4), data, padding to 8; type 0 ends them.
//!
//! Here is what a header means; `codec` has its bytes and the checks.

mod codec;
mod extension;

use std::ops::Range;

use super::layout::{CLUSTER_BITS_MIN, Geometry, REFCOUNT_ORDER};

/// First bytes of every image.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionType {
    /// Raw deflate, without zlib's header and checksum.
    Deflate,
    /// One or several zstd frames.
    Zstd,
}

/// A backing file as the header names it. It is a name inside an untrusted file: nobody opens it
/// without asking the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// The name as it stands there, often a path.
    pub name: String,
    /// The format, such as `raw` or `qcow2`, where the image says it.
    pub format: Option<String>,
}

/// A header whose values were checked against the format, each other, and the file's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    version: u32,
    geometry: Geometry,
    capacity_bytes: u64,
    l1_entries: u32,
    l1_offset: u64,
    refcount_table_offset: u64,
    refcount_table_clusters: u32,
    refcount_order: u32,
    snapshots: u32,
    dirty: bool,
    corrupt: bool,
    compression: CompressionType,
    backing: Option<Backing>,
}

/// Where a writer put its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TablePlaces {
    /// Position of the L1 table.
    pub(super) l1_offset: u64,
    /// Position of the refcount table.
    pub(super) refcount_table_offset: u64,
    /// Length of the refcount table.
    pub(super) refcount_table_clusters: u32,
}

impl Header {
    /// Returns the header of an image as this crate writes it: version 3, clean, no backing file.
    pub(super) fn for_image(
        geometry: Geometry,
        capacity_bytes: u64,
        compression: CompressionType,
        places: TablePlaces,
    ) -> Self {
        let l1_entries = geometry.l1_entries(capacity_bytes);
        Self {
            version: 3,
            geometry,
            capacity_bytes,
            l1_entries: u32::try_from(l1_entries).expect("a table within its limit"),
            l1_offset: places.l1_offset,
            refcount_table_offset: places.refcount_table_offset,
            refcount_table_clusters: places.refcount_table_clusters,
            refcount_order: REFCOUNT_ORDER,
            snapshots: 0,
            dirty: false,
            corrupt: false,
            compression,
            backing: None,
        }
    }

    /// Returns the version, 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the size of a cluster.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Returns the size of the guest's disk in bytes, a multiple of 512.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Returns how clusters are compressed that are.
    #[must_use]
    pub fn compression(&self) -> CompressionType {
        self.compression
    }

    /// Returns the backing file, if there is one.
    #[must_use]
    pub fn backing(&self) -> Option<&Backing> {
        self.backing.as_ref()
    }

    /// Returns whether the last writer did not close the image: counts of references may be wrong
    /// then, which a reader does not need.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Returns whether some program found the image corrupt and marked it.
    #[must_use]
    pub fn is_marked_corrupt(&self) -> bool {
        self.corrupt
    }

    /// Returns how many internal snapshots there are.
    #[must_use]
    pub fn snapshots(&self) -> u32 {
        self.snapshots
    }

    /// Returns how many bits a count of references has.
    #[must_use]
    pub fn refcount_bits(&self) -> u32 {
        1 << self.refcount_order
    }

    /// Returns whether entries have a flag for "reads as zeros".
    pub(super) fn has_zero_flag(&self) -> bool {
        self.version >= 3
    }

    /// Returns how many entries of the L1 table the disk needs; the table may have more.
    pub(super) fn l1_entries_in_use(&self) -> u64 {
        self.geometry.l1_entries(self.capacity_bytes)
    }

    /// Returns the bytes of the file that are the L1 table.
    pub(super) fn l1_range(&self) -> Range<u64> {
        self.l1_offset..self.l1_offset + u64::from(self.l1_entries) * super::layout::ENTRY_BYTES
    }

    /// Returns the bytes of the file that are the refcount table.
    pub(super) fn refcount_table_range(&self) -> Range<u64> {
        let len_bytes = u64::from(self.refcount_table_clusters) * self.geometry.cluster_bytes();
        self.refcount_table_offset..self.refcount_table_offset + len_bytes
    }
}

const _: () = assert!(1 << CLUSTER_BITS_MIN >= codec::HEADER_LEN, "every cluster holds a header");

#[cfg(test)]
mod tests;
