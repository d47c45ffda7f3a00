//! The events of all jobs, as server-sent events.
//!
//! Each event is `job`, its data the job's whole picture, its id the place of the job's newest entry in the order of
//! all entries. A change of state or step is an event each, progress at most one per job and [`SPACING`], under the id
//! before it. A reader that comes back with `Last-Event-ID` gets each job that has changed since, once, as it is
//! now; so does one that was too slow. Without that header the stream begins with what changes next. It never ends
//! by itself; a comment every [`KEEP_ALIVE`] shows that the daemon lives.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hyper_api::{JobId, Role, sse};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::jobs::{Change, Jobs};

/// The least time between two pictures of a job that differ in progress only.
const SPACING: Duration = Duration::from_millis(500);

/// The longest silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Jobs that are read from the store at once for a reader that has missed changes.
const CATCH_UP_JOBS: u32 = 200;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/events", Need::Role(Role::Read), events)]
}

async fn events(state: extract::State<State>, headers: HeaderMap) -> Result<Response, Refusal> {
    let (changes, newest) = state.jobs.changes().await?;
    let seen: Option<u64> = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let follower = Follower {
        jobs: state.jobs.clone(),
        changes,
        // A place beyond the newest is that of another store; nothing was missed of this one.
        seen: seen.map_or(newest, |seen| seen.min(newest)),
        missed: seen.is_some(),
        ready: VecDeque::new(),
        shown: HashMap::new(),
    };
    let body = Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    }));
    let headers = [(header::CONTENT_TYPE, sse::MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// One reader of all jobs.
struct Follower {
    jobs: Jobs,
    changes: broadcast::Receiver<Change>,
    /// Place of the last entry that the reader knows of.
    seen: u64,
    /// True while there may be changes that only the store has.
    missed: bool,
    /// Read from the store, to be sent.
    ready: VecDeque<Change>,
    /// When the progress of each job at work was shown last.
    shown: HashMap<JobId, Instant>,
}

impl Follower {
    /// Returns the next piece of the stream; `None` at its end, which a reader answers by coming back.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return self.send(&change);
            }
            if self.missed {
                let missed = self.jobs.changed_since(self.seen, CATCH_UP_JOBS).await.ok()?;
                self.missed = !missed.is_empty();
                self.ready = missed.into();
                continue;
            }
            match timeout(KEEP_ALIVE, self.changes.recv()).await {
                Ok(Ok(change)) if self.is_news(&change) => return self.send(&change),
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Lagged(_))) => self.missed = true,
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(sse::KEEP_ALIVE.to_owned()),
            }
        }
    }

    fn is_news(&self, change: &Change) -> bool {
        match change.sequence {
            Some(sequence) => sequence > self.seen,
            None => self.shown.get(&change.job.id).is_none_or(|at| at.elapsed() >= SPACING),
        }
    }

    fn send(&mut self, change: &Change) -> Option<String> {
        let data = serde_json::to_string(&*change.job).ok()?;
        self.seen = self.seen.max(change.sequence.unwrap_or(0));
        if change.job.state.is_final() {
            self.shown.remove(&change.job.id);
        } else {
            self.shown.insert(change.job.id.clone(), Instant::now());
        }
        Some(sse::write(&self.seen.to_string(), "job", &data))
    }
}
