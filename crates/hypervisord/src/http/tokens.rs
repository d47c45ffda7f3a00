//! Making, listing and revoking tokens.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{self, Path};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hyper_api::{NewToken, Problem, ProblemKind, Role, TokenList, TokenSpec};
use jiff::Timestamp;

use super::reply::Refusal;
use super::{Need, Route, State};
use crate::caller::Caller;
use crate::problems::{problem, refusal};
use crate::tokens::Tokens;

pub(super) fn routes() -> Vec<Route> {
    let admin = Need::Role(Role::Admin);
    vec![
        Route::get("/api/v1/tokens", admin, list),
        Route::post("/api/v1/tokens", admin, create),
        Route::delete("/api/v1/tokens/{id}", admin, revoke),
    ]
}

async fn list(state: extract::State<State>) -> Result<Json<TokenList>, Refusal> {
    let tokens = tokens(&state)?.list();
    Ok(Json(TokenList { total: tokens.len().try_into().unwrap_or(u64::MAX), tokens }))
}

async fn create(
    state: extract::State<State>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let wrong = |why: String| problem(ProblemKind::Usage, format!("read the token to be made: {why}"));
    let body = body.map_err(|error| wrong(error.body_text()))?;
    let spec: TokenSpec = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let tokens = tokens(&state)?.clone();
    let (token, secret) = durably(move || tokens.create(&spec, Timestamp::now())).await?;
    tracing::info!(target: "audit", who = %caller.who, id = token.id, role = %token.role, "token made");
    let reply = NewToken { token, secret: secret.expose().to_owned() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(reply)))
}

async fn revoke(state: extract::State<State>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let tokens = tokens(&state)?.clone();
    let revoked = id.clone();
    durably(move || tokens.revoke(&revoked)).await?;
    tracing::info!(target: "audit", who = %caller.who, id = id, "token revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn tokens(state: &State) -> Result<&Tokens, Refusal> {
    let none = || problem(ProblemKind::State, "look at the tokens: a private daemon has none, its socket is enough");
    state.tokens.as_ref().ok_or_else(|| none().into())
}

/// Runs what waits for a disk away from the threads that answer.
async fn durably<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Box<Problem>> + Send + 'static,
) -> Result<T, Box<Problem>> {
    let broken = |_| Err(refusal(ProblemKind::Internal, "store the tokens: the work broke down"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(broken)
}
