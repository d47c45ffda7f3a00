//! Forgets jobs that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::clock::ago;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(600);

/// Jobs that are forgotten in one write, so that others are not kept waiting.
const AT_ONCE_MAX: u32 = 500;

/// Looks now and then, until the daemon stops.
pub(super) fn start(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let stopping = shared.stopping.clone();
    shared.tasks.clone().spawn(async move {
        loop {
            forget(&shared).await;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stopping.cancelled() => return,
            }
        }
    });
}

async fn forget(shared: &Shared) {
    let keep = shared.settings.keep;
    loop {
        match shared.store.expire(keep.jobs_max, ago(keep.age_max), AT_ONCE_MAX).await {
            Ok(forgotten) if forgotten == u64::from(AT_ONCE_MAX) && !shared.stopping.is_cancelled() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "old jobs are not forgotten");
                return;
            }
        }
    }
}
