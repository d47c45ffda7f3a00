//! What a daemon's operator decides about jobs.

use std::time::Duration;

use super::queue::Limits;

/// What becomes of jobs when the process that has them ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// They go on at the next start: the daemon.
    Daemon,
    /// They belong to one command and end with it: the private child. What was cut off can be resumed.
    Private,
}

/// Which jobs that have ended are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At most so many, the newest.
    pub jobs_max: u64,
    /// At most so long after their end.
    pub age_max: Duration,
}

impl Default for Keep {
    /// What a year of migrations may need to be looked up, in some 500 MiB.
    fn default() -> Self {
        Self { jobs_max: 200_000, age_max: Duration::from_secs(365 * 86_400) }
    }
}

/// What a daemon's operator decides about jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of jobs at the end of the process.
    pub life: Life,
    /// How many are at work at once.
    pub limits: Limits,
    /// How often in a row a job that failed in a way that may pass is begun again by itself.
    pub retries_max: u32,
    /// The pause before the first of these; each further one is twice as long, up to [`RETRY_PAUSE_MAX`].
    pub retry_pause: Duration,
    /// Which ended jobs are remembered.
    pub keep: Keep,
}

/// The longest pause before a job is begun again by itself.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(600);

impl Settings {
    /// Returns what a daemon does unless it is told otherwise.
    pub fn daemon() -> Self {
        Self {
            life: Life::Daemon,
            limits: Limits::default(),
            retries_max: 3,
            retry_pause: Duration::from_secs(10),
            keep: Keep::default(),
        }
    }

    /// Returns what a private child does: its starter sees each failure and decides.
    pub fn private() -> Self {
        Self { life: Life::Private, retries_max: 0, ..Self::daemon() }
    }

    /// Returns the pause before a job is begun again that has failed so often in a row, from 1 on.
    pub fn pause(&self, failures: u32) -> Duration {
        self.retry_pause.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_twofold_and_have_an_end() {
        let settings = Settings::daemon();
        let seconds: Vec<_> = [1, 2, 3, 9, u32::MAX].map(|failures| settings.pause(failures).as_secs()).into();
        assert_eq!(seconds, [10, 20, 40, 600, 600]);
    }
}
