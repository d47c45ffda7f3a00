//! The routes of `/api/v1`, each with what it takes to call it. Thin: each reads a request, asks [`Jobs`] or the engine, and writes a
//! wire type; every error is a problem of the one table in [`crate::problems`].
//!
//! | route | reply |
//! |---|---|
//! | `GET /healthz` | `{"status":"ok"}`: the process answers |
//! | `GET /readyz` | the same, or 503: it takes jobs |
//! | `GET /metrics` | for Prometheus |
//! | `GET /api/v1/openapi.json` | what this table says, in OpenAPI |
//! | `GET /api/v1/info` | `Info` |
//! | `GET /api/v1/vms`, with `?capacities=true` also how large their disks are | `VmList` |
//! | `POST /api/v1/vms/info`, `shutdown`, `poweroff`, `remove-cdrom` | `VmDetail`, once it is done |
//! | `POST /api/v1/inspect` | `Inspection` of files that lie here |
//! | `POST /api/v1/jobs` | 201, the new `Job`, `Location`; 200 when the same request made it before |
//! | `POST /api/v1/jobs/batch` | `BatchReply`: each job's id or problem, in their order |
//! | `GET /api/v1/jobs`, with `state`, `vm`, `limit`, `cursor` | `JobList`, newest first |
//! | `GET /api/v1/jobs/{id}` | `Job` |
//! | `PATCH /api/v1/jobs/{id}` with `{"priority"}` | the `Job` |
//! | `DELETE /api/v1/jobs/{id}` | 204, once it has ended |
//! | `GET /api/v1/jobs/{id}/events` | server-sent events, see [`events`] |
//! | `GET /api/v1/jobs/{id}/logs`, with `tail` | `LogList` |
//! | `POST /api/v1/jobs/{id}/cancel` | 202, the `Job` as it is; it ends later |
//! | `POST /api/v1/jobs/{id}/resume` | 202, the `Job`, which waits for its turn again |
//! | `POST /api/v1/jobs/{id}/retry` | 201, a new `Job` that is asked to do the same |
//! | `GET /api/v1/events` | server-sent events of all jobs, see [`all_events`] |
//! | `GET /api/v1/tokens` | `TokenList` |
//! | `POST /api/v1/tokens` | 201, `NewToken`: the secret, this once |
//! | `DELETE /api/v1/tokens/{id}` | 204 |
//!
//! With the header `Idempotency-Key` a submit, of one job or many, that is repeated accepts nothing again.
//!
//! What is not below `/api/v1` and none of the above belongs to older programs: [`crate::compat::routes`].

pub mod all_events;
pub mod events;
mod health;
mod jobs;
mod local;
mod openapi;
mod reply;
mod route;
mod source;
mod tokens;
mod vms;

pub(crate) use health::METRICS_PATH;
pub use reply::Refusal;
pub use route::{Need, Route};

use axum::Router;
use axum::extract::DefaultBodyLimit;

use crate::compat;
use crate::engine::Configured;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::tokens::Tokens;

/// The largest request; the only body there is names one VM and one directory.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// What the routes share.
#[derive(Clone, Debug)]
pub struct State {
    /// The configured source.
    pub configured: Configured,
    /// The jobs.
    pub jobs: Jobs,
    /// The tokens; a private child has none.
    pub tokens: Option<Tokens>,
    /// What is counted.
    pub metrics: Metrics,
    /// What the routes of older programs share beyond that.
    pub compat: compat::shared::Shared,
}

impl State {
    /// Makes what the routes of a private child share.
    pub fn new(configured: Configured, jobs: Jobs) -> Self {
        Self { configured, jobs, tokens: None, metrics: Metrics::new(), compat: compat::shared::Shared::new() }
    }
}

/// Returns every route, with what it takes to call it.
pub fn routes() -> Vec<Route> {
    [
        health::routes(),
        source::routes(),
        vms::routes(),
        jobs::routes(),
        events::routes(),
        local::routes(),
        all_events::routes(),
        tokens::routes(),
        openapi::routes(),
        compat::routes::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the description of the routes that are not for older programs.
pub fn description() -> utoipa::openapi::OpenApi {
    openapi::document(&routes())
}

/// Returns the routes over `state`. Nobody guards them here: that is for whoever serves them.
pub fn router(state: State) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, route| route.add_to(router))
        .fallback(compat::routes::no_such_route)
        .method_not_allowed_fallback(compat::routes::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}
