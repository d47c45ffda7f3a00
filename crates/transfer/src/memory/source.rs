//! Sources whose content is a byte string.
//!
//! Neighbours: [`super::target`] is the other end.

use std::ops::Range;

use bytes::Bytes;

use crate::source::{NEXT_BYTES_MAX, bounded};
use crate::{Extent, ExtentKind, RangeSource, Result, StreamSource};

/// What the map of a [`MemoryRangeSource`] resolves: 4 KiB, the block of most file systems.
const MAP_BLOCK_BYTES: u64 = 4 << 10;

/// A [`RangeSource`] over bytes in memory.
#[derive(Clone, Debug)]
pub struct MemoryRangeSource {
    content: Bytes,
    mapped: bool,
}

impl MemoryRangeSource {
    /// Makes a source that knows which aligned blocks of 4 KiB are zero.
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self { content: content.into(), mapped: true }
    }

    /// Makes a source that says "unknown" of everything, like a server without a block map.
    pub fn without_map(content: impl Into<Bytes>) -> Self {
        Self { content: content.into(), mapped: false }
    }

    /// Returns the content of a range that was checked to lie inside.
    fn slice(&self, range: &Range<u64>) -> &[u8] {
        &self.content[index(range.start)..index(range.end)]
    }

    /// Returns what the whole block around `offset` holds.
    fn kind_at(&self, offset: u64) -> ExtentKind {
        if !self.mapped {
            return ExtentKind::Unknown;
        }
        let start = offset / MAP_BLOCK_BYTES * MAP_BLOCK_BYTES;
        let end = (start + MAP_BLOCK_BYTES).min(self.len_bytes());
        let zero = self.slice(&(start..end)).iter().all(|byte| *byte == 0);
        if zero { ExtentKind::Zero } else { ExtentKind::Data }
    }
}

impl RangeSource for MemoryRangeSource {
    fn len_bytes(&self) -> u64 {
        self.content.len() as u64
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        // A reversed range has no length; asking for the largest makes it one out of bounds.
        let len = range.end.checked_sub(range.start).unwrap_or(u64::MAX);
        let range = bounded("map", range.start, len, self.len_bytes())?;
        let mut extents: Vec<Extent> = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = ((start / MAP_BLOCK_BYTES + 1) * MAP_BLOCK_BYTES).min(range.end);
            let kind = self.kind_at(start);
            match extents.last_mut() {
                Some(last) if last.kind == kind => last.range.end = end,
                _ => extents.push(Extent { range: start..end, kind }),
            }
            start = end;
        }
        Ok(extents)
    }

    fn read_range(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = bounded("read", offset, buf.len() as u64, self.len_bytes())?;
        buf.copy_from_slice(self.slice(&range));
        Ok(())
    }
}

/// A [`StreamSource`] over bytes in memory.
#[derive(Clone, Debug)]
pub struct MemoryStreamSource {
    content: Bytes,
    piece_bytes: usize,
    position: usize,
}

impl MemoryStreamSource {
    /// Makes a source that gives `piece_bytes` at a time (at least 1, at most [`NEXT_BYTES_MAX`]),
    /// and fewer at the end.
    pub fn new(content: impl Into<Bytes>, piece_bytes: usize) -> Self {
        Self { content: content.into(), piece_bytes: piece_bytes.clamp(1, NEXT_BYTES_MAX), position: 0 }
    }
}

impl StreamSource for MemoryStreamSource {
    fn restart(&mut self) -> Result<()> {
        self.position = 0;
        Ok(())
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        let end = self.content.len().min(self.position + self.piece_bytes);
        let piece = self.content.slice(self.position..end);
        self.position = end;
        Ok(if piece.is_empty() { None } else { Some(piece) })
    }
}

/// Returns an offset that was checked against the length of bytes in memory as an index.
fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset inside of a slice is a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_merges_neighbours_and_ends_with_the_range() {
        let mut content = vec![0; 20_000];
        content[5000] = 1;
        let source = MemoryRangeSource::new(content);
        let kinds: Vec<_> = source.extents(10..20_000).unwrap();
        assert_eq!(
            kinds,
            [
                Extent { range: 10..4096, kind: ExtentKind::Zero },
                Extent { range: 4096..8192, kind: ExtentKind::Data },
                Extent { range: 8192..20_000, kind: ExtentKind::Zero },
            ]
        );
    }

    #[test]
    fn a_block_with_data_outside_of_the_range_counts_as_data() {
        let mut content = vec![0; 4096];
        content[0] = 1;
        let extents = MemoryRangeSource::new(content).extents(100..200).unwrap();
        assert_eq!(extents, [Extent { range: 100..200, kind: ExtentKind::Data }]);
    }
}
