//! The daemon itself.

use axum::response::Response;

use super::super::replies::{Capabilities, DaemonStatus, Health};
use super::super::{duration, reply};
use super::ask::{Ask, now};
use super::desk;

pub(super) async fn health() -> Response {
    reply::json(axum::http::StatusCode::OK, &Health { status: "healthy", timestamp: now().timestamp() })
}

pub(super) async fn status(ask: Ask) -> Response {
    let counted = desk::counts(&ask.state).await;
    ask.answer(counted.map(|counts| DaemonStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: duration::text(ask.state.compat.uptime()),
        counts,
        timestamp: ask.view.timestamp(),
    }))
}

pub(super) async fn capabilities(ask: Ask) -> Response {
    ask.answer(Ok(Capabilities::new(ask.view.timestamp())))
}
