//! The life of an export lease, without clock, network or files.
//!
//! ```text
//!                  ready_at                Complete
//!  Initializing ─────────────► Ready ──────────────────► Done
//!        │                    │     │ expires_at without Progress
//!        │ Abort        Abort │     └──────────────────► TimedOut ──Abort──► Aborted
//!        └────────────────────┴───────────────────────────────────────────► Aborted
//! ```
//!
//! `Done` and `Aborted` leases are removed at once, so a call on them finds no object; a timed-out
//! lease stays, so that its owner can read why. So does one that a rule lets fail (`Failed`), from
//! whatever phase. [`super::export`] makes the calls.

use std::collections::BTreeMap;
use std::time::Duration;

use vsphere::wire::Fault;
use vsphere::wire::generated::HttpNfcLeaseState;

use super::clock::Instant;
use crate::export::ExportItem;
use crate::faults::HashName;
use crate::faults::rule::LeaseUrl;

/// Where a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The host prepares the disks.
    Initializing {
        /// End of the preparation.
        ready_at: Instant,
    },
    /// Files may be fetched.
    Ready {
        /// End, unless it is renewed.
        expires_at: Instant,
    },
    /// Completed by its owner.
    Done,
    /// Given up by its owner.
    Aborted,
    /// Not renewed in time.
    TimedOut,
    /// Failed, as a rule wanted it.
    Failed,
}

/// What happens to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time passes.
    Tick,
    /// `HttpNfcLeaseProgress`.
    Progress(i32),
    /// `HttpNfcLeaseComplete`.
    Complete,
    /// `HttpNfcLeaseAbort`.
    Abort,
}

/// Why an event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The percentage is not 0 to 100.
    Percent(i32),
    /// It is not ready.
    NotReady,
    /// It timed out before.
    TimedOut,
    /// It has failed before.
    Failed,
    /// It is over.
    Over,
}

/// Returns the phase after an event at `now`.
pub(crate) fn step(phase: Phase, event: Event, now: Instant, timeout: Duration) -> Result<Phase, Refusal> {
    let phase = pass(phase, now, timeout);
    match (phase, event) {
        (_, Event::Tick) => Ok(phase),
        (Phase::Done | Phase::Aborted, _) => Err(Refusal::Over),
        (_, Event::Abort) => Ok(Phase::Aborted),
        (Phase::TimedOut, _) => Err(Refusal::TimedOut),
        (Phase::Failed, _) => Err(Refusal::Failed),
        (Phase::Initializing { .. }, _) => Err(Refusal::NotReady),
        (Phase::Ready { .. }, Event::Complete) => Ok(Phase::Done),
        (Phase::Ready { .. }, Event::Progress(percent)) if !(0..=100).contains(&percent) => {
            Err(Refusal::Percent(percent))
        }
        (Phase::Ready { .. }, Event::Progress(_)) => Ok(Phase::Ready { expires_at: now + timeout }),
    }
}

/// Lets time pass up to `now`.
fn pass(phase: Phase, now: Instant, timeout: Duration) -> Phase {
    match phase {
        Phase::Initializing { ready_at } if ready_at <= now => {
            pass(Phase::Ready { expires_at: ready_at + timeout }, now, timeout)
        }
        Phase::Ready { expires_at } if expires_at <= now => Phase::TimedOut,
        phase => phase,
    }
}

impl Phase {
    /// Returns the state as the API names it.
    pub(crate) fn state(self) -> HttpNfcLeaseState {
        match self {
            Self::Initializing { .. } => HttpNfcLeaseState::Initializing,
            Self::Ready { .. } => HttpNfcLeaseState::Ready,
            Self::Done => HttpNfcLeaseState::Done,
            Self::Aborted | Self::TimedOut | Self::Failed => HttpNfcLeaseState::Error,
        }
    }

    /// Returns when time alone changes the phase.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Initializing { ready_at: at } | Self::Ready { expires_at: at } => Some(at),
            Self::Done | Self::Aborted | Self::TimedOut | Self::Failed => None,
        }
    }

    /// Returns whether the lease still keeps its VM from being used.
    pub(crate) fn holds_vm(self) -> bool {
        matches!(self, Self::Initializing { .. } | Self::Ready { .. })
    }
}

/// One lease.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Id, which begins with that of its session.
    pub(crate) id: String,
    /// Key of the session that made it.
    pub(crate) session: String,
    /// Index of the VM in the inventory.
    pub(crate) vm: usize,
    /// Id of the task that stands for it.
    pub(crate) task: String,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// Time that it lives without `HttpNfcLeaseProgress`.
    pub(crate) timeout: Duration,
    /// What it offers.
    pub(crate) items: Vec<ExportItem>,
    /// Hash that `HttpNfcLeaseSetManifestChecksumType` chose, by key.
    pub(crate) checksums: BTreeMap<String, HashName>,
    /// Milliseconds from the start of the simulator to `ExportVm`.
    pub(crate) created_ms: u64,
    /// What its owner did.
    pub(crate) seen: Seen,
    /// What rules did to it.
    pub(crate) meddled: Meddled,
}

/// What rules did to a lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meddled {
    /// Why it has failed.
    pub(crate) error: Option<Fault>,
    /// Where its URLs point to.
    pub(crate) url: Option<LeaseUrl>,
}

/// What the owner of a lease did, for the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) progress_calls: u64,
    pub(crate) percent: i32,
    /// True after a percentage lower than the one before, or one that is none.
    pub(crate) percent_wrong: bool,
    pub(crate) manifest_calls: u64,
    pub(crate) timed_out: bool,
    pub(crate) abort_reason: Option<String>,
}

impl Lease {
    /// Applies an event.
    pub(crate) fn apply(&mut self, event: Event, now: Instant) -> Result<(), Refusal> {
        if let Event::Progress(percent) = event {
            self.seen.progress_calls += 1;
            self.seen.percent_wrong |= percent < self.seen.percent || percent > 100;
        }
        self.phase = step(self.phase, event, now, self.timeout)?;
        if let Event::Progress(percent) = event {
            self.seen.percent = percent;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn ready(at: Instant) -> Phase {
        Phase::Ready { expires_at: at + TIMEOUT }
    }

    #[test]
    fn a_lease_is_ready_after_its_preparation_and_lives_from_then_on() {
        let start = Instant::now();
        let phase = Phase::Initializing { ready_at: start + SECOND };
        let at = |now| step(phase, Event::Tick, now, TIMEOUT).unwrap();
        assert_eq!(at(start), phase);
        assert_eq!(at(start + 3 * SECOND), ready(start + SECOND));
        assert_eq!(at(start + SECOND + TIMEOUT), Phase::TimedOut);
    }

    #[test]
    fn progress_renews_a_lease_even_with_the_same_percentage() {
        let start = Instant::now();
        let mut phase = ready(start);
        for seconds in [9, 18, 27] {
            phase = step(phase, Event::Progress(0), start + seconds * SECOND, TIMEOUT).unwrap();
        }
        assert_eq!(phase, ready(start + 27 * SECOND));
    }

    #[test]
    fn progress_that_comes_too_late_finds_a_lease_that_timed_out() {
        let start = Instant::now();
        let late = step(ready(start), Event::Progress(5), start + TIMEOUT, TIMEOUT);
        assert_eq!(late, Err(Refusal::TimedOut));
    }

    #[test]
    fn percentages_outside_of_0_to_100_are_refused() {
        let now = Instant::now();
        for percent in [-1, 101] {
            assert_eq!(step(ready(now), Event::Progress(percent), now, TIMEOUT), Err(Refusal::Percent(percent)));
        }
    }

    #[test]
    fn a_lease_that_is_not_ready_can_only_be_aborted() {
        let now = Instant::now();
        let phase = Phase::Initializing { ready_at: now + SECOND };
        assert_eq!(step(phase, Event::Complete, now, TIMEOUT), Err(Refusal::NotReady));
        assert_eq!(step(phase, Event::Progress(1), now, TIMEOUT), Err(Refusal::NotReady));
        assert_eq!(step(phase, Event::Abort, now, TIMEOUT), Ok(Phase::Aborted));
    }

    #[test]
    fn nothing_follows_the_end_but_an_abort_of_a_lease_that_timed_out() {
        let now = Instant::now();
        for phase in [Phase::Done, Phase::Aborted] {
            for event in [Event::Complete, Event::Abort, Event::Progress(1)] {
                assert_eq!(step(phase, event, now, TIMEOUT), Err(Refusal::Over));
            }
        }
        assert_eq!(step(Phase::TimedOut, Event::Complete, now, TIMEOUT), Err(Refusal::TimedOut));
        assert_eq!(step(Phase::TimedOut, Event::Abort, now, TIMEOUT), Ok(Phase::Aborted));
    }
}
