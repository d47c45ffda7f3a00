//! Errors in the form that older callers notice.
//!
//! The older client does not look at the status of a reply where it can help it: it decodes whatever object
//! comes, and one that has only `error` and `timestamp` becomes a success without content. So the object has
//! four more members of a type that it refuses, one for each kind of reply that it would take this for.
//!
//! Following a job it ignores even that, and goes on for ever unless the object says that the job failed.

use axum::http::{Method, StatusCode};
use hyper_api::Problem;
use serde::Serialize;

use super::{id, text};

/// What stands where the older client wants a number, a list or an object.
const ILL_TYPED: &str = "-";

/// The body of an error reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    error: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    total_jobs: &'static str,
    total: &'static str,
    errors: &'static str,
    logs: &'static str,
}

impl ErrorBody {
    /// Makes the body that says `error`.
    pub fn new(error: &str, timestamp: String) -> Self {
        Self {
            error: text::one_line(error),
            timestamp,
            status: None,
            total_jobs: ILL_TYPED,
            total: ILL_TYPED,
            errors: ILL_TYPED,
            logs: ILL_TYPED,
        }
    }

    /// Adds what ends the watch of a job when `request` is one that watches and `status` is an answer that will
    /// not change. After a 5xx a watch goes on, so that it outlives a restart of the daemon.
    #[must_use]
    pub fn ending_watch(mut self, method: &Method, path: &str, status: StatusCode) -> Self {
        let lasting = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&status);
        if lasting && *method == Method::GET && is_watched(path) {
            self.status = Some("failed");
        }
        self
    }
}

/// Returns true for `/jobs/{id}` and `/jobs/status/{id}`.
fn is_watched(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/jobs/") else { return false };
    let id = rest.strip_prefix("status/").unwrap_or(rest);
    !id.is_empty() && !id.contains('/') && !id::is_route_word(id)
}

/// Returns true for a path whose errors have the form of this module: all that do not belong to `/api/v1`, and
/// are not the daemon's own health and metrics.
pub fn owns(path: &str) -> bool {
    let native = path == "/api/v1" || path.starts_with("/api/v1/");
    !native && !matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// Returns the status of a problem here: 422 is none of the contract's.
pub fn status_of(problem: &Problem) -> StatusCode {
    match problem.status {
        422 => StatusCode::BAD_REQUEST,
        status => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use hyper_api::ProblemKind;
    use serde_json::{json, to_value};

    use super::*;

    fn body() -> ErrorBody {
        ErrorBody::new("find job a:\n\u{1b}[2Jnone", "T".into())
    }

    #[test]
    fn an_error_is_ill_typed_where_older_clients_look() {
        assert_eq!(
            serde_json::to_string(&body()).unwrap(),
            r#"{"error":"find job a:  [2Jnone","timestamp":"T","total_jobs":"-","total":"-","errors":"-","logs":"-"}"#
        );
    }

    #[test]
    fn a_watch_is_ended_by_what_will_not_change_and_by_nothing_else() {
        for (method, path, status, ends) in [
            (Method::GET, "/jobs/a", 404, true),
            (Method::GET, "/jobs/a", 401, true),
            (Method::GET, "/jobs/a", 403, true),
            (Method::GET, "/jobs/status/a", 404, true),
            (Method::GET, "/jobs/a", 500, false),
            (Method::GET, "/jobs/a", 503, false),
            (Method::GET, "/jobs/a", 400, false),
            (Method::DELETE, "/jobs/a", 404, false),
            (Method::GET, "/jobs/logs/a", 404, false),
            (Method::GET, "/jobs/progress/a", 404, false),
            (Method::GET, "/jobs/query", 401, false),
            (Method::GET, "/jobs/", 404, false),
            (Method::GET, "/status", 401, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let body = to_value(body().ending_watch(&method, path, status)).unwrap();
            let expected = if ends { json!("failed") } else { json!(null) };
            assert_eq!(body["status"], expected, "{method} {path} {status}");
        }
    }

    #[test]
    fn everything_but_the_native_routes_belongs_here() {
        for path in ["/", "/status", "/jobs/a", "/api/login", "/api/v10", "/schedules", "/health", "/ws"] {
            assert!(owns(path), "{path}");
        }
        for path in ["/api/v1", "/api/v1/jobs", "/healthz", "/readyz", "/metrics"] {
            assert!(!owns(path), "{path}");
        }
    }

    #[test]
    fn a_target_that_does_not_do_is_a_bad_request() {
        let status = |status| status_of(&Problem::new(ProblemKind::Internal, status, "x")).as_u16();
        assert_eq!((status(404), status(422), status(502)), (404, 400, 502));
    }
}
