//! Waits for a task of the server: the result of every call whose name ends in `_Task`.
//!
//! ```text
//!  queued ─► running (progress 0…100) ─┬─► success   with a result
//!                                      └─► error     a fault, perhaps after minutes of progress
//! ```
//!
//! A refusal at once is a fault of the call; a late one stands in the task. Both become the same kind of
//! [`Error`]. A task is no object of the session: a wait goes on over a login, and ending the wait ends
//! nothing on the server; [`cancel`] asks for that.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::{Error, ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::wire::generated::{CancelTask, TaskInfo, TaskInfoState};
use crate::wire::{Decode, MoRef, Value};

/// Pause after a wait whose connection broke.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long a stop waits for a task to end by itself or by its cancellation.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What to wait for, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// Completes the sentence "failed to …"; stands in front of every error.
    pub doing: &'a str,
    /// Longest wait. The task itself goes on.
    pub limit: Duration,
    /// Asks for the end of the task, and soon for that of the wait.
    pub cancel: &'a CancellationToken,
}

/// Waits until `task` has succeeded and returns what it says. `progress` hears percentages.
///
/// After `cancel` the task is asked to end and waited for half a minute: it may still succeed, and what
/// it made is then the caller's, as if nobody had asked.
///
/// # Errors
/// The task's own fault; [`ErrorKind::Unreachable`] when it is not done within the limit or the server
/// is gone; [`ErrorKind::Cancelled`] when it has not ended by the end of that half minute.
pub async fn wait(session: &Session, task: &MoRef, waiting: Waiting<'_>, progress: impl FnMut(u8)) -> Result<TaskInfo> {
    outcome(ended(session, task, waiting, progress).await?, waiting.doing)
}

/// Waits until `task` has ended, well or not, as [`wait`] does. So an error says nothing about the task: it may
/// be going on, and it may have succeeded.
///
/// # Errors
/// As [`wait`], but for the task's own fault.
pub(crate) async fn ended(
    session: &Session,
    task: &MoRef,
    waiting: Waiting<'_>,
    mut progress: impl FnMut(u8),
) -> Result<TaskInfo> {
    let late = |error: Error| error.context(waiting.doing);
    tokio::select! {
        info = followed(session, task, waiting.limit, &mut progress) => return info.map_err(late),
        () = waiting.cancel.cancelled() => {}
    }
    let deadline = Instant::now() + STOP_LIMIT.min(waiting.limit);
    match timeout_at(deadline, cancel(session, task)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%task, %error, "the task goes on"),
        Err(_) => debug!(%task, "the server does not say whether the task ends"),
    }
    let left = deadline.saturating_duration_since(Instant::now());
    match followed(session, task, left, &mut progress).await {
        Err(error) if error.kind() == ErrorKind::Unreachable => {
            let context = format!("{}: stopped; {task} goes on on the server", waiting.doing);
            Err(Error::new(ErrorKind::Cancelled, context).with_source(error))
        }
        info => info.map_err(late),
    }
}

/// Asks the server to end a task. Not every task can be ended.
///
/// # Errors
/// What the server says.
pub async fn cancel(session: &Session, task: &MoRef) -> Result<()> {
    session.call(task, &CancelTask { this: task.clone() }).await
}

/// Returns the result of a task that has succeeded.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it has none, or one of another type.
pub fn result<T: Value>(info: &TaskInfo) -> Result<T> {
    let context = || format!("read the result of {}", info.task);
    let any = info.result.as_ref().ok_or_else(|| Error::new(ErrorKind::Protocol, context()))?;
    any.get(&mut Decode::default()).map_err(|error| Error::new(ErrorKind::Protocol, context()).with_source(error))
}

/// Returns what a task that has ended says, or its fault.
pub(crate) fn outcome(info: TaskInfo, doing: &str) -> Result<TaskInfo> {
    match (&info.state, &info.error) {
        (TaskInfoState::Success, _) => Ok(info),
        (_, Some(fault)) => Err(Error::from_fault(doing, fault)),
        (_, None) => Err(Error::new(ErrorKind::Fault, format!("{doing}: the task failed and gives no reason"))),
    }
}

/// Follows the task to its end, whatever becomes of connections and sessions meanwhile.
async fn followed(session: &Session, task: &MoRef, limit: Duration, progress: &mut impl FnMut(u8)) -> Result<TaskInfo> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut shown = None;
        let has_ended = |object: &Object| {
            let info = object.get::<TaskInfo>("info");
            let percent = info.as_ref().ok().and_then(|info| info.as_ref()?.progress);
            if let Some(percent) = percent.filter(|percent| shown.replace(*percent) != Some(*percent)) {
                progress(u8::try_from(percent.clamp(0, 100)).unwrap_or_default());
            }
            // What cannot be read ends the wait too; it is read once more below, and is the error.
            info.map_or(true, |info| info.is_some_and(|info| is_final(&info)))
        };
        match properties::wait_until(session, task, &["info"], left, has_ended).await {
            Ok(object) => return object.require("info"),
            Err(error) if error.kind() != ErrorKind::Unreachable || Instant::now() + RETRY_DELAY >= deadline => {
                return Err(error);
            }
            Err(error) => debug!(%task, %error, "waiting again"),
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Returns true when the task has ended.
pub(crate) fn is_final(info: &TaskInfo) -> bool {
    matches!(info.state, TaskInfoState::Success | TaskInfoState::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generated::{ApplicationQuiesceFault, LocalizedMethodFault};

    #[test]
    fn a_late_error_is_the_error_of_the_call_with_its_fault() {
        let fault = LocalizedMethodFault {
            fault: ApplicationQuiesceFault::default().into(),
            localized_message: Some("the guest did not quiesce".to_owned()),
        };
        let info = TaskInfo { state: TaskInfoState::Error, error: Some(fault), ..TaskInfo::default() };
        let error = outcome(info, "make the snapshot `s`").unwrap_err();
        assert_eq!(error.to_string(), "make the snapshot `s`");
        assert_eq!(error.fault().unwrap().type_name(), "ApplicationQuiesceFault");
    }

    #[test]
    fn a_task_without_a_reason_still_says_what_failed() {
        let info = TaskInfo { state: TaskInfoState::Error, ..TaskInfo::default() };
        assert!(outcome(info, "remove it").unwrap_err().to_string().starts_with("remove it: "));
    }
}
