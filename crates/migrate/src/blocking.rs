//! Work that blocks, run away from the threads that wait.

use tokio_util::sync::CancellationToken;
use transfer::Cancel;

use crate::{Error, ErrorKind, Result, rights};

/// Runs `work` on a blocking thread, with the rights of the job. When `cancel` comes the work is told by its flag; its end is waited
/// for all the same, so that nothing of it goes on behind the caller's back.
pub(crate) async fn stoppable<T: Send + 'static>(
    cancel: CancellationToken,
    work: impl FnOnce(&Cancel) -> Result<T> + Send + 'static,
) -> Result<T> {
    let flag = Cancel::new();
    let seen = flag.clone();
    let rights = rights::at_entry();
    let mut work = tokio::task::spawn_blocking(move || rights.run(|| work(&seen))?);
    let done = tokio::select! {
        done = &mut work => done,
        () = cancel.cancelled() => {
            flag.cancel();
            work.await
        }
    };
    done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, "a worker ended unexpectedly").with_source(error)))
}
