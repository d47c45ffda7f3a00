//! Removing a snapshot, with the patience that it takes.
//!
//! A VM is busy while a lease of it ends or a backup runs, so a refusal for its state is tried again.
//! Once the server has begun, the merge may take hours on a busy disk; it needs no client.
//!
//! After a stop every call is bounded by half a minute, and nothing is tried again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::tree::list;
use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::task::{self, Waiting};
use crate::wire::MoRef;
use crate::wire::generated::RemoveSnapshotTask;

/// Longest wait for one removal.
const REMOVE_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// How often a removal is begun, and the pause before the second time; it doubles.
const TRIES: u32 = 6;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Bound on the calls that begin a removal and look after it, so that a stop is not held up.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// What became of a snapshot that is no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The VM's disks still have links that the server could not merge: it needs a consolidation.
    pub consolidation_needed: bool,
    /// The server has begun and was not waited for to the end.
    pub goes_on: bool,
}

/// Removes one snapshot, not those that build on it. One attempt.
///
/// # Errors
/// What the server says, at once or in the task; [`ErrorKind::NotFound`] when it is gone already.
pub async fn remove(session: &Session, snapshot: &MoRef, name: &str, give_up: &CancellationToken) -> Result<Removed> {
    let doing = format!("remove the snapshot `{name}`");
    let call = RemoveSnapshotTask { this: snapshot.clone(), remove_children: false, consolidate: Some(true) };
    let task = session.call_within(snapshot, &call, CALL_LIMIT).await;
    let task = task.map_err(|error| error.context(doing.as_str()))?;
    let never = CancellationToken::new();
    // A removal is not cancelled by us: half merged it would have to be begun again.
    let waiting = Waiting { doing: &doing, limit: REMOVE_LIMIT, cancel: &never };
    tokio::select! {
        ended = task::wait(session, &task, waiting, |_| {}) => ended.map(|_| Removed::default()),
        () = give_up.cancelled() => Ok(Removed { goes_on: true, ..Removed::default() }),
    }
}

/// Removes one snapshot of `vm`, whatever holds the VM for a while or breaks on the way.
pub(super) async fn insist(
    session: &Session,
    vm: &MoRef,
    snapshot: &MoRef,
    name: &str,
    give_up: &CancellationToken,
) -> Result<Removed> {
    let mut delay = RETRY_DELAY;
    let mut attempt = 1;
    loop {
        let error = match remove(session, snapshot, name, give_up).await {
            Ok(removed) if removed.goes_on => return Ok(removed),
            Ok(removed) => {
                return Ok(Removed { consolidation_needed: needs_consolidation(session, vm).await, ..removed });
            }
            Err(error) => error,
        };
        if is_gone(session, vm, snapshot, &error).await {
            return Ok(Removed { consolidation_needed: needs_consolidation(session, vm).await, ..Removed::default() });
        }
        // Nobody lets us in any more, and accounts lock; nor does a missing privilege come by waiting.
        let hopeless = matches!(error.kind(), ErrorKind::Login | ErrorKind::Permission);
        if hopeless || attempt >= TRIES || give_up.is_cancelled() {
            return Err(error);
        }
        warn!(%name, attempt, %error, "removing the snapshot again");
        attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = give_up.cancelled() => return Err(error),
        }
        delay *= 2;
    }
}

/// After an error: the server may have done what was asked, or somebody else has.
async fn is_gone(session: &Session, vm: &MoRef, snapshot: &MoRef, error: &Error) -> bool {
    if error.kind() == ErrorKind::Login {
        return false;
    }
    match soon(list(session, vm)).await {
        Ok(found) => found.iter().all(|found| found.moref != *snapshot),
        Err(error) => {
            debug!(%error, "cannot look at the snapshots");
            false
        }
    }
}

/// Returns whether the server says that links are left to merge; one that does not say has none.
async fn needs_consolidation(session: &Session, vm: &MoRef) -> bool {
    let path = "runtime.consolidationNeeded";
    let said = soon(properties::read(session, vm, &[path])).await.and_then(|object| object.get::<bool>(path));
    said.unwrap_or_else(|error| {
        debug!(%error, "the server does not say whether a consolidation is needed");
        None
    }) == Some(true)
}

/// Bounds a read on a way out: the patience of a read is that of somebody who waits for its result.
pub(super) async fn soon<T>(read: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| {
        let context = format!("look after a snapshot: no answer within {} s", CALL_LIMIT.as_secs());
        Err(Error::new(ErrorKind::Unreachable, context))
    };
    tokio::time::timeout(CALL_LIMIT, read).await.unwrap_or_else(late)
}
