//! One request, and the ways to answer it.

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::extract::rejection::BytesRejection;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper_api::{Problem, ProblemKind};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::super::job::View;
use super::super::refusal::{self, ErrorBody};
use super::super::reply;
use crate::caller::Caller;
use crate::http::{Refusal, State};
use crate::problems::problem;

/// What every handler needs of its request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) state: State,
    pub(super) caller: Caller,
    pub(super) view: View,
    pub(super) content_type: Option<String>,
    pub(super) query: Option<String>,
    method: Method,
    path: String,
}

impl FromRequestParts<State> for Ask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        Ok(Self {
            caller: Caller::from_request_parts(parts, state).await?,
            state: state.clone(),
            view: now(),
            content_type: content_type(&parts.headers),
            query: parts.uri.query().map(str::to_owned),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
        })
    }
}

impl Ask {
    /// Answers with a body, or with the error in the form that older callers notice.
    pub(super) fn answer<T: Serialize>(&self, result: Result<T, Box<Problem>>) -> Response {
        match result {
            Ok(body) => reply::json(StatusCode::OK, &body),
            Err(problem) => refused(&problem, &self.method, &self.path),
        }
    }

    /// Returns true when the request only reads.
    pub(super) fn is_get(&self) -> bool {
        self.method.is_safe()
    }

    /// Returns the pairs of the query string.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let query = self.query.as_deref().unwrap_or_default();
        let uri = format!("/?{query}").parse().unwrap_or_else(|_| Uri::from_static("/"));
        axum::extract::Query::try_from_uri(&uri).map(|axum::extract::Query(pairs)| pairs).unwrap_or_default()
    }
}

/// Returns the body, or why it was not read.
pub(super) fn received(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Box<Problem>> {
    body.map_err(|error| {
        let too_large = error.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let kind = if too_large { ProblemKind::TooLarge } else { ProblemKind::Usage };
        Box::new(problem(kind, format!("receive the request: {}", error.body_text())))
    })
}

pub(super) fn now() -> View {
    View { now: Timestamp::now(), zone: TimeZone::system() }
}

/// A type that is no text is none that is known.
fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

/// Returns an error as a reply here. The hint goes with it: there is nothing else that a caller could show.
pub fn refused(problem: &Problem, method: &Method, path: &str) -> Response {
    let text = match &problem.hint {
        Some(hint) => format!("{} (hint: {hint})", problem.error),
        None => problem.error.clone(),
    };
    let status = refusal::status_of(problem);
    reply::json(status, &ErrorBody::new(&text, now().timestamp()).ending_watch(method, path, status))
}

/// Answers a path that does not exist, in the form that belongs to it.
pub async fn no_such_route(method: Method, uri: Uri) -> Response {
    let detail = format!("{method} {}: there is no such route", uri.path());
    unrouted(problem(ProblemKind::NotFound, detail), &method, &uri)
}

/// Answers a method that a path does not take, in the form that belongs to it.
pub async fn no_such_method(method: Method, uri: Uri) -> Response {
    let detail = format!("{method} {}: the route does not take this method", uri.path());
    unrouted(problem(ProblemKind::Method, detail), &method, &uri)
}

fn unrouted(problem: Problem, method: &Method, uri: &Uri) -> Response {
    if refusal::owns(uri.path()) {
        refused(&problem, method, uri.path())
    } else {
        Refusal::from(problem).into_response()
    }
}
