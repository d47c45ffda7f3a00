//! Reads a raw disk.
//!
//! A raw file has no header, so everything is a valid one, and nobody may guess that a file is raw:
//! the caller or a container says so.

use std::ops::Range;
use std::sync::Arc;

use crate::Result;
use crate::image::disk::{Runs, check_bounds, read_range};
use crate::image::{ByteSource, Disk, Extent, ExtentKind, Link, LinkDescription, PartDescription};
use crate::number::clip;

/// What the size of a disk is rounded up to, as QEMU does; the rest reads as zeros.
const SECTOR_BYTES: u64 = 512;

/// Reads one raw disk.
pub struct RawReader {
    source: Arc<dyn ByteSource>,
    capacity_bytes: u64,
}

impl std::fmt::Debug for RawReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.source.name();
        f.debug_struct("RawReader").field("name", &name).field("capacity_bytes", &self.capacity_bytes).finish()
    }
}

impl RawReader {
    /// Returns the disk that these bytes are.
    #[must_use]
    pub fn open(source: Arc<dyn ByteSource>) -> Self {
        let capacity_bytes = source.len_bytes().next_multiple_of(SECTOR_BYTES);
        Self { source, capacity_bytes }
    }

    /// Returns this disk as the last link of a chain.
    #[must_use]
    pub fn into_link(self) -> Link {
        let name = self.source.name().to_owned();
        let (guest, file_bytes) = (0..self.capacity_bytes, self.source.len_bytes());
        let odd = self.capacity_bytes != file_bytes;
        let description = LinkDescription {
            name: name.clone(),
            format: "raw",
            capacity_bytes: self.capacity_bytes,
            parts: vec![PartDescription { name, kind: "flat", guest, file_bytes }],
            warnings: if odd { vec!["its length is not a multiple of 512".to_owned()] } else { Vec::new() },
            ..LinkDescription::default()
        };
        Link { disk: Box::new(self), description }
    }
}

impl Disk for RawReader {
    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_range(offset, buf.len(), self.capacity_bytes)?;
        let (stored, behind) = buf.split_at_mut(clip(buf.len(), self.source.len_bytes().saturating_sub(offset)));
        behind.fill(0);
        if stored.is_empty() { Ok(()) } else { self.source.read_at(offset, stored) }
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_bounds(&range, self.capacity_bytes)?;
        let stored = range.start..range.end.min(self.source.len_bytes()).max(range.start);
        let mut runs = Runs::new(range.start);
        if !stored.is_empty() {
            for extent in self.source.extents(stored.clone())? {
                // A hole of the last link reads as zeros, and that is all there is to know.
                runs.extend_to(extent.range.end, extent.kind);
            }
        }
        if runs.end() == stored.end && !runs.is_full() {
            runs.extend_to(range.end, ExtentKind::Hole);
        }
        Ok(runs.into_list())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MemorySource;

    #[test]
    fn an_odd_length_is_rounded_up_by_zeros() {
        let disk = RawReader::open(Arc::new(MemorySource::new(vec![7; 700], "odd.raw")));
        assert_eq!(disk.capacity_bytes(), 1024);
        let mut buf = [1; 1024];
        disk.read_at(0, &mut buf).unwrap();
        assert!(buf[..700] == [7; 700] && buf[700..] == [0; 324]);
        disk.read_at(800, &mut buf[..224]).unwrap();
        assert_eq!(buf[..224], [0; 224]);
        let runs = disk.extents(600..1024).unwrap();
        assert_eq!(runs.iter().map(|run| run.range.clone()).collect::<Vec<_>>(), [600..700, 700..1024]);
        assert_eq!(disk.into_link().description.warnings.len(), 1);
    }
}
