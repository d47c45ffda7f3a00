//! Whether the daemon lives, whether it takes jobs, and what it counts.

use axum::Json;
use axum::extract;
use axum::http::header;
use axum::response::IntoResponse;
use hyper_api::{JobState, ProblemKind, Role};

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::metrics;
use crate::problems::problem;

/// Where metrics are; the configuration can open it.
pub(crate) const METRICS_PATH: &str = "/metrics";

/// States in the order of a job's life.
const STATES: [JobState; 5] =
    [JobState::Pending, JobState::Running, JobState::Completed, JobState::Failed, JobState::Cancelled];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz", Need::Nothing, healthz),
        Route::get("/readyz", Need::Nothing, readyz),
        Route::get(METRICS_PATH, Need::Role(Role::Read), scrape),
    ]
}

async fn healthz() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

async fn readyz(state: extract::State<State>) -> Result<Json<serde_json::Value>, Refusal> {
    if state.jobs.is_accepting() {
        return Ok(Json(serde_json::json!({ "status": "ok" })));
    }
    Err(problem(ProblemKind::Busy, "take jobs: the daemon is stopping").into())
}

async fn scrape(state: extract::State<State>) -> Result<impl IntoResponse, Refusal> {
    let jobs = state.jobs.counts().await?;
    let counts = STATES.map(|state| (state, i64::try_from(jobs.of(state)).unwrap_or(i64::MAX)));
    let text = state.metrics.render(counts);
    let text = text.map_err(|_| problem(ProblemKind::Internal, "write the metrics"))?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text))
}
