//! What happens to VMs from outside: vMotion, of the host and of the storage.

use http::StatusCode;
use serde_json::json;

use super::query::value;
use crate::reply::{Reply, text};
use crate::world::World;

/// Moves a VM to another host, another datastore, or both.
pub(super) fn migrate(world: &World, query: Option<&str>) -> Reply {
    let (host, datastore) = (value(query, "host"), value(query, "datastore"));
    let Some(vm) = value(query, "vm").filter(|_| host.is_some() || datastore.is_some()) else {
        return text(StatusCode::BAD_REQUEST, "say ?vm=PATH with &host=NAME, &datastore=NAME, or both\n");
    };
    match world.soap.move_vm(world, &vm, host.as_deref(), datastore.as_deref()) {
        Ok(_) => super::json_reply(&json!({ "vm": vm, "host": host, "datastore": datastore })),
        Err(rule) => text(StatusCode::NOT_FOUND, format!("{rule}\n")),
    }
}
