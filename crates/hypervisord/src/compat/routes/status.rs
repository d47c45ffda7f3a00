//! The daemon itself.

use axum::response::Response;
use hyper_api::JobState;

use super::super::replies::{Capabilities, Counts, DaemonStatus, Health};
use super::super::{duration, reply};
use super::ask::{Ask, now};
use super::desk;

pub(super) async fn health() -> Response {
    reply::json(axum::http::StatusCode::OK, &Health { status: "healthy", timestamp: now().timestamp() })
}

pub(super) async fn status(ask: Ask) -> Response {
    let counted = desk::counts(&ask.state).await;
    ask.answer(counted.map(|counts| DaemonStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: duration::text(ask.state.compat.uptime()),
        counts,
        timestamp: ask.view.timestamp(),
    }))
}

pub(super) async fn capabilities(ask: Ask) -> Response {
    ask.answer(Ok(Capabilities::new(ask.view.timestamp())))
}

/// Counts jobs by their states.
pub(super) fn count(states: impl IntoIterator<Item = JobState>) -> Counts {
    states.into_iter().fold(Counts::default(), |mut counts, state| {
        counts.total_jobs += 1;
        *match state {
            JobState::Pending => &mut counts.pending_jobs,
            JobState::Running => &mut counts.running_jobs,
            JobState::Completed => &mut counts.completed_jobs,
            JobState::Failed => &mut counts.failed_jobs,
            JobState::Cancelled => &mut counts.cancelled_jobs,
        } += 1;
        counts
    })
}
