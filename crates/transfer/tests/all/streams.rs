//! Streams: the twin passes its suite, broken ones do not.

use bytes::Bytes;
use transfer::conformance::{Rule, stream_source};
use transfer::fault::{Call, Fault, Faults, Faulty};
use transfer::memory::MemoryStreamSource;
use transfer::source::NEXT_BYTES_MAX;
use transfer::{Error, ErrorKind, Result, StreamSource};

use crate::harness::content;

const LEN: usize = 30_001;
const PIECE: usize = 1000;

#[test]
fn the_twin_in_memory_keeps_to_the_contract() {
    for (seed, piece) in [(0, 1), (1, PIECE), (2, LEN), (3, usize::MAX)] {
        stream_source(&mut MemoryStreamSource::new(content(LEN), piece), &content(LEN), seed).unwrap();
    }
    stream_source(&mut MemoryStreamSource::new(vec![], PIECE), &[], 0).unwrap();
}

#[test]
fn a_wrapper_without_faults_changes_nothing() {
    let inner = MemoryStreamSource::new(content(LEN), PIECE);
    stream_source(&mut Faulty::new(inner, Faults::none()), &content(LEN), 1).unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Bug {
    EmptyPiece,
    HugePiece,
    DropsTheLastByte,
    BytesAfterTheEnd,
    ErrorAfterTheEnd,
    RestartGoesOn,
    RestartFailsAtTheEnd,
    RestartSkipsTheFirstPiece,
}

/// A stream with one bug.
#[derive(Debug)]
struct Mutant {
    inner: MemoryStreamSource,
    bug: Bug,
    given: usize,
    ends: usize,
}

impl StreamSource for Mutant {
    fn restart(&mut self) -> Result<()> {
        match self.bug {
            Bug::RestartGoesOn if self.ends == 0 => return Ok(()),
            Bug::RestartFailsAtTheEnd if self.ends > 0 => {
                return Err(Error::new(ErrorKind::SourceGone, "restart"));
            }
            _ => self.inner.restart()?,
        }
        if matches!(self.bug, Bug::RestartSkipsTheFirstPiece) {
            self.inner.next_bytes()?;
        }
        (self.given, self.ends) = (0, 0);
        Ok(())
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        let Some(bytes) = self.inner.next_bytes()? else {
            self.ends += 1;
            return match self.bug {
                Bug::BytesAfterTheEnd if self.ends > 1 => Ok(Some(Bytes::from_static(b"more"))),
                Bug::ErrorAfterTheEnd if self.ends > 1 => Err(Error::new(ErrorKind::Source, "read on")),
                _ => Ok(None),
            };
        };
        self.given += bytes.len();
        Ok(Some(match self.bug {
            Bug::EmptyPiece if self.given > 3 * PIECE => Bytes::new(),
            Bug::HugePiece => vec![0; NEXT_BYTES_MAX + 1].into(),
            Bug::DropsTheLastByte if self.given == LEN && bytes.len() == 1 => return Ok(None),
            _ => bytes,
        }))
    }
}

#[test]
fn every_rule_catches_a_stream_that_breaks_it() {
    let cases = [
        (Bug::EmptyPiece, Rule::PieceSize),
        (Bug::HugePiece, Rule::PieceSize),
        (Bug::DropsTheLastByte, Rule::Content),
        (Bug::BytesAfterTheEnd, Rule::EndStays),
        (Bug::ErrorAfterTheEnd, Rule::ValidCallSucceeds),
        (Bug::RestartGoesOn, Rule::Restart),
        (Bug::RestartFailsAtTheEnd, Rule::Restart),
        (Bug::RestartSkipsTheFirstPiece, Rule::Restart),
    ];
    for (bug, rule) in cases {
        let inner = MemoryStreamSource::new(content(LEN), PIECE);
        let mut mutant = Mutant { inner, bug, given: 0, ends: 0 };
        let violation = stream_source(&mut mutant, &content(LEN), 3).expect_err("the suite notices");
        assert_eq!(violation.rule(), rule, "{bug:?}: {violation}");
    }
}

#[test]
fn a_stream_that_ends_early_or_differs_has_other_content() {
    for fault in [Fault::Short, Fault::Corrupt] {
        let faults = Faults::none().at_byte(Call::NextBytes, 12_345, fault);
        let mut source = Faulty::new(MemoryStreamSource::new(content(LEN), PIECE), faults);
        let violation = stream_source(&mut source, &content(LEN), 0).unwrap_err();
        assert_eq!(violation.rule(), Rule::Content, "{fault:?}");
    }
}
