//! The rules that suites check, and the report of a broken one.

use std::fmt;

use crate::Error;

/// A sentence of the seams' contracts that a suite checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A call that keeps to the contract succeeds.
    ValidCallSucceeds,
    /// What is read, streamed or finished is the content.
    Content,
    /// A range outside of the content is refused with [`crate::ErrorKind::Bounds`] and no effect.
    Bounds,
    /// Threads do not disturb each other.
    Concurrency,
    /// A range source reports the length of its content.
    Length,
    /// Extents tile the range that was asked for, without empty ones.
    ExtentsTile,
    /// An extent of zeros holds zeros.
    ZeroExtents,
    /// A stream gives 1 to [`crate::source::NEXT_BYTES_MAX`] bytes at a time.
    PieceSize,
    /// A stream that has ended stays at its end.
    EndStays,
    /// A restart goes back to the first byte, from anywhere.
    Restart,
    /// An ascending sink refuses any offset but the next, with [`crate::ErrorKind::Order`] and no effect.
    Order,
    /// An ascending sink's next offset moves by what was written.
    NextMoves,
    /// A write of no bytes succeeds and changes nothing.
    EmptyWrite,
    /// A sink reads back what was written to it, the latest write winning.
    ReadBack,
    /// After a crash everything that the newest checkpoint covers is there.
    Durability,
    /// A reopened sink keeps its order, and an ascending one goes on where its checkpoint ends.
    ResumePlace,
    /// A target can be reopened with fewer checkpoints than it returned.
    ReopenPrefix,
    /// A reopen that a crash cut off can be repeated.
    ReopenAgain,
    /// A finished target can be reopened with its checkpoints.
    ReopenFinished,
    /// A checkpoint that is not the target's is refused, and the target is left as it was.
    ForeignCheckpoint,
    /// A new sink knows nothing of what an earlier one of its target left.
    CreateStartsAnew,
}

impl Rule {
    /// Returns the rule as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ValidCallSucceeds => "a call that keeps to the contract succeeds",
            Self::Content => "what comes out is the content",
            Self::Bounds => "a range outside of the content is refused as such, without effect",
            Self::Concurrency => "threads do not disturb each other",
            Self::Length => "the reported length is that of the content",
            Self::ExtentsTile => "extents tile the range that was asked for, without empty ones",
            Self::ZeroExtents => "an extent of zeros holds zeros",
            Self::PieceSize => "a stream gives at least one byte at a time, and no more than the maximum",
            Self::EndStays => "a stream that has ended stays at its end",
            Self::Restart => "a restart goes back to the first byte, from anywhere",
            Self::Order => "an ascending sink refuses any offset but the next, without effect",
            Self::NextMoves => "the next offset moves by what was written",
            Self::EmptyWrite => "a write of no bytes succeeds and changes nothing",
            Self::ReadBack => "a sink reads back what was written to it, the latest write winning",
            Self::Durability => "what a checkpoint covers survives a crash",
            Self::ResumePlace => "a reopened sink goes on where its newest checkpoint ends, in the same order",
            Self::ReopenPrefix => "a target can be reopened with fewer checkpoints than it returned",
            Self::ReopenAgain => "a reopen that was cut off can be repeated",
            Self::ReopenFinished => "a finished target can be reopened",
            Self::ForeignCheckpoint => "a checkpoint of something else is refused, without effect",
            Self::CreateStartsAnew => "a new sink knows nothing of an earlier one",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// A broken rule.
#[derive(Debug, thiserror::Error)]
#[error("broken rule: {rule}; {detail}")]
pub struct Violation {
    rule: Rule,
    detail: String,
    source: Option<Error>,
}

impl Violation {
    pub(super) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into(), source: None }
    }

    pub(super) fn by(rule: Rule, detail: impl Into<String>, source: Error) -> Self {
        Self { rule, detail: detail.into(), source: Some(source) }
    }

    /// Adds the seed and the run to the detail.
    pub(super) fn in_run(mut self, run: &str) -> Self {
        self.detail = format!("{run}: {}", self.detail);
        self
    }

    /// Returns the rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

/// The outcome of a check.
pub(super) type Checked<T = ()> = Result<T, Violation>;

/// Fails with `rule` unless `holds`.
pub(super) fn ensure(holds: bool, rule: Rule, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(rule, detail())) }
}

/// Unwraps what a valid call returned; `what` names the call.
pub(super) fn valid<T>(result: crate::Result<T>, what: impl FnOnce() -> String) -> Checked<T> {
    result.map_err(|error| Violation::by(Rule::ValidCallSucceeds, what(), error))
}

/// Fails with `rule` where the two differ, naming the first difference; `at` is their offset.
pub(super) fn ensure_equal(found: &[u8], expected: &[u8], rule: Rule, at: usize) -> Checked {
    if found == expected {
        return Ok(());
    }
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    Err(Violation::new(
        rule,
        match differs {
            Some(place) => {
                format!("byte {} is {:#04x} and should be {:#04x}", at + place, found[place], expected[place])
            }
            None => format!("{} bytes from offset {at} on should be {}", found.len(), expected.len()),
        },
    ))
}
