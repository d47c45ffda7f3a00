//! Which call fails, and how.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, ErrorKind, Result};

/// A call of a seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`crate::RangeSource::extents`].
    Extents,
    /// [`crate::RangeSource::read_range`].
    ReadRange,
    /// [`crate::StreamSource::restart`].
    Restart,
    /// [`crate::StreamSource::next_bytes`]; offsets count from the last restart.
    NextBytes,
    /// [`crate::Sink::write_at`].
    WriteAt,
    /// [`crate::Sink::write_zeroes`].
    WriteZeroes,
    /// [`crate::Sink::read_at`].
    ReadAt,
    /// [`crate::Sink::commit`].
    Commit,
    /// [`crate::Sink::finish`].
    Finish,
    /// [`crate::Target::create`].
    Create,
    /// [`crate::Target::reopen`].
    Reopen,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extents => "map a source",
            Self::ReadRange => "read a source",
            Self::Restart => "restart a stream",
            Self::NextBytes => "read a stream",
            Self::WriteAt => "write to a sink",
            Self::WriteZeroes => "write zeros to a sink",
            Self::ReadAt => "read back from a sink",
            Self::Commit => "commit a sink",
            Self::Finish => "finish a sink",
            Self::Create => "create a sink",
            Self::Reopen => "reopen a sink",
        })
    }
}

/// How a call fails. "The place" is the planned byte, or the middle of a call planned by number.
///
/// Calls that carry no bytes (`extents`, `restart`, `commit`, `finish`, `create`, `reopen`) know
/// only two ways: [`Fault::Fail`] does nothing, any other does the work and loses the answer, so
/// that the caller gets [`ErrorKind::Source`] or [`ErrorKind::Sink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; the call fails with this kind.
    Fail(ErrorKind),
    /// All ends at the place: a read fails with [`ErrorKind::Short`], a stream claims its end
    /// there, a sink writes up to there and is [`ErrorKind::Full`].
    Short,
    /// The byte at the place is changed and the call succeeds.
    Corrupt,
    /// The connection or device breaks at the place: what lies before it went through (a stream
    /// hands it out first), then [`ErrorKind::Source`] or [`ErrorKind::Sink`].
    Reset,
}

/// A plan of faults, and the record of the calls that ran under it; clones share both.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    calls: HashMap<Call, u64>,
    fired: u64,
}

#[derive(Debug)]
struct Rule {
    call: Call,
    when: When,
    fault: Fault,
    spent: bool,
}

#[derive(Clone, Copy, Debug)]
enum When {
    Nth(u64),
    From(u64),
    Byte(u64),
}

/// A fault that is due in a call, and how many of the call's bytes come before its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) fault: Fault,
    pub(super) before: usize,
}

impl Faults {
    /// Makes a plan without faults, which only counts.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a fault of the `nth` call of this sort, counted from 1. It happens once.
    #[must_use]
    pub fn at_call(self, call: Call, nth: u64, fault: Fault) -> Self {
        self.with(call, When::Nth(nth), fault)
    }

    /// Adds a fault of the `nth` call of this sort, counted from 1, and of all after it.
    #[must_use]
    pub fn from_call(self, call: Call, nth: u64, fault: Fault) -> Self {
        self.with(call, When::From(nth), fault)
    }

    /// Adds a fault of the first call of this sort that touches the byte at `offset`. It happens
    /// once.
    #[must_use]
    pub fn at_byte(self, call: Call, offset: u64, fault: Fault) -> Self {
        self.with(call, When::Byte(offset), fault)
    }

    /// Returns how many calls of this sort were made, failed ones included.
    pub fn calls(&self, call: Call) -> u64 {
        self.plan().calls.get(&call).copied().unwrap_or(0)
    }

    /// Returns how many faults happened.
    pub fn fired(&self) -> u64 {
        self.plan().fired
    }

    fn with(self, call: Call, when: When, fault: Fault) -> Self {
        self.plan().rules.push(Rule { call, when, fault, spent: false });
        self
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call over `range` (empty for one without bytes) and returns the fault that is due.
    pub(super) fn next(&self, call: Call, range: Range<u64>) -> Option<Hit> {
        let mut plan = self.plan();
        let count = plan.calls.entry(call).or_insert(0);
        *count += 1;
        let number = *count;
        let rule = plan.rules.iter_mut().find(|rule| rule.call == call && rule.is_due(number, &range))?;
        rule.spent = !matches!(rule.when, When::From(_));
        let before = match rule.when {
            When::Byte(offset) => offset - range.start,
            When::Nth(_) | When::From(_) => (range.end - range.start) / 2,
        };
        let fault = rule.fault;
        plan.fired += 1;
        Some(Hit { fault, before: usize::try_from(before).expect("a call's bytes are in memory") })
    }

    /// Counts a call without bytes; `Some(true)` means that the work is to be done all the same.
    pub(super) fn answer(&self, call: Call, lost: ErrorKind) -> Option<(bool, Error)> {
        self.next(call, 0..0).map(|hit| match hit.fault {
            Fault::Fail(kind) => (false, super::planned(kind, call)),
            Fault::Short | Fault::Corrupt | Fault::Reset => (true, super::planned(lost, call)),
        })
    }
}

impl Rule {
    fn is_due(&self, number: u64, range: &Range<u64>) -> bool {
        !self.spent
            && match self.when {
                When::Nth(nth) => nth == number,
                When::From(nth) => nth <= number,
                When::Byte(offset) => range.contains(&offset),
            }
    }
}

/// What a fault leaves behind in one wrapper.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The kind of the fault that broke it, if one did.
    broken: Mutex<Option<ErrorKind>>,
    /// A stream's place since its last restart.
    pub(super) position: u64,
    /// True once a stream claimed its end too early.
    pub(super) ended: bool,
}

impl State {
    /// Fails when an earlier fault was final.
    pub(super) fn check(&self, call: Call) -> Result<()> {
        match *self.broken() {
            Some(kind) => Err(Error::new(kind, format!("{call}: it failed before"))),
            None => Ok(()),
        }
    }

    /// Remembers `error` when it is final, and passes it on.
    pub(super) fn break_with(&self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Order | ErrorKind::Bounds | ErrorKind::Unsupported) {
            *self.broken() = Some(error.kind());
        }
        error
    }

    pub(super) fn mend(&mut self) {
        *self = Self::default();
    }

    fn broken(&self) -> MutexGuard<'_, Option<ErrorKind>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
