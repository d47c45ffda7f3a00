//! The routes of `/api/v1`. Thin: each reads a request, asks [`Jobs`] or the engine, and writes a
//! wire type; every error is a problem of the one table in [`crate::problems`].
//!
//! | route | reply |
//! |---|---|
//! | `GET /healthz` | `{"status":"ok"}` |
//! | `GET /api/v1/info` | `Info` |
//! | `GET /api/v1/vms`, with `?capacities=true` also how large their disks are | `VmList` |
//! | `POST /api/v1/jobs` | 201, the new `Job`, `Location` |
//! | `GET /api/v1/jobs` | `JobList`, newest first |
//! | `GET /api/v1/jobs/{id}` | `Job` |
//! | `GET /api/v1/jobs/{id}/events` | server-sent events, see [`events`] |
//! | `POST /api/v1/jobs/{id}/cancel` | 202, the `Job` as it is; it ends later |

pub mod events;
mod jobs;
mod reply;
mod source;

pub use reply::Refusal;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::engine::Configured;
use crate::jobs::Jobs;

/// The largest request; the only body there is names one VM and one directory.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What the routes share.
#[derive(Clone, Debug)]
pub struct State {
    /// The configured source.
    pub configured: Configured,
    /// The jobs.
    pub jobs: Jobs,
}

/// Returns the routes over `state`.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/healthz", get(source::healthz))
        .route("/api/v1/info", get(source::info))
        .route("/api/v1/vms", get(source::vms))
        .route("/api/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/api/v1/jobs/{id}", get(jobs::one))
        .route("/api/v1/jobs/{id}/events", get(events::events))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .fallback(reply::no_such_route)
        .method_not_allowed_fallback(reply::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}
