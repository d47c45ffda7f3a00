//! What happens to VMs from outside: vMotion.

use http::StatusCode;
use serde_json::json;

use super::query::value;
use crate::reply::{Reply, text};
use crate::world::World;

/// Moves a VM to another host.
pub(super) fn migrate(world: &World, query: Option<&str>) -> Reply {
    let (Some(vm), Some(host)) = (value(query, "vm"), value(query, "host")) else {
        return text(StatusCode::BAD_REQUEST, "say ?vm=PATH&host=NAME\n");
    };
    match world.soap.move_to_host(&vm, &host) {
        Ok(()) => super::json_reply(&json!({ "vm": vm, "host": host })),
        Err(rule) => text(StatusCode::NOT_FOUND, format!("{rule}\n")),
    }
}
