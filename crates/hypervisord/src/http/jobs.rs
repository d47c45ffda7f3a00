//! Submitting, reading and cancelling jobs.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{self, Path};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hyper_api::{Job, JobId, JobList, JobSpec, ProblemKind, Role};

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::caller::Caller;
use crate::problems::problem;

pub(super) fn routes() -> Vec<Route> {
    let (read, operate) = (Need::Role(Role::Read), Need::Role(Role::Operate));
    vec![
        Route::get("/api/v1/jobs", read, list),
        Route::post("/api/v1/jobs", operate, submit),
        Route::get("/api/v1/jobs/{id}", read, one),
        Route::post("/api/v1/jobs/{id}/cancel", operate, cancel),
    ]
}

async fn submit(
    state: extract::State<State>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let body = body.map_err(|error| problem(ProblemKind::Usage, format!("receive the job: {}", error.body_text())))?;
    let spec =
        JobSpec::from_request(&body).map_err(|error| problem(ProblemKind::Usage, format!("read the job: {error}")))?;
    let job = state.jobs.submit(&state.configured.entitled(&caller.who, &spec)?, spec)?;
    let location = format!("/api/v1/jobs/{}", job.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Job::clone(&job))))
}

async fn list(state: extract::State<State>) -> Json<JobList> {
    let jobs: Vec<_> = state.jobs.list().iter().map(|job| Job::clone(job)).collect();
    Json(JobList { total: jobs.len().try_into().unwrap_or(u64::MAX), jobs })
}

async fn one(state: extract::State<State>, Path(id): Path<String>) -> Result<Json<Job>, Refusal> {
    let pictures = state.jobs.watch(&JobId::new(id))?;
    let job = Job::clone(&pictures.borrow());
    Ok(Json(job))
}

async fn cancel(state: extract::State<State>, Path(id): Path<String>) -> Result<(StatusCode, Json<Job>), Refusal> {
    let job = state.jobs.cancel(&JobId::new(id))?;
    Ok((StatusCode::ACCEPTED, Json(Job::clone(&job))))
}
