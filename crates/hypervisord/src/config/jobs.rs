//! How many jobs at once, how often again, how long remembered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::jobs::queue::Limits;
use crate::jobs::settings::{Keep, Settings};

const SECONDS_PER_DAY: u64 = 86_400;

/// How jobs are queued, begun again and remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// Jobs at work at once.
    pub running: u32,
    /// Of them, of one source.
    pub per_source: u32,
    /// Of them, of VMs on one host.
    pub per_host: u32,
    /// How often in a row a job that failed in a way that may pass is begun again.
    pub retries: u32,
    /// Seconds before the first of these.
    pub retry_seconds: u32,
    /// Ended jobs that are remembered.
    pub keep: u32,
    /// Days that they are remembered.
    pub keep_days: u32,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { running: 4, per_source: 4, per_host: 4, retries: 3, retry_seconds: 10, keep: 200_000, keep_days: 365 }
    }
}

impl Jobs {
    /// Returns the limits of the queue.
    pub fn limits(&self) -> Limits {
        let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        Limits {
            running_max: number(self.running),
            per_source_max: number(self.per_source),
            per_host_max: number(self.per_host),
        }
    }

    /// Returns the settings of a daemon.
    pub fn settings(&self) -> Settings {
        Settings {
            limits: self.limits(),
            retries_max: self.retries,
            retry_pause: Duration::from_secs(self.retry_seconds.into()),
            keep: Keep {
                jobs_max: self.keep.into(),
                age_max: Duration::from_secs(u64::from(self.keep_days) * SECONDS_PER_DAY),
            },
            ..Settings::daemon()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_does_not_say_is_what_the_daemon_does_by_itself() {
        assert_eq!(Jobs::default().settings(), Settings::daemon());
    }
}
