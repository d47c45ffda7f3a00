//! Errors as replies.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_api::{PROBLEM_MEDIA_TYPE, Problem};

/// A problem as a reply: its status, its media type, itself as JSON.
#[derive(Debug)]
pub struct Refusal(Box<Problem>);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Box<Problem>> for Refusal {
    fn from(problem: Box<Problem>) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE)], axum::Json(self.0).into_response().into_body())
            .into_response()
    }
}
