//! Submitting, reading, stopping and forgetting jobs.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use hyper_api::{
    BatchAnswer, BatchBody, BatchReply, Job, JobId, JobList, JobRequest, JobState, LogList, Problem, ProblemKind, Role,
};
use serde::Deserialize;

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::caller::Caller;
use crate::jobs::{Asked, Submission};
use crate::problems::{problem, refusal};
use crate::store::Filter;

/// The largest batch, in bytes: ten thousand jobs with long paths.
const BATCH_BYTES_MAX: usize = 10 << 20;

/// The largest batch, in jobs.
const BATCH_JOBS_MAX: usize = 20_000;

/// Jobs on a page unless the caller says how many, and at most.
const PAGE_JOBS: u32 = 100;
const PAGE_JOBS_MAX: u32 = 1000;

/// The header by which a repeated submit is known, and the longest key.
const KEY_HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 255;

pub(super) fn routes() -> Vec<Route> {
    let (read, operate) = (Need::Role(Role::Read), Need::Role(Role::Operate));
    vec![
        Route::get("/api/v1/jobs", read, list),
        Route::post("/api/v1/jobs", operate, submit),
        Route::post("/api/v1/jobs/batch", operate, batch).takes_bytes(BATCH_BYTES_MAX),
        Route::get("/api/v1/jobs/{id}", read, one),
        Route::patch("/api/v1/jobs/{id}", operate, change),
        Route::delete("/api/v1/jobs/{id}", operate, delete),
        Route::get("/api/v1/jobs/{id}/logs", read, logs),
        Route::post("/api/v1/jobs/{id}/cancel", operate, cancel),
        Route::post("/api/v1/jobs/{id}/resume", operate, resume),
        Route::post("/api/v1/jobs/{id}/retry", operate, retry),
    ]
}

type Body = Result<Bytes, BytesRejection>;

fn received(body: Body) -> Result<Bytes, Box<Problem>> {
    body.map_err(|error| {
        let kind = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
            _ => ProblemKind::Usage,
        };
        refusal(kind, format!("receive the request: {}", error.body_text()))
    })
}

fn unreadable(what: &str, error: &serde_json::Error) -> Box<Problem> {
    refusal(ProblemKind::Usage, format!("read {what}: {error}"))
}

/// Returns the key of a submit with the bytes that it stands for.
fn key(headers: &HeaderMap, body: &Bytes) -> Result<Option<(String, Vec<u8>)>, Box<Problem>> {
    let Some(value) = headers.get(KEY_HEADER) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some((key.to_owned(), body.to_vec()))),
        _ => Err(refusal(ProblemKind::Usage, "read the idempotency key: it is no printable text of 1 to 255 bytes")),
    }
}

async fn submit(
    state: extract::State<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Refusal> {
    let body = received(body)?;
    let request = JobRequest::from_request(&body).map_err(|error| unreadable("the job", &error))?;
    let submission = Submission { key: key(&headers, &body)?, ..Submission::one(request, caller) };
    let answer = state.jobs.submit(submission).await?.pop();
    let (job, is_new) = answer.ok_or_else(|| problem(ProblemKind::Internal, "accept a job: there is no answer"))??;
    Ok(created(job, if is_new { StatusCode::CREATED } else { StatusCode::OK }))
}

fn created(job: Job, status: StatusCode) -> impl IntoResponse {
    let location = format!("/api/v1/jobs/{}", job.id);
    (status, [(header::LOCATION, location)], Json(job))
}

async fn batch(
    state: extract::State<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BatchReply>, Refusal> {
    let body = received(body)?;
    let batch: BatchBody = serde_json::from_slice(&body).map_err(|error| unreadable("the batch", &error))?;
    match batch.jobs.len() {
        0 => return Err(problem(ProblemKind::Usage, "read the batch: it has no jobs").into()),
        count if count > BATCH_JOBS_MAX => {
            let why = format!("read the batch: {count} jobs are more than {BATCH_JOBS_MAX}");
            return Err(problem(ProblemKind::TooLarge, why).into());
        }
        _ => {}
    }
    let read = |job| JobRequest::from_value(job).map(Asked::from).map_err(|error| unreadable("the job", &error));
    let jobs = batch.jobs.into_iter().map(read).collect();
    let answers = state.jobs.submit(Submission { jobs, caller, key: key(&headers, &body)? }).await?;
    let mut reply = BatchReply::default();
    for answer in answers {
        reply.jobs.push(match answer {
            Ok((job, _)) => {
                reply.accepted += 1;
                BatchAnswer::Accepted { id: job.id }
            }
            Err(problem) => {
                reply.refused += 1;
                BatchAnswer::Refused { problem: *problem }
            }
        });
    }
    Ok(Json(reply))
}

/// Which jobs a list is to have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// States, separated by commas.
    #[serde(default)]
    state: Option<String>,
    /// A part of the VM's path or of the source's.
    #[serde(default)]
    vm: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
    /// What the page before said.
    #[serde(default)]
    cursor: Option<String>,
}

impl Wanted {
    fn filter(self) -> Result<Filter, Box<Problem>> {
        let refuse = |why: String| refusal(ProblemKind::Usage, format!("list the jobs: {why}"));
        let words = self.state.iter().flat_map(|words| words.split(',')).filter(|word| !word.is_empty());
        let state = |word: &str| {
            serde_json::from_value::<JobState>(word.into()).map_err(|_| refuse(format!("`{word}` is no state")))
        };
        let states = words.map(state).collect::<Result<_, _>>()?;
        let place = |cursor: String| match cursor.parse() {
            Ok(place) if i64::try_from(place).is_ok() => Ok(place),
            _ => Err(refuse("the cursor is none that a page has given".to_owned())),
        };
        let before = self.cursor.map(place).transpose()?;
        let limit = self.limit.unwrap_or(PAGE_JOBS);
        if !(1..=PAGE_JOBS_MAX).contains(&limit) {
            return Err(refuse(format!("the limit is not between 1 and {PAGE_JOBS_MAX}")));
        }
        Ok(Filter { states, vm: self.vm.filter(|vm| !vm.is_empty()), before, limit })
    }
}

async fn list(
    state: extract::State<State>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<JobList>, Refusal> {
    let Query(wanted) =
        wanted.map_err(|error| problem(ProblemKind::Usage, format!("list the jobs: {}", error.body_text())))?;
    let listed = state.jobs.list(wanted.filter()?).await?;
    let total = listed.jobs.len().try_into().unwrap_or(u64::MAX);
    Ok(Json(JobList { jobs: listed.jobs, total, next: listed.next.map(|next| next.to_string()) }))
}

async fn one(state: extract::State<State>, Path(id): Path<String>) -> Result<Json<Job>, Refusal> {
    Ok(Json(state.jobs.job(&JobId::new(id)).await?))
}

/// What can be changed of a job that was accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    priority: i32,
}

async fn change(state: extract::State<State>, Path(id): Path<String>, body: Body) -> Result<Json<Job>, Refusal> {
    let changes: Changes =
        serde_json::from_slice(&received(body)?).map_err(|error| unreadable("the change", &error))?;
    hyper_api::check_priority(changes.priority)
        .map_err(|why| problem(ProblemKind::Usage, format!("change the job: {why}")))?;
    Ok(Json(state.jobs.prioritise(&JobId::new(id), changes.priority).await?))
}

async fn delete(state: extract::State<State>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    state.jobs.delete(&JobId::new(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much of a log is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    #[serde(default)]
    tail: Option<usize>,
}

async fn logs(
    state: extract::State<State>,
    Path(id): Path<String>,
    tail: Result<Query<Tail>, QueryRejection>,
) -> Result<Json<LogList>, Refusal> {
    let Query(Tail { tail }) =
        tail.map_err(|error| problem(ProblemKind::Usage, format!("read the log: {}", error.body_text())))?;
    Ok(Json(LogList { lines: state.jobs.lines(&JobId::new(id), tail).await? }))
}

async fn cancel(
    state: extract::State<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Job>), Refusal> {
    Ok((StatusCode::ACCEPTED, Json(state.jobs.cancel(&JobId::new(id), &caller).await?)))
}

async fn resume(
    state: extract::State<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Job>), Refusal> {
    Ok((StatusCode::ACCEPTED, Json(state.jobs.resume(&JobId::new(id), &caller).await?)))
}

async fn retry(
    state: extract::State<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    Ok(created(state.jobs.retry(&JobId::new(id), caller).await?, StatusCode::CREATED))
}
