//! The events of one job, as server-sent events.
//!
//! Each event is `job`, its id the picture's revision, its data the whole picture. The first comes at
//! once, then one at every change of state or phase, and of anything else at most one per
//! [`SPACING`]: pictures in between are skipped, never queued, so that a slow reader costs nothing.
//! The stream ends after the picture of a job that has ended. With `Last-Event-ID` pictures up to
//! that revision are left out. A comment every [`KEEP_ALIVE`] shows that the daemon lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{self, Path};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hyper_api::{Job, JobId, Role, sse};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::reply::Refusal;
use super::{Need, Route, State};

/// The least time between two pictures of the same state and phase.
const SPACING: Duration = Duration::from_millis(100);

/// The longest silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/jobs/{id}/events", Need::Role(Role::Read), events)]
}

async fn events(state: extract::State<State>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let pictures = state.jobs.watch(&JobId::new(id)).await?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let follower = Follower { pictures, seen, last: None, ended: false };
    let body = Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    }));
    let headers = [(header::CONTENT_TYPE, sse::MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// One reader of one job.
struct Follower {
    pictures: watch::Receiver<Arc<Job>>,
    /// The revision that the reader has already.
    seen: Option<u64>,
    /// The picture sent last, and when.
    last: Option<(Arc<Job>, Instant)>,
    ended: bool,
}

impl Follower {
    /// Returns the next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        while !self.ended {
            let latest = Arc::clone(&self.pictures.borrow_and_update());
            let is_news = self.seen.is_none_or(|seen| latest.revision > seen);
            if is_news {
                if let Some(later) = self.not_before(&latest) {
                    // More may come until then; the loop takes whatever is the latest at that time.
                    let _changed_or_due = timeout_at(later, self.pictures.changed()).await;
                    continue;
                }
                return self.send(&latest);
            }
            if latest.state.is_final() {
                // The reader has seen it end before.
                return None;
            }
            match timeout(KEEP_ALIVE, self.pictures.changed()).await {
                Ok(Ok(())) => {}
                // The job's task is gone without an end; the reader learns it by the end of the stream.
                Ok(Err(_)) => return None,
                Err(_) => return Some(sse::KEEP_ALIVE.to_owned()),
            }
        }
        None
    }

    /// Returns the moment before which `latest` is not worth an event; `None` when it is due.
    fn not_before(&self, latest: &Job) -> Option<Instant> {
        let (last, at) = self.last.as_ref()?;
        let due = *at + SPACING;
        (last.state == latest.state && last.phase == latest.phase && Instant::now() < due).then_some(due)
    }

    fn send(&mut self, job: &Arc<Job>) -> Option<String> {
        let data = serde_json::to_string(&**job).ok()?;
        self.seen = Some(job.revision);
        self.ended = job.state.is_final();
        self.last = Some((Arc::clone(job), Instant::now()));
        Some(sse::write(&job.revision.to_string(), "job", &data))
    }
}
