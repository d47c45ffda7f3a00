//! Parts without a file: zeros, and stretches that must not be read.

use std::ops::Range;

use crate::image::disk::{Disk, Extent, ExtentKind, Runs, check_bounds, read_range};
use crate::{Error, Result};

/// A `ZERO` extent.
pub(super) struct ZeroPart {
    pub(super) capacity_bytes: u64,
}

impl Disk for ZeroPart {
    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_range(offset, buf.len(), self.capacity_bytes)?;
        buf.fill(0);
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        one_run(range, self.capacity_bytes, ExtentKind::Zero)
    }
}

/// A `NOACCESS` extent: it takes its place on the disk, and whoever reads it gets an error.
pub(super) struct NoAccessPart {
    pub(super) capacity_bytes: u64,
    /// The descriptor that says so.
    pub(super) descriptor: String,
}

impl Disk for NoAccessPart {
    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if read_range(offset, buf.len(), self.capacity_bytes)?.is_empty() {
            return Ok(());
        }
        Err(Error::unsupported("an extent that is read allows it (this one is NOACCESS)").in_file(&self.descriptor))
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        // Data and not a hole: a copy must notice, and not leave zeros.
        one_run(range, self.capacity_bytes, ExtentKind::Data)
    }
}

fn one_run(range: Range<u64>, capacity_bytes: u64, kind: ExtentKind) -> Result<Vec<Extent>> {
    check_bounds(&range, capacity_bytes)?;
    let mut runs = Runs::new(range.start);
    runs.extend_to(range.end, kind);
    Ok(runs.into_list())
}
