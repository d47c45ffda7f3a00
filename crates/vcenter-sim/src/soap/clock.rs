//! Time: monotonic for deadlines, civil for the wire.
//!
//! Deadlines use tokio's clock, which tests may pause; nothing else in here knows what time it is.

use jiff::Timestamp;
pub(crate) use tokio::time::Instant;
use vsphere::wire::DateTime;

/// Returns the civil time in the form that servers send: UTC, microseconds.
pub(crate) fn civil_now() -> DateTime {
    civil(Timestamp::now())
}

/// Returns the time of a moment since 1970 that never changes, for what existed before the start.
pub(crate) fn civil_of(seconds: i64) -> DateTime {
    civil(Timestamp::from_second(seconds).unwrap_or_default())
}

fn civil(time: Timestamp) -> DateTime {
    DateTime(format!("{time:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_that_servers_send() {
        assert_eq!(civil_of(1_700_000_000).0, "2023-11-14T22:13:20.000000Z");
        assert_eq!(civil_now().0.len(), "2023-11-14T22:13:20.000000Z".len());
    }
}
