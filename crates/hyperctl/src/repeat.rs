//! Calls that are made again when the daemon does not answer: one that is being restarted must not end a wait of days
//! (contract A.2).

use std::time::Duration;

use hyper_api::client::{Error, ErrorKind};
use tokio::time::Instant;

/// How long a call is repeated before it is given up.
const REPEAT_TIME_MAX: Duration = Duration::from_secs(15);

/// Pause before a call is repeated.
const REPEAT_DELAY: Duration = Duration::from_millis(500);

/// Makes a call until it is answered, for a while. `attempt` counts from 0.
pub(crate) async fn insist<T, F>(mut call: impl FnMut(u32) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + REPEAT_TIME_MAX;
    let mut attempt = 0;
    loop {
        match call(attempt).await {
            Err(error) if is_worth_repeating(&error) && Instant::now() + REPEAT_DELAY < deadline => {}
            result => return result,
        }
        attempt += 1;
        tokio::time::sleep(REPEAT_DELAY).await;
    }
}

/// Returns true when nobody has answered, or a proxy in somebody's place.
pub(crate) fn is_worth_repeating(error: &Error) -> bool {
    match error.kind() {
        // A door that is closed to this user does not open by knocking.
        ErrorKind::Connect => error.io_kind() != Some(std::io::ErrorKind::PermissionDenied),
        ErrorKind::Timeout | ErrorKind::Protocol => true,
        // A problem of ours with such a status is about the source, and is an answer.
        ErrorKind::Refused => error.problem().is_none() && matches!(error.status(), Some(502..=504)),
        _ => false,
    }
}
