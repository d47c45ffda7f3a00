//! The state that a journal's commits add up to: which chunks are there, and their values.
//!
//! Memory follows what was written in pieces: runs of zeros and of chunks that are not there cost
//! nothing, a chunk of data costs its value.

use std::collections::BTreeMap;
use std::ops::Range;

use super::commit::{Commit, Entry};
use crate::chunk::{ChunkValue, Chunks, DiskHasher};

/// How much of a chunk is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkState {
    /// Bytes from its start on.
    pub len_bytes: u64,
    /// Value of these bytes.
    pub value: ChunkValue,
}

/// Which parts of a disk are durable at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    chunks: Chunks,
    /// Chunks that hold data, or of which only a part is there.
    parts: BTreeMap<u64, ChunkState>,
    /// Runs of whole chunks of zeros: start → end, disjoint and never touching.
    zeroes: BTreeMap<u64, u64>,
}

impl Progress {
    /// Nothing is there yet.
    pub fn new(chunks: Chunks) -> Self {
        Self { chunks, parts: BTreeMap::new(), zeroes: BTreeMap::new() }
    }

    /// Takes a commit's entries, which fit the disk.
    pub fn apply(&mut self, commit: &Commit) {
        for entry in &commit.entries {
            match *entry {
                Entry::Zero { first, count } => self.set_zero(first..first + count),
                Entry::Part { chunk, len_bytes, value: ChunkValue::Zero }
                    if len_bytes == self.chunks.len_bytes(chunk) =>
                {
                    self.set_zero(chunk..chunk + 1);
                }
                Entry::Part { chunk, len_bytes, value } => {
                    self.unset_zero(chunk..chunk + 1);
                    self.parts.insert(chunk, ChunkState { len_bytes, value });
                }
            }
        }
    }

    /// Returns how the disk is cut.
    pub fn chunks(&self) -> Chunks {
        self.chunks
    }

    /// Returns what is there of a chunk.
    pub fn chunk(&self, index: u64) -> Option<ChunkState> {
        if let Some(part) = self.parts.get(&index) {
            return Some(*part);
        }
        let (_, &end) = self.zeroes.range(..=index).next_back()?;
        (index < end).then(|| ChunkState { len_bytes: self.chunks.len_bytes(index), value: ChunkValue::Zero })
    }

    /// Returns the bytes that are still to come, half-open, ascending; neighbours are joined.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let mut missing: Vec<Range<u64>> = Vec::new();
        let mut add = |range: Range<u64>| match missing.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => missing.push(range),
        };
        let capacity = self.chunks.capacity_bytes();
        let mut at = 0;
        for range in self.covered().chain(std::iter::once(capacity..capacity)) {
            add(at..range.start);
            at = range.end;
        }
        missing
    }

    /// Returns how many bytes are there.
    pub fn done_bytes(&self) -> u64 {
        self.covered().map(|range| range.end - range.start).sum()
    }

    /// Returns the digest of the disk; `None` until every chunk is whole.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let mut hasher = DiskHasher::new(self.chunks);
        for index in 0..self.chunks.count() {
            let state = self.chunk(index).filter(|state| state.len_bytes == self.chunks.len_bytes(index))?;
            hasher.update(state.value);
        }
        hasher.finish()
    }

    /// Returns what is there, in bytes, ascending; pieces may touch.
    fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        let mut parts = self.parts.iter().peekable();
        let mut zeroes = self.zeroes.iter().peekable();
        let chunks = self.chunks;
        std::iter::from_fn(move || {
            let part = parts.peek().map_or(u64::MAX, |(index, _)| **index);
            let zero = zeroes.peek().map_or(u64::MAX, |(start, _)| **start);
            if part < zero {
                let (&index, state) = parts.next()?;
                let start = chunks.range(index).start;
                return Some(start..start + state.len_bytes);
            }
            let (&start, &end) = zeroes.next()?;
            Some(chunks.range(start).start..chunks.range(end - 1).end)
        })
    }

    fn set_zero(&mut self, run: Range<u64>) {
        let replaced: Vec<u64> = self.parts.range(run.clone()).map(|(&index, _)| index).collect();
        for index in replaced {
            self.parts.remove(&index);
        }
        let (mut start, mut end) = (run.start, run.end);
        // Runs that touch or overlap become one.
        while let Some((&other, &other_end)) = self.zeroes.range(..=end).next_back().filter(|(_, end)| **end >= start) {
            self.zeroes.remove(&other);
            (start, end) = (start.min(other), end.max(other_end));
        }
        self.zeroes.insert(start, end);
    }

    fn unset_zero(&mut self, run: Range<u64>) {
        let Some((&start, &end)) = self.zeroes.range(..=run.start).next_back().filter(|(_, end)| **end > run.start)
        else {
            return;
        };
        self.zeroes.remove(&start);
        if start < run.start {
            self.zeroes.insert(start, run.start);
        }
        if run.end < end {
            self.zeroes.insert(run.end, end);
        }
    }
}
