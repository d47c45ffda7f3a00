//! The suite of [`RangeSource`].

use std::ops::Range;

use super::violation::{Checked, Rule, Violation, ensure, ensure_equal, valid};
use crate::seeded::Seeded;
use crate::{ErrorKind, ExtentKind, RangeSource};

/// Ranges chosen at random, per run and per thread: enough that an off-by-one at a block border of
/// 4 KiB is met in contents of a few blocks.
const RANGES: usize = 64;
/// Threads that read at once; more than one connection, fewer than a test machine minds.
const THREADS: u64 = 4;

/// Checks that `source` keeps to the contract of [`RangeSource`] and has this `content`.
///
/// The content should be a few hundred KiB with some zeros, of a length that is no multiple of
/// anything. The same seed makes the same calls.
///
/// # Errors
/// The first broken rule.
pub fn range_source(source: &dyn RangeSource, content: &[u8], seed: u64) -> Result<(), Violation> {
    let len = source.len_bytes();
    ensure(len == content.len() as u64, Rule::Length, || format!("{len} should be {}", content.len()))?;
    let mut seeded = Seeded::new(seed);
    let ends = [0..0, content.len()..content.len(), 0..content.len()];
    let random = std::iter::repeat_with(|| random_range(&mut seeded, content.len())).take(RANGES);
    for range in ends.into_iter().chain(random) {
        check_extents(source, content, &range)?;
        check_read(source, content, &range)?;
    }
    check_bounds(source, len)?;
    check_threads(source, content, seed)
}

fn random_range(seeded: &mut Seeded, len: usize) -> Range<usize> {
    let start = seeded.below(len + 1);
    // Every other range is short, so that both borders of a block are crossed alone.
    let longest = if seeded.one_in(2) { len - start } else { (len - start).min(600) };
    start..start + seeded.below(longest + 1)
}

fn check_extents(source: &dyn RangeSource, content: &[u8], range: &Range<usize>) -> Checked {
    let asked = range.start as u64..range.end as u64;
    let extents = valid(source.extents(asked.clone()), || format!("extents of {asked:?}"))?;
    let mut next = asked.start;
    for extent in &extents {
        let Range { start, end } = extent.range;
        ensure(start == next && start < end && end <= asked.end, Rule::ExtentsTile, || {
            format!("in {asked:?} the piece {start}..{end} stands where {next} should begin")
        })?;
        next = end;
        if extent.kind == ExtentKind::Zero {
            let index = |offset: u64| usize::try_from(offset).expect("an offset inside of a slice is a usize");
            let zero = content[index(start)..index(end)].iter().all(|byte| *byte == 0);
            ensure(zero, Rule::ZeroExtents, || format!("{start}..{end} holds data"))?;
        }
    }
    ensure(next == asked.end, Rule::ExtentsTile, || format!("in {asked:?} the pieces end at {next}"))
}

fn check_read(source: &dyn RangeSource, content: &[u8], range: &Range<usize>) -> Checked {
    // What the buffer held before must not shine through.
    let mut buf = vec![0x5a; range.len()];
    valid(source.read_range(range.start as u64, &mut buf), || format!("read of {range:?}"))?;
    ensure_equal(&buf, &content[range.clone()], Rule::Content, range.start)
}

fn check_bounds(source: &dyn RangeSource, len: u64) -> Checked {
    for (offset, wanted) in [(len, 1), (len.saturating_sub(1), 2), (len + 1, 0), (u64::MAX, 1)] {
        let outcome = source.read_range(offset, &mut vec![0; wanted]);
        refused(outcome, || format!("a read of {wanted} bytes at {offset}"))?;
    }
    // Half of a range outside is outside, and a reversed one is nowhere.
    #[expect(clippy::reversed_empty_ranges, reason = "the reversed range is what is tested")]
    let reversed = 1..0;
    for range in [len..len + 1, 0..len + 1, u64::MAX - 1..u64::MAX, reversed] {
        refused(source.extents(range.clone()), || format!("extents of {range:?}"))?;
    }
    Ok(())
}

/// Checks that a call was refused as out of bounds.
fn refused<T>(outcome: crate::Result<T>, what: impl FnOnce() -> String) -> Checked {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Bounds => Ok(()),
        Err(error) => Err(Violation::by(Rule::Bounds, format!("{} failed in another way", what()), error)),
        Ok(_) => Err(Violation::new(Rule::Bounds, format!("{} succeeded", what()))),
    }
}

fn check_threads(source: &dyn RangeSource, content: &[u8], seed: u64) -> Checked {
    let reads = |thread: u64| {
        let mut seeded = Seeded::new(seed ^ (thread + 1));
        (0..RANGES).try_for_each(|_| check_read(source, content, &random_range(&mut seeded, content.len())))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || reads(thread))).collect();
        threads.into_iter().try_for_each(|thread| {
            let outcome = thread.join().map_err(|_| Violation::new(Rule::Concurrency, "a read panicked"))?;
            // The same ranges were read right by one thread before; the difference is the others.
            outcome.map_err(|violation| Violation::new(Rule::Concurrency, violation.to_string()))
        })
    })
}
