//! Random contents, and random calls that make them.

use std::ops::Range;

use crate::seeded::Seeded;

/// One call to a sink.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// `write_at`.
    Write { start: usize, bytes: Vec<u8> },
    /// `write_zeroes`.
    Zeroes { range: Range<usize> },
    /// `commit`.
    Commit,
}

/// Returns content of `len` bytes: runs of data and runs of zeros.
pub(super) fn content(seeded: &mut Seeded, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    let mut start = 0;
    while start < len {
        let end = len.min(start + 1 + seeded.below(len / 4 + 1));
        if !seeded.one_in(3) {
            seeded.fill_nonzero(&mut content[start..end]);
        }
        start = end;
    }
    content
}

/// Returns calls that write `ranges` of `content`, front to back, with commits in between.
pub(super) fn ascending(seeded: &mut Seeded, content: &[u8], ranges: &[Range<usize>], writes_max: usize) -> Vec<Step> {
    let pieces = cut(seeded, content, ranges, writes_max);
    with_commits(seeded, pieces)
}

/// Returns calls that write `ranges` of `content` in any order, some after something else was
/// written to the same place, with commits in between.
pub(super) fn any(seeded: &mut Seeded, content: &[u8], ranges: &[Range<usize>], writes_max: usize) -> Vec<Step> {
    let mut pieces = cut(seeded, content, ranges, writes_max);
    seeded.shuffle(&mut pieces);
    let mut steps = Vec::new();
    for (done, piece) in pieces.iter().enumerate() {
        if seeded.one_in(4) {
            // Something wrong over a part of what is still to come, so that it is written over.
            let victim = span(&pieces[done + seeded.below(pieces.len() - done)]);
            let start = victim.start + seeded.below(victim.len());
            let range = start..start + 1 + seeded.below(victim.end - start);
            steps.push(wrong(seeded, range));
        }
        steps.push(piece.clone());
    }
    with_commits(seeded, steps)
}

/// Returns the range that a writing step touches.
pub(super) fn span(step: &Step) -> Range<usize> {
    match step {
        Step::Write { start, bytes } => *start..start + bytes.len(),
        Step::Zeroes { range } => range.clone(),
        Step::Commit => 0..0,
    }
}

fn wrong(seeded: &mut Seeded, range: Range<usize>) -> Step {
    if seeded.one_in(2) {
        return Step::Zeroes { range };
    }
    let mut bytes = vec![0; range.len()];
    seeded.fill_nonzero(&mut bytes);
    Step::Write { start: range.start, bytes }
}

/// Cuts `ranges` into pieces at random places; none is empty. All-zero ones become zeros, mostly.
fn cut(seeded: &mut Seeded, content: &[u8], ranges: &[Range<usize>], writes_max: usize) -> Vec<Step> {
    let total: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    let longest = (2 * total / writes_max.max(1)).max(1);
    let mut pieces = Vec::new();
    for range in ranges {
        let mut start = range.start;
        while start < range.end {
            let mut end = range.end.min(start + 1 + seeded.below(longest));
            let zero = content[start] == 0;
            // A piece ends where zeros begin or end, so that `write_zeroes` gets something to do.
            let same = content[start..end].iter().take_while(|byte| (**byte == 0) == zero).count();
            if seeded.one_in(2) {
                end = start + same;
            }
            pieces.push(if zero && start + same == end && !seeded.one_in(4) {
                Step::Zeroes { range: start..end }
            } else {
                Step::Write { start, bytes: content[start..end].to_vec() }
            });
            start = end;
        }
    }
    pieces
}

fn with_commits(seeded: &mut Seeded, steps: Vec<Step>) -> Vec<Step> {
    let mut all = Vec::new();
    for step in steps {
        all.push(step);
        while seeded.one_in(3) {
            all.push(Step::Commit);
        }
    }
    all
}
