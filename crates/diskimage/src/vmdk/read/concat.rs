//! Parts one after the other: one link of a chain.

use std::ops::Range;

use crate::Result;
use crate::image::disk::{Disk, Extent, Runs, check_bounds, read_range};
use crate::number::clip;

/// A disk whose parts follow each other from offset 0.
pub(super) struct Concat {
    /// Each part with the offset at which it starts.
    parts: Vec<(u64, Box<dyn Disk>)>,
    capacity_bytes: u64,
}

impl Concat {
    /// Returns the disk of these parts; the caller checked that their sum has a limit.
    pub(super) fn new(parts: Vec<Box<dyn Disk>>) -> Self {
        let mut start = 0;
        let place = |part: Box<dyn Disk>| {
            let placed = (start, part);
            start += placed.1.capacity_bytes();
            placed
        };
        let parts = parts.into_iter().map(place).collect();
        Self { parts, capacity_bytes: start }
    }

    /// Iterates over the parts that a range touches: start, part, and the range inside of it.
    fn touched(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &dyn Disk, Range<u64>)> {
        let first = self.parts.partition_point(|&(start, _)| start <= range.start).saturating_sub(1);
        self.parts[first..].iter().take_while(move |&&(start, _)| start < range.end).filter_map(move |(start, part)| {
            // Clipped at the end of the part, whatever its last grain could hold.
            let end = range.end.min(start + part.capacity_bytes());
            let inside = range.start.max(*start)..end;
            (inside.start < inside.end).then(|| (*start, &**part, inside.start - start..inside.end - start))
        })
    }
}

impl Disk for Concat {
    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = read_range(offset, buf.len(), self.capacity_bytes)?;
        for (start, part, inside) in self.touched(range) {
            let piece = clip(buf.len(), start + inside.start - offset)..clip(buf.len(), start + inside.end - offset);
            part.read_at(inside.start, &mut buf[piece])?;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_bounds(&range, self.capacity_bytes)?;
        let mut runs = Runs::new(range.start);
        for (start, part, inside) in self.touched(range) {
            for extent in crate::image::disk::extents(part, inside) {
                let extent = extent?;
                runs.extend_to(start + extent.range.end, extent.kind);
                if runs.is_full() {
                    return Ok(runs.into_list());
                }
            }
        }
        Ok(runs.into_list())
    }

    fn check(&self) -> Result<()> {
        self.parts.iter().try_for_each(|(_, part)| part.check())
    }

    fn warnings(&self) -> Vec<String> {
        self.parts.iter().flat_map(|(_, part)| part.warnings()).collect()
    }
}
