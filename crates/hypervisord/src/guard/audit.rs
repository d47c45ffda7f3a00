//! Who did what: one log line for every request that acts, and for every one that was refused.
//!
//! Lines have the target `audit` and are written at every log level. They hold the path, never the
//! query or the body: no secret is in one.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use hyper_api::{Problem, ProblemKind};

use crate::caller::Caller;
use crate::listen::Way;

/// Longest path that is written.
const PATH_CHARS_MAX: usize = 200;

/// What is known of a request before anybody answers it.
#[derive(Debug)]
pub(super) struct Line {
    method: Method,
    path: String,
    from: String,
}

impl Line {
    pub(super) fn of(request: &Request) -> Self {
        let from = match request.extensions().get::<Way>() {
            Some(Way::Unix(peer)) => format!("uid {}", peer.uid),
            Some(Way::Tcp(address)) => address.to_string(),
            None => "unknown".to_owned(),
        };
        let path = request.uri().path().chars().take(PATH_CHARS_MAX).collect();
        Self { method: request.method().clone(), path, from }
    }

    /// Writes that nobody answers it.
    pub(super) fn refused(&self, problem: &Problem) {
        let Self { method, path, from } = self;
        let status = problem.status;
        if problem.kind == ProblemKind::TooMany {
            // The point of a rate is that less happens.
            tracing::debug!(%method, path, from, status, "refused");
        } else {
            tracing::warn!(target: "audit", %method, path, from, status, why = problem.error, "refused");
        }
    }

    /// Writes who did it, and how it ended.
    pub(super) fn answered(&self, caller: Option<&Caller>, status: StatusCode) {
        let Self { method, path, from } = self;
        let status = status.as_u16();
        match caller {
            Some(caller) if !method.is_safe() => {
                let who = &caller.who;
                tracing::info!(target: "audit", %who, %method, path, from, status, "done");
            }
            _ => tracing::debug!(%method, path, from, status, "answered"),
        }
    }
}
