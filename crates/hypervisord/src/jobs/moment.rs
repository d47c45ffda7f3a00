//! Moments that outlive a process, and how long ago they were.
//!
//! A wall clock may be set back or forth between the writing and the reading. The kernel's clock that
//! counts from boot cannot, so a moment has both, and the boot that its second part counts from. Within one
//! boot the wall clock is not asked at all.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Names the present boot of this machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since 1970 by the wall clock.
    pub wall_ms: i64,
    /// Which boot `boot_ms` counts from; empty where the system does not say.
    #[serde(default)]
    pub boot: String,
    /// Milliseconds since that boot, sleep included.
    #[serde(default)]
    pub boot_ms: u64,
}

impl Moment {
    /// Returns the present.
    pub fn now() -> Self {
        let since_boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        let millis = u64::try_from(since_boot.tv_nsec / 1_000_000).unwrap_or(0);
        Self {
            wall_ms: jiff::Timestamp::now().as_millisecond(),
            boot: std::fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default(),
            boot_ms: seconds * 1000 + millis,
        }
    }

    /// Returns how long after this moment `now` is. A wall clock that runs backwards gives zero.
    pub fn until(&self, now: &Self) -> Duration {
        let same_boot = !self.boot.is_empty() && self.boot == now.boot;
        let millis = match same_boot {
            true => now.boot_ms.saturating_sub(self.boot_ms),
            false => u64::try_from(now.wall_ms.saturating_sub(self.wall_ms)).unwrap_or(0),
        };
        Duration::from_millis(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot: &str, boot_ms: u64, wall_ms: i64) -> Moment {
        Moment { wall_ms, boot: boot.into(), boot_ms }
    }

    #[test]
    fn within_one_boot_the_wall_clock_may_jump_as_it_likes() {
        const DAY_MS: i64 = 86_400_000;
        let then = moment("a", 1_000, 0);
        for wall_ms in [-DAY_MS, 0, DAY_MS] {
            assert_eq!(then.until(&moment("a", 3_500, wall_ms)), Duration::from_millis(2_500));
        }
    }

    #[test]
    fn over_a_boot_the_wall_clock_has_to_do() {
        let then = moment("a", 9_000, 10_000);
        assert_eq!(then.until(&moment("b", 5, 70_000)), Duration::from_secs(60));
        assert_eq!(then.until(&moment("b", 5, 4_000)), Duration::ZERO);
        let unknown = moment("", 9_000, 10_000);
        assert_eq!(unknown.until(&moment("", 99_000, 11_000)), Duration::from_secs(1));
    }

    #[test]
    fn the_present_goes_on() {
        let then = Moment::now();
        assert!(!then.boot.is_empty() && then.boot_ms > 0);
        assert!(then.until(&Moment::now()) < Duration::from_secs(3600));
    }
}
