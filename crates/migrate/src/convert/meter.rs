//! From counts of many threads to what an observer hears.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Observer, Phase, Progress};
use crate::copy::{self, Settled};

/// Observers hear at most this often of moving bytes.
const TICK: Duration = Duration::from_millis(100);

/// Adds up what is settled.
pub(super) struct Meter<'a> {
    observer: &'a dyn Observer,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    told: Instant,
}

impl<'a> Meter<'a> {
    /// Begins, and tells so.
    pub(super) fn new(observer: &'a dyn Observer, total_bytes: u64) -> Self {
        let progress =
            Progress { phase: Phase::Copying, total_bytes, settled_bytes: 0, copied_bytes: 0, kept_bytes: 0 };
        observer.progress(&progress);
        Self { observer, state: Mutex::new(State { progress, told: Instant::now() }) }
    }

    pub(super) fn finishing(&self) {
        let mut state = self.lock();
        state.progress.phase = Phase::Finishing;
        self.observer.progress(&state.progress);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl copy::Observer for Meter<'_> {
    fn settled(&self, len_bytes: u64, how: Settled) {
        let mut state = self.lock();
        state.progress.settled_bytes += len_bytes;
        match how {
            Settled::Copied => state.progress.copied_bytes += len_bytes,
            Settled::Kept => state.progress.kept_bytes += len_bytes,
            Settled::Zero => {}
        }
        if state.told.elapsed() >= TICK {
            state.told = Instant::now();
            // Told under the lock: an old picture must not come after a newer one.
            self.observer.progress(&state.progress);
        }
    }
}
