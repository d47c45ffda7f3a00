//! What a sink's content must be, byte by byte, as far as the contract promises anything.

use std::ops::Range;

use crate::Checkpoint;

/// Content of which some bytes are known.
#[derive(Clone, Debug)]
pub(super) struct Known {
    values: Vec<u8>,
    /// Ascending, neither empty nor adjacent.
    known: Vec<Range<usize>>,
}

impl Known {
    pub(super) fn nothing(len: usize) -> Self {
        Self { values: vec![0; len], known: Vec::new() }
    }

    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        let range = start..start + bytes.len();
        self.values[range.clone()].copy_from_slice(bytes);
        self.forget(&range);
        let mut known = std::mem::take(&mut self.known);
        known.push(range);
        known.sort_by_key(|range| range.start);
        known.into_iter().for_each(|range| append(&mut self.known, range));
    }

    fn forget(&mut self, range: &Range<usize>) {
        let less = |known: &Range<usize>| {
            let before = known.start..known.end.min(range.start);
            let after = known.start.max(range.end)..known.end;
            [before, after]
        };
        self.known = self.known.iter().flat_map(less).filter(|range| !range.is_empty()).collect();
    }

    /// Returns true when the byte at `place` is known.
    pub(super) fn is_known(&self, place: usize) -> bool {
        self.known.iter().any(|range| range.contains(&place))
    }

    /// Returns the ranges that are known, with their bytes.
    pub(super) fn pieces(&self) -> Vec<(usize, &[u8])> {
        self.known.iter().map(|range| (range.start, &self.values[range.clone()])).collect()
    }

    /// Returns the ranges that have to be written to make this `content`.
    pub(super) fn missing(&self, content: &[u8]) -> Vec<Range<usize>> {
        let mut missing = Vec::new();
        let mut seen = 0;
        for known in &self.known {
            append(&mut missing, seen..known.start);
            if self.values[known.clone()] != content[known.clone()] {
                let wrong = known.clone().filter(|place| self.values[*place] != content[*place]);
                wrong.for_each(|place| append(&mut missing, place..place + 1));
            }
            seen = known.end;
        }
        append(&mut missing, seen..content.len());
        missing
    }

    /// Returns the length of what is known from the start on; for an ascending sink that is all.
    pub(super) fn leading(&self) -> usize {
        self.known.first().map_or(0, |range| if range.start == 0 { range.end } else { 0 })
    }
}

/// Adds a range that begins at or after the end of the last one.
fn append(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    match ranges.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// The promises that hold at one moment of a run.
#[derive(Debug)]
pub(super) struct Model {
    /// What reads through the sink must give.
    pub(super) now: Known,
    /// Each checkpoint with what a reopen up to it must find. A byte that is written again after
    /// its checkpoint is forgotten there: a crash may leave either value.
    checkpoints: Vec<(Checkpoint, Known)>,
    /// How many of them the caller is known to have stored: a later crash cannot take those.
    stored: usize,
}

impl Model {
    pub(super) fn new(len: usize) -> Self {
        Self { now: Known::nothing(len), checkpoints: Vec::new(), stored: 0 }
    }

    /// Notes a write that returned.
    pub(super) fn wrote(&mut self, start: usize, bytes: &[u8]) {
        self.now.write(start, bytes);
        for (_, known) in &mut self.checkpoints {
            known.forget(&(start..start + bytes.len()));
        }
    }

    /// Notes a commit that covers what was written before it.
    pub(super) fn committed(&mut self, checkpoint: Checkpoint) {
        self.checkpoints.push((checkpoint, self.now.clone()));
    }

    /// Returns how many checkpoints a crash may leave: at least the stored ones, at most all.
    pub(super) fn stored_and_all(&self) -> (usize, usize) {
        (self.stored, self.checkpoints.len())
    }

    /// Notes a crash that left `kept` checkpoints and returns them.
    pub(super) fn crashed(&mut self, kept: usize) -> Vec<Checkpoint> {
        self.checkpoints.truncate(kept);
        self.stored = kept;
        let len = self.now.values.len();
        self.now = self.checkpoints.last().map_or_else(|| Known::nothing(len), |(_, known)| known.clone());
        self.checkpoints.iter().map(|(checkpoint, _)| checkpoint.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_written_again_after_its_checkpoint_is_no_longer_promised() {
        let mut model = Model::new(4);
        model.wrote(0, &[1, 1, 1]);
        model.committed(Checkpoint::new(vec![]).unwrap());
        model.wrote(1, &[2]);
        assert_eq!(model.now.pieces(), [(0, &[1, 2, 1][..])]);
        model.crashed(1);
        assert_eq!(model.now.pieces(), [(0, &[1][..]), (2, &[1][..])]);
        // Known and right, unknown, known and wrong, unknown.
        assert_eq!(model.now.missing(&[1, 1, 9, 0]).first(), Some(&(1..4)));
        assert_eq!(model.now.leading(), 1);
    }
}
