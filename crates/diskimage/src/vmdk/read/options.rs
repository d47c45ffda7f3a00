//! How to open a disk.

use crate::image::Link;
use crate::vmdk::layout::{CAPACITY_SECTORS_MAX, SECTOR_BYTES};

/// How to open a disk.
#[derive(Debug)]
pub struct OpenOptions {
    /// The largest disk to accept, for a caller who knows what it asked for or has room for.
    pub capacity_bytes_max: u64,
    /// Where the disk below a delta is.
    pub parent: Parent,
    /// Whether a stream without its tables is read by looking for its grains. What is cut off is
    /// missing without a trace, so this is for rescue only; the report says that it was done.
    pub recover: bool,
}

impl Default for OpenOptions {
    /// Returns options that take any disk up to 64 TiB, follow what deltas name, and rescue nothing.
    fn default() -> Self {
        Self { capacity_bytes_max: CAPACITY_SECTORS_MAX * SECTOR_BYTES, parent: Parent::Named, recover: false }
    }
}

/// Where the disk below a delta is.
#[derive(Debug)]
pub enum Parent {
    /// Where the delta says, and so on to the base.
    Named,
    /// Here: the links of a disk that was opened before, the newest first. For a bare delta, which
    /// has no descriptor, and for disks that were moved.
    Given(Vec<Link>),
    /// Nowhere: only the one link is of interest, such as its map.
    Ignored,
}
