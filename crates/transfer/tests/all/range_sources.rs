//! Range sources: the twin passes its suite, broken ones do not.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use transfer::conformance::{Rule, range_source};
use transfer::fault::{Faults, Faulty};
use transfer::memory::MemoryRangeSource;
use transfer::{ErrorKind, Extent, ExtentKind, RangeSource, Result};

use crate::harness::content;

const LEN: usize = 50_001;

#[test]
fn the_twin_in_memory_keeps_to_the_contract() {
    for seed in 0..8 {
        range_source(&MemoryRangeSource::new(content(LEN)), &content(LEN), seed).unwrap();
        range_source(&MemoryRangeSource::without_map(content(LEN)), &content(LEN), seed).unwrap();
    }
    range_source(&MemoryRangeSource::new(vec![]), &[], 0).unwrap();
}

#[test]
fn a_wrapper_without_faults_changes_nothing() {
    let source = Faulty::new(MemoryRangeSource::new(content(LEN)), Faults::none());
    range_source(&source, &content(LEN), 1).unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Bug {
    TooLong,
    Gap,
    Overlap,
    BeyondTheRange,
    EmptyPiece,
    DataCalledZero,
    FillsLessThanAsked,
    ShortAtTheEnd,
    ReadsBeyondTheEnd,
    MapsBeyondTheEnd,
    OtherKindBeyondTheEnd,
    SharedCursor,
}

/// A source with one bug.
#[derive(Debug)]
struct Mutant {
    inner: MemoryRangeSource,
    bug: Bug,
    readers: AtomicUsize,
}

impl RangeSource for Mutant {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes() + u64::from(matches!(self.bug, Bug::TooLong))
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        let mut extents = match self.inner.extents(range.clone()) {
            Err(_) if matches!(self.bug, Bug::MapsBeyondTheEnd) => return Ok(vec![]),
            other => other?,
        };
        let Some(last) = extents.last_mut() else {
            return Ok(extents);
        };
        match self.bug {
            Bug::Gap => last.range.start += 1,
            Bug::Overlap => last.range.start = last.range.start.saturating_sub(1),
            Bug::BeyondTheRange => last.range.end += 1,
            Bug::EmptyPiece => {
                let range = last.range.end..last.range.end;
                extents.push(Extent { range, kind: ExtentKind::Data });
            }
            Bug::DataCalledZero => last.kind = ExtentKind::Zero,
            _ => {}
        }
        Ok(extents)
    }

    fn read_range(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len();
        match self.bug {
            Bug::FillsLessThanAsked if len > 1000 => self.inner.read_range(offset, &mut buf[..1000]),
            Bug::ShortAtTheEnd if len > 0 && offset + len as u64 == self.inner.len_bytes() => {
                self.inner.read_range(offset, &mut buf[..len - 1])
            }
            Bug::ReadsBeyondTheEnd => self.inner.read_range(offset, buf).or(Ok(())),
            Bug::OtherKindBeyondTheEnd => self
                .inner
                .read_range(offset, buf)
                .map_err(|error| transfer::Error::new(ErrorKind::Source, "read").with_source(error)),
            Bug::SharedCursor => {
                // Two readers at once spoil each other, as two that seek one file would.
                let alone = self.readers.fetch_add(1, Ordering::SeqCst) == 0;
                (0..50).for_each(|_| std::thread::yield_now());
                let alone = self.readers.fetch_sub(1, Ordering::SeqCst) == 1 && alone;
                self.inner.read_range(offset, buf)?;
                if let (false, Some(byte)) = (alone, buf.first_mut()) {
                    *byte ^= 1;
                }
                Ok(())
            }
            _ => self.inner.read_range(offset, buf),
        }
    }
}

#[test]
fn every_rule_catches_a_source_that_breaks_it() {
    let cases = [
        (Bug::TooLong, Rule::Length),
        (Bug::Gap, Rule::ExtentsTile),
        (Bug::Overlap, Rule::ExtentsTile),
        (Bug::BeyondTheRange, Rule::ExtentsTile),
        (Bug::EmptyPiece, Rule::ExtentsTile),
        (Bug::DataCalledZero, Rule::ZeroExtents),
        (Bug::FillsLessThanAsked, Rule::Content),
        (Bug::ShortAtTheEnd, Rule::Content),
        (Bug::ReadsBeyondTheEnd, Rule::Bounds),
        (Bug::MapsBeyondTheEnd, Rule::Bounds),
        (Bug::OtherKindBeyondTheEnd, Rule::Bounds),
        (Bug::SharedCursor, Rule::Concurrency),
    ];
    for (bug, rule) in cases {
        let inner = MemoryRangeSource::new(content(LEN));
        let mutant = Mutant { inner, bug, readers: AtomicUsize::new(0) };
        let violation = range_source(&mutant, &content(LEN), 3).expect_err("the suite notices");
        assert_eq!(violation.rule(), rule, "{bug:?}: {violation}");
    }
}

#[test]
fn a_source_that_fails_a_valid_call_is_named() {
    let faults = Faults::none().at_call(
        transfer::fault::Call::ReadRange,
        5,
        transfer::fault::Fault::Fail(ErrorKind::SourceGone),
    );
    let source = Faulty::new(MemoryRangeSource::new(content(LEN)), faults);
    let violation = range_source(&source, &content(LEN), 0).unwrap_err();
    assert_eq!(violation.rule(), Rule::ValidCallSucceeds);
}
