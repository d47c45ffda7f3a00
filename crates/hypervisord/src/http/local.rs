//! Questions about files that lie here. They are opened with the rights of whoever asks, as those of a job are;
//! callers over TCP have none here.

use axum::Json;
use axum::body::Bytes;
use axum::extract;
use axum::extract::rejection::BytesRejection;
use hyper_api::{InspectRequest, Inspection, ProblemKind, Role, VerifySpec};

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::caller::Caller;
use crate::inspection;
use crate::problems::{self, problem};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::post("/api/v1/inspect", Need::Role(Role::Operate), inspect)]
}

async fn inspect(
    state: extract::State<State>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Inspection>, Refusal> {
    let usage = |reason: String| problem(ProblemKind::Usage, format!("inspect: {reason}"));
    let body = body.map_err(|error| usage(error.body_text()))?;
    let request: InspectRequest = serde_json::from_slice(&body).map_err(|error| usage(error.to_string()))?;
    if !request.path.is_absolute() {
        return Err(usage("the path is not absolute".to_owned()).into());
    }
    // The same rights as for a job that only reads.
    let like = VerifySpec { path: request.path.clone() }.into();
    let images = state.configured.entitled(&caller.who, &like)?.images;
    let asked = request.clone();
    let found = state.jobs.ask(|stop| async move { images.inspect(&asked, stop).await }).await?;
    let found = found.map_err(|error| problems::from_migrate(&error))?;
    Ok(Json(inspection::on_wire(request.path, found)))
}
