//! What the work of a job says, on its way from many threads to the job's task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use migrate::export::{Hold, Observer, Phase, Progress};
use tokio::sync::Notify;

/// Warnings that may wait for the task. Of more the first are kept, and the newest: what is left on the server
/// is said last.
const WARNINGS_MAX: usize = 100;

/// Phases that may wait; an export has fewer.
const PHASES_MAX: usize = 32;

/// What was said since the task last listened.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) progress: Option<Progress>,
    /// Each phase that was entered, in their order.
    pub(super) phases: VecDeque<Phase>,
    pub(super) warnings: Vec<String>,
    /// The latest sign of life of a lease.
    pub(super) hold: Option<Hold>,
    pub(super) released: Option<String>,
}

/// Takes what the work says; never blocks and never grows.
#[derive(Debug, Default)]
pub(super) struct Listener {
    heard: Mutex<Heard>,
    latest_phase: Mutex<Option<Phase>>,
    news: Notify,
}

impl Listener {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns when there is something new.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Returns what was said since the last call.
    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.lock());
        self.news.notify_one();
    }
}

impl Observer for Listener {
    fn progress(&self, progress: &Progress) {
        let mut latest = self.latest_phase.lock().unwrap_or_else(PoisonError::into_inner);
        let entered = latest.replace(progress.phase) != Some(progress.phase);
        self.hear(|heard| {
            if entered && heard.phases.len() < PHASES_MAX {
                heard.phases.push_back(progress.phase);
            }
            heard.progress = Some(progress.clone());
        });
    }

    fn warning(&self, text: &str) {
        self.hear(|heard| {
            if heard.warnings.len() >= WARNINGS_MAX {
                heard.warnings.remove(WARNINGS_MAX / 2);
            }
            heard.warnings.push(text.to_owned());
        });
    }

    fn holding(&self, hold: &Hold) {
        self.hear(|heard| heard.hold = Some(hold.clone()));
    }

    fn released(&self, lease: &str) {
        self.hear(|heard| heard.released = Some(lease.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(phase: Phase) -> Progress {
        Progress { phase, vm_path: None, files: Vec::new() }
    }

    #[test]
    fn no_phase_is_lost_between_two_looks_and_none_is_told_twice() {
        let listener = Listener::new();
        for phase in [Phase::Connecting, Phase::Planning, Phase::Planning, Phase::Copying] {
            listener.progress(&progress(phase));
        }
        assert_eq!(listener.take().phases, [Phase::Connecting, Phase::Planning, Phase::Copying]);
        listener.progress(&progress(Phase::Copying));
        let heard = listener.take();
        assert_eq!((heard.phases.len(), heard.progress.map(|seen| seen.phase)), (0, Some(Phase::Copying)));
    }

    #[test]
    fn of_many_warnings_the_first_and_the_newest_are_kept() {
        let listener = Listener::new();
        (0..1000).for_each(|number| listener.warning(&number.to_string()));
        let warnings = listener.take().warnings;
        assert_eq!((warnings.len(), warnings[0].as_str(), warnings[99].as_str()), (100, "0", "999"));
    }
}
