//! What can be done to one VM besides exporting it. The VM is named in the body: its path has slashes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract;
use hyper_api::{ProblemKind, Role, VmDetail, VmDisk, VmDrive, VmOperation, VmRequest};
use migrate::vm::Outcome;

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::problems::problem;
use crate::{exports, jobs, problems};

pub(super) fn routes() -> Vec<Route> {
    let (read, operate) = (Need::Role(Role::Read), Need::Role(Role::Operate));
    vec![
        Route::post("/api/v1/vms/info", read, async |state: extract::State<State>, body: Bytes| {
            answer(state, VmOperation::Info, body).await
        }),
        Route::post("/api/v1/vms/shutdown", operate, async |state: extract::State<State>, body: Bytes| {
            answer(state, VmOperation::Shutdown, body).await
        }),
        Route::post("/api/v1/vms/poweroff", operate, async |state: extract::State<State>, body: Bytes| {
            answer(state, VmOperation::PowerOff, body).await
        }),
        Route::post("/api/v1/vms/remove-cdrom", operate, async |state: extract::State<State>, body: Bytes| {
            answer(state, VmOperation::RemoveCdrom, body).await
        }),
    ]
}

async fn answer(state: extract::State<State>, operation: VmOperation, body: Bytes) -> Result<Json<VmDetail>, Refusal> {
    let unreadable = |why: String| problem(ProblemKind::Usage, format!("{} a VM: {why}", operation.word()));
    let request: VmRequest = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    if request.vm.trim().is_empty() {
        return Err(unreadable("the request names none".to_owned()).into());
    }
    let (_, engine) = state.configured.engine.as_ref().map_err(Clone::clone)?;
    let (engine, asked) = (Arc::clone(engine), exports::operation(operation, &request));
    let outcome = state.jobs.ask(|stop| async move { engine.operate(&request.vm, asked, stop).await }).await?;
    Ok(Json(detail(outcome.map_err(|error| problems::from_migrate(&error))?)))
}

fn detail(outcome: Outcome) -> VmDetail {
    let disk =
        |disk: migrate::vm::Disk| VmDisk { label: disk.label, file: disk.file, capacity_bytes: disk.capacity_bytes };
    VmDetail {
        done: outcome.done,
        vm: jobs::vm_on_wire(outcome.vm),
        disks: outcome.disks.into_iter().map(disk).collect(),
        drives: outcome.drives.into_iter().map(|drive| VmDrive { label: drive.label, medium: drive.medium }).collect(),
    }
}
