//! The handlers: each reads what is asked, has it done, and answers in the older form.
//!
//! | route | asks |
//! |---|---|
//! | `GET /health` | nobody: it answers |
//! | `GET /status`, `GET /capabilities` | the jobs, this version |
//! | `POST /jobs/submit`, `GET`, `POST /jobs/query`, `POST /jobs/cancel` | the jobs |
//! | `GET /jobs/{id}`, `/jobs/status/{id}`, `/jobs/progress/{id}`, `/jobs/eta/{id}`, `/jobs/logs/{id}` | one job |
//! | `GET`, `POST /vms/list`, `POST /vms/info`, `/vms/shutdown`, `/vms/poweroff`, `/vms/remove-cdrom` | the source |
//! | `GET /ws` | the jobs, each second |
//!
//! Schedules and webhooks are not built; they are paths like any other that does not exist.

mod ask;
mod desk;
mod jobs;
mod status;
mod vms;
mod ws;

pub use ask::{no_such_method, no_such_route, refused};

use hyper_api::Role;

use crate::http::{Need, Route};

/// Returns the routes.
pub fn routes() -> Vec<Route> {
    let (read, operate) = (Need::Role(Role::Read), Need::Role(Role::Operate));
    let routes = [
        Route::get("/health", Need::Nothing, status::health),
        Route::get("/status", read, status::status),
        Route::get("/capabilities", read, status::capabilities),
        Route::post("/jobs/submit", operate, jobs::submit),
        Route::get("/jobs/query", read, jobs::query),
        // A question that needs a body for its ids; it changes nothing.
        Route::post("/jobs/query", read, jobs::query),
        Route::post("/jobs/cancel", operate, jobs::cancel),
        Route::get("/jobs/{id}", read, jobs::one),
        Route::get("/jobs/status/{id}", read, jobs::one),
        Route::get("/jobs/progress/{id}", read, jobs::progress),
        Route::get("/jobs/eta/{id}", read, jobs::eta),
        Route::get("/jobs/logs/{id}", read, jobs::logs),
        Route::get("/vms/list", read, vms::list),
        Route::post("/vms/list", read, vms::list),
        Route::post("/vms/info", read, vms::info),
        Route::post("/vms/shutdown", operate, vms::shutdown),
        Route::post("/vms/poweroff", operate, vms::power_off),
        Route::post("/vms/remove-cdrom", operate, vms::remove_cdrom),
        Route::get("/ws", read, ws::upgrade),
    ];
    routes.into_iter().map(Route::compat).collect()
}
