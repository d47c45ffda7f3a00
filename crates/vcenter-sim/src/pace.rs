//! The bandwidth of a line, as arithmetic: when does a piece arrive at so many bytes per second? The
//! caller has the clock and waits. [`profile`] knows the figures of real hosts.

pub(crate) mod profile;

use std::time::Duration;

use tokio::time::Instant;

/// Lost time that a connection may make up for: timers fire late, but a client that reads slowly must
/// not get a burst afterwards.
const CATCH_UP: Duration = Duration::from_millis(50);

/// Pieces per second at which a stream looks smooth.
const PIECES_PER_SECOND: u64 = 50;

/// Bounds of a piece: smaller ones cost more than they smooth, larger ones are not smooth.
const PIECE_BYTES_MIN: u64 = 512;
const PIECE_BYTES_MAX: u64 = 64 << 10;

/// Returns the size of the pieces in which a shaped stream is sent.
pub(crate) fn piece_bytes(bytes_per_second: u64) -> u64 {
    (bytes_per_second / PIECES_PER_SECOND).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
}

/// Returns the time that `bytes` take.
pub(crate) fn duration(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A line that passes one piece after the other.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// When the line is free again.
    free_at: Option<Instant>,
}

impl Pacer {
    /// Puts a piece on the line and returns when its last byte has passed.
    pub(crate) fn pass(&mut self, bytes: u64, bytes_per_second: u64, now: Instant) -> Instant {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let start = self.free_at.map_or(now, |free_at| free_at.max(earliest));
        let end = start + duration(bytes, bytes_per_second);
        self.free_at = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pieces_pass_one_after_the_other() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        assert_eq!(pacer.pass(1000, 1000, start), start + SECOND);
        assert_eq!(pacer.pass(500, 1000, start), start + SECOND * 3 / 2);
        assert_eq!(pacer.pass(500, 500, start + SECOND), start + SECOND * 5 / 2);
    }

    #[test]
    fn late_timers_cost_no_bandwidth_but_idle_time_gives_no_burst() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        pacer.pass(1000, 1000, start);
        let late = start + SECOND + Duration::from_millis(3);
        assert_eq!(pacer.pass(1000, 1000, late), start + SECOND * 2);
        let idle = start + SECOND * 10;
        assert_eq!(pacer.pass(1000, 1000, idle), idle + SECOND - CATCH_UP);
    }

    #[test]
    fn pieces_are_small_at_any_bandwidth() {
        assert_eq!(piece_bytes(1), 512);
        assert_eq!(piece_bytes(1_000_000), 20_000);
        assert_eq!(piece_bytes(u64::MAX), 65_536);
        assert_eq!(duration(u64::MAX, 0), Duration::from_nanos(u64::MAX));
    }
}
