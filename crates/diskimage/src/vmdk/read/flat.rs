//! Plain bytes: `FLAT` and `VMFS` extents.

use std::ops::Range;
use std::sync::Arc;

use crate::image::ByteSource;
use crate::image::disk::{Disk, Extent, ExtentKind, check_bounds, read_range};
use crate::vmdk::layout::Sector;
use crate::{Error, Result};

/// A stretch of a file that is a stretch of the disk.
pub(super) struct FlatPart {
    source: Arc<dyn ByteSource>,
    start_bytes: u64,
    capacity_bytes: u64,
}

impl FlatPart {
    /// Takes `capacity_bytes` of a file from a sector on.
    ///
    /// # Errors
    ///
    /// `Truncated` when the file ends before the extent does; QEMU would read zeros.
    pub(super) fn new(source: Arc<dyn ByteSource>, offset: Sector, capacity_bytes: u64) -> Result<Self> {
        let start_bytes = offset.bytes();
        let end = start_bytes.and_then(|start| start.checked_add(capacity_bytes));
        let (Some(start_bytes), Some(end)) = (start_bytes, end) else {
            return Err(Error::limit("an extent lies in the first 2^64 bytes of its file").in_file(source.name()));
        };
        if end > source.len_bytes() {
            return Err(Error::truncated("a flat extent is as long as its descriptor says")
                .found(format!("{} bytes of {end}", source.len_bytes()))
                .in_file(source.name()));
        }
        Ok(Self { source, start_bytes, capacity_bytes })
    }
}

impl Disk for FlatPart {
    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_range(offset, buf.len(), self.capacity_bytes)?;
        self.source.read_at(self.start_bytes + offset, buf)
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_bounds(&range, self.capacity_bytes)?;
        let mut extents = self.source.extents(self.start_bytes + range.start..self.start_bytes + range.end)?;
        for extent in &mut extents {
            extent.range = extent.range.start - self.start_bytes..extent.range.end - self.start_bytes;
            // A hole in the file is zeros of this link, not a window on the one below.
            if extent.kind == ExtentKind::Hole {
                extent.kind = ExtentKind::Zero;
            }
        }
        Ok(extents)
    }
}
