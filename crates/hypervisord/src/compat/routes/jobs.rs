//! Jobs: submitted, asked for, stopped.

use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use futures_util::future::join_all;
use hyper_api::{JobId, Problem, ProblemKind};

use super::super::job::Job;
use super::super::question::{self, Query};
use super::super::replies::{CancelResponse, Logs, QueryResponse, SubmitResponse};
use super::super::submission::{self, Unreadable, rules::Rules};
use super::ask::{Ask, received};
use super::desk::{self, Kept};
use crate::problems::refusal;

pub(super) async fn submit(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    ask.answer(submitted(&ask, body).await)
}

/// One bad job does not stop the others, and a daemon without a source rejects them one by one too: any other
/// status than 200 would cost the older client the reason per job.
async fn submitted(ask: &Ask, body: Result<Bytes, BytesRejection>) -> Result<SubmitResponse, Box<Problem>> {
    let jobs = submission::read(&received(body)?, ask.content_type.as_deref()).map_err(|error| unread(&error))?;
    let results = match &ask.state.configured.engine {
        Err(problem) => jobs.iter().map(|_| Err(problem.error.clone())).collect(),
        Ok((source, _)) => {
            let rules = Rules { export_root: ask.state.compat.export_root(), source };
            let accepted: Vec<_> = jobs.into_iter().map(|job| rules.accept(job)).collect();
            desk::submit(&ask.state, &ask.caller, accepted).await
        }
    };
    Ok(SubmitResponse::new(results, ask.view.timestamp()))
}

pub(super) async fn query(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    ask.answer(queried(&ask, body).await)
}

async fn queried(ask: &Ask, body: Result<Bytes, BytesRejection>) -> Result<QueryResponse, Box<Problem>> {
    let body = received(body)?;
    let by_pairs = body.is_empty() && (ask.is_get() || ask.query.is_some());
    let query = match by_pairs {
        true => Query::from_pairs(ask.pairs()),
        false => Query::from_body(&body, ask.content_type.as_deref()),
    };
    let query = query.map_err(|error| unread(&error))?;
    let found = desk::query(&ask.state, query).await?;
    Ok(QueryResponse::new(found.into_iter().map(|kept| shown(ask, kept)).collect(), ask.view.timestamp()))
}

pub(super) async fn cancel(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    ask.answer(cancelled(&ask, body).await)
}

async fn cancelled(ask: &Ask, body: Result<Bytes, BytesRejection>) -> Result<CancelResponse, Box<Problem>> {
    let ids = question::cancel(&received(body)?, ask.content_type.as_deref()).map_err(|error| unread(&error))?;
    let results = join_all(ids.into_iter().map(|id| async {
        let result = desk::cancel(&ask.state, &ask.caller, &JobId::new(id.clone())).await;
        (id, result.map_err(|problem| problem.error))
    }));
    Ok(CancelResponse::new(results.await, ask.view.timestamp()))
}

pub(super) async fn one(ask: Ask, Path(id): Path<String>) -> Response {
    let found = desk::find(&ask.state, &JobId::new(id)).await;
    ask.answer(found.map(|kept| shown(&ask, kept)))
}

pub(super) async fn progress(ask: Ask, Path(id): Path<String>) -> Response {
    let found = desk::find(&ask.state, &JobId::new(id)).await;
    ask.answer(found.map(|kept| {
        let shared = &ask.state.compat;
        shared.with_peak(&kept.picture, |peak| ask.view.progress(&kept.picture, peak))
    }))
}

pub(super) async fn eta(ask: Ask, Path(id): Path<String>) -> Response {
    let found = desk::find(&ask.state, &JobId::new(id)).await;
    ask.answer(found.map(|kept| {
        let shared = &ask.state.compat;
        shared.with_peak(&kept.picture, |peak| ask.view.eta(&kept.picture, peak))
    }))
}

/// Every line is returned, whatever `tail` says: the older client prints only what lies beyond the number of
/// lines that it has seen, and would fall silent once the reply stops growing.
pub(super) async fn logs(ask: Ask, Path(id): Path<String>) -> Response {
    let lines = desk::lines(&ask.state, &JobId::new(id.clone())).await;
    ask.answer(lines.map(|lines| Logs::new(id, lines, ask.view.timestamp())))
}

fn shown(ask: &Ask, kept: Kept) -> Job {
    let Kept { picture, definition } = kept;
    ask.state.compat.with_peak(&picture, |peak| ask.view.job(&picture, definition, peak))
}

fn unread(error: &Unreadable) -> Box<Problem> {
    refusal(ProblemKind::Usage, format!("read the request: {error}"))
}
