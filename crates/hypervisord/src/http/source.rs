//! Who answers, and what its source has.

use std::sync::Arc;

use axum::Json;
use axum::extract;
use hyper_api::{Info, VmList};

use super::State;
use super::reply::Refusal;
use crate::{jobs, problems};

pub(super) async fn healthz() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

pub(super) async fn info(state: extract::State<State>) -> Json<Info> {
    let (source, source_problem) = match &state.configured.engine {
        Ok((name, _)) => (Some(name.clone()), None),
        Err(problem) => (None, Some(problem.clone())),
    };
    Json(Info { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), source, source_problem })
}

pub(super) async fn vms(state: extract::State<State>) -> Result<Json<VmList>, Refusal> {
    let (_, engine) = state.configured.engine.as_ref().map_err(Clone::clone)?;
    let engine = Arc::clone(engine);
    let listed = state.jobs.ask(|stop| async move { engine.list(stop).await }).await?;
    let listed = listed.map_err(|error| problems::from_migrate(&error))?;
    let vms: Vec<_> = listed.into_iter().map(jobs::vm_on_wire).collect();
    Ok(Json(VmList { total: vms.len().try_into().unwrap_or(u64::MAX), vms }))
}
