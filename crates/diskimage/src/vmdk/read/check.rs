//! Checks that the tables of a disk make sense together: what a read of single grains cannot see.
//!
//! Two entries that name the same bytes, a table inside of data, and space that belongs to nothing
//! are signs of a damaged pointer. Memory does not follow the size of the file: it is looked at
//! window by window, with one bit per sector.

use std::ops::Range;

use super::grains::{ABSENT, GrainMap, ZERO, walk};
use crate::number::{clip, u64_from};
use crate::vmdk::layout::SECTOR_BYTES;
use crate::{Error, Result};

/// How much of a file is looked at in one walk over the tables: 2 MiB of bits.
const WINDOW_BYTES: u64 = 8 << 30;
const WORDS: usize = 1 << 18;

/// Checks that nothing in the file belongs to two parts of it.
///
/// Returns how many bytes behind the metadata in front belong to nothing, which may be what a guest
/// gave back, or what a damaged table lost.
///
/// # Errors
///
/// `Corrupt` for an overlap, naming the first byte of the part that was found second.
pub(super) fn check_grains(map: &dyn GrainMap) -> Result<u64> {
    let len = map.source().len_bytes();
    let mut unclaimed = 0;
    let mut start = 0;
    while start < len {
        let end = start.saturating_add(WINDOW_BYTES).min(len);
        let mut window =
            Window { range: start..end, words: vec![0; clip(WORDS, (end - start).div_ceil(64 * SECTOR_BYTES))] };
        let claim =
            |window: &mut Window, range| window.claim(range).map_err(|error| error.in_file(map.source().name()));
        map.metadata(&mut |range| claim(&mut window, range))?;
        walk(map, 0..map.capacity_bytes(), |step| {
            if step.place != ABSENT && step.place != ZERO {
                // The last grain of the file may be cut where the disk ends.
                let grain_end = step.place.saturating_add(map.grain_bytes()).min(len);
                claim(&mut window, step.place..grain_end)?;
            }
            Ok(true)
        })?;
        unclaimed += window.unclaimed_behind(map.data_start());
        start = end;
    }
    Ok(unclaimed)
}

/// A part of a file and, for each of its sectors, whether it belongs to something.
struct Window {
    range: Range<u64>,
    words: Vec<u64>,
}

impl Window {
    /// Claims the sectors of `range` that lie in the window.
    fn claim(&mut self, range: Range<u64>) -> Result<()> {
        let start = range.start.max(self.range.start);
        let end = range.end.min(self.range.end);
        if start >= end {
            return Ok(());
        }
        for sector in self.sector(start)..self.sector(end.div_ceil(SECTOR_BYTES) * SECTOR_BYTES) {
            let bit = 1 << (sector % 64);
            let word = &mut self.words[sector / 64];
            if *word & bit != 0 {
                return Err(Error::corrupt("nothing in a file belongs to two parts of it").at(range.start));
            }
            *word |= bit;
        }
        Ok(())
    }

    /// Returns the number of a sector in the window.
    fn sector(&self, byte: u64) -> usize {
        clip(self.words.len() * 64, (byte - self.range.start) / SECTOR_BYTES)
    }

    fn unclaimed_behind(&self, data_start: u64) -> u64 {
        let start = self.sector(data_start.clamp(self.range.start, self.range.end));
        let end = self.sector(self.range.end);
        let free = (start..end).filter(|sector| self.words[sector / 64] & (1 << (sector % 64)) == 0).count();
        u64_from(free) * SECTOR_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_counts_the_sectors_that_it_touches_and_refuses_the_second_one() {
        let mut window = Window { range: 0..100 * SECTOR_BYTES, words: vec![0; 2] };
        window.claim(0..1).unwrap();
        window.claim(512..1024 + 5).unwrap();
        window.claim(99 * 512..1 << 40).unwrap();
        assert!(window.claim(1024..1025).is_err());
        assert!(window.claim(511..512).is_err());
        window.claim(1536..1536).unwrap();
        assert_eq!(WINDOW_BYTES, u64_from(WORDS) * 64 * SECTOR_BYTES, "a bit for each sector");
        assert_eq!(window.unclaimed_behind(0), 96 * 512);
        assert_eq!(window.unclaimed_behind(50 * 512), 49 * 512);
    }
}
