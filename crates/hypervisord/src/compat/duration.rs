//! Durations as Go writes them, and as its JSON has them.

use std::time::Duration;

/// Returns `duration` as Go shows it: `1h2m3s`, `1m23.005s`, `250ms`, `0s`. Parts of a millisecond are cut.
pub fn text(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 && ms > 0 {
        return format!("{ms}ms");
    }
    let mut shown = String::new();
    if seconds >= 3600 {
        shown.push_str(&format!("{}h", seconds / 3600));
    }
    if seconds >= 60 {
        shown.push_str(&format!("{}m", seconds / 60 % 60));
    }
    shown.push_str(&(seconds % 60).to_string());
    if ms > 0 {
        shown.push_str(format!(".{ms:03}").trim_end_matches('0'));
    }
    shown.push('s');
    shown
}

/// Returns `duration` in nanoseconds, as far as 64 bits reach (292 years).
pub fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_as_go_shows_them() {
        for (ms, expected) in [
            (0, "0s"),
            (250, "250ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (83_005, "1m23.005s"),
            (95_000, "1m35s"),
            (3_600_000, "1h0m0s"),
            (3_723_000, "1h2m3s"),
            (360_000_010, "100h0m0.01s"),
        ] {
            assert_eq!(text(Duration::from_millis(ms)), expected);
        }
        assert_eq!(text(Duration::from_micros(999)), "0s");
    }

    #[test]
    fn nanoseconds_end_where_the_type_ends() {
        assert_eq!(nanoseconds(Duration::from_millis(3)), 3_000_000);
        assert_eq!(nanoseconds(Duration::MAX), i64::MAX);
    }
}
