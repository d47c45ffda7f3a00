//! Wrappers that fail on plan.
//!
//! [`Faulty`] wraps anything that implements a seam and implements the same seam; [`Faults`] says
//! which call, or which byte, fails and how. Everything is decided by the plan, nothing by chance,
//! so a test says what it means and a run repeats.
//!
//! A wrapped sink or stream keeps to the contract after a fault: a failed sink refuses all later
//! calls, a broken stream gives errors until it is restarted. What a crash does is not planned
//! here: see [`crate::memory::Survivors`].

mod plan;
mod sink;
mod source;

use std::fmt;

use crate::ErrorKind;

pub use plan::{Call, Fault, Faults};

/// A seam whose calls fail as planned.
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
    state: plan::State,
}

impl<S> Faulty<S> {
    /// Wraps `inner`. The plan is shared: its counts go on over several wrappers of clones.
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults, state: plan::State::default() }
    }
}

impl<S> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Returns the error of a planned fault.
fn planned(kind: ErrorKind, call: Call) -> crate::Error {
    crate::Error::new(kind, format!("{call}: planned fault"))
}
