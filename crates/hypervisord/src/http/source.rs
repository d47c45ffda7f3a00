//! Who answers, and what its source has.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{self, Query};
use hyper_api::{Info, ProblemKind, Role, VmList};
use serde::Deserialize;

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::problems::problem;
use crate::{jobs, problems};

pub(super) fn routes() -> Vec<Route> {
    let read = Need::Role(Role::Read);
    vec![Route::get("/api/v1/info", read, info), Route::get("/api/v1/vms", read, vms)]
}

async fn info(state: extract::State<State>) -> Json<Info> {
    let (source, source_problem) = match &state.configured.engine {
        Ok((name, _)) => (Some(name.clone()), None),
        Err(problem) => (None, Some(problem.clone())),
    };
    Json(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        source,
        source_problem,
        uptime_s: Some(state.compat.uptime().as_secs()),
    })
}

/// What `GET /api/v1/vms` may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Also the capacities of the disks, which take longer.
    #[serde(default)]
    capacities: bool,
}

async fn vms(
    state: extract::State<State>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<VmList>, Refusal> {
    let Query(Wanted { capacities }) =
        wanted.map_err(|error| problem(ProblemKind::Usage, format!("list the VMs: {}", error.body_text())))?;
    let (_, engine) = state.configured.engine.as_ref().map_err(Clone::clone)?;
    let engine = Arc::clone(engine);
    let listed = state.jobs.ask(|stop| async move { engine.list(capacities, stop).await }).await?;
    let listed = listed.map_err(|error| problems::from_migrate(&error))?;
    let vms: Vec<_> = listed.into_iter().map(jobs::vm_on_wire).collect();
    Ok(Json(VmList { total: vms.len().try_into().unwrap_or(u64::MAX), vms }))
}
