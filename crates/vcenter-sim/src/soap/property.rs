//! What objects say about themselves: one value for each property that is set.
//!
//! Values are built when they are asked for, and only the property that is asked for: of 10,000 VMs
//! nobody wants all of `config`.

mod backing;
mod compute;
mod datastores;
mod defaults;
mod devices;
mod files;
mod guest;
mod machine;
mod services;
mod snapshots;
mod things;

use vsphere::wire::generated::HttpNfcLeaseCapabilities;
use vsphere::wire::{Any, MoRef, Value};

use super::call::{Call, HEALTH};
use super::fault::{self, Outcome};
use super::model::NodeId;
use super::state::State;
use super::{browser, export, path, privilege, service};

/// Returns the value at `path`; `None` when it is unset.
///
/// # Errors
/// InvalidProperty, ManagedObjectNotFound, or NoPermission.
pub(crate) fn value(call: &Call<'_>, state: &State, object: &MoRef, path: &str) -> Outcome<Option<Any>> {
    path::check(&object.kind, path, call.version)?;
    if privilege::is_unreadable(call, object, path) {
        return Err(fault::no_permission(object, privilege::READ));
    }
    Ok(top(call, state, object, path::top(path))?.and_then(|value| path::follow(value, path)))
}

/// Returns whether the object exists for the caller.
pub(crate) fn exists(call: &Call<'_>, state: &State, object: &MoRef) -> bool {
    top(call, state, object, "").is_ok()
}

/// Returns a whole property.
fn top(call: &Call<'_>, state: &State, object: &MoRef, name: &str) -> Outcome<Option<Any>> {
    if let Some(id) = call.model().find(object) {
        return Ok(entity(call, state, id, name));
    }
    let encode = call.encode();
    let gone = || fault::not_found(object);
    Ok(match object.kind.as_str() {
        "HttpNfcLease" => {
            let lease = state.leases.get(&object.id).filter(|lease| call.owns(&lease.session)).ok_or_else(gone)?;
            export::property(call, state, lease, name)
        }
        "ContainerView" | "ListView" => {
            let view =
                state.views.get(&object.id).filter(|view| call.owns(&view.session) && view.kind() == object.kind);
            services::view(call, state, view.ok_or_else(gone)?, name)
        }
        "Task" => {
            let task = state.tasks.get(&object.id).ok_or_else(gone)?;
            (name == "info").then(|| Any::new(&task.info(), encode))
        }
        "VirtualMachineSnapshot" => snapshots::property(call, state, object, name)?,
        "PropertyFilter" => {
            let filter = state.filters.get(&object.id).filter(|filter| call.owns(&filter.session)).ok_or_else(gone)?;
            match name {
                "spec" => Some(Any::new(&filter.spec, encode)),
                "partialUpdates" => Some(Any::new(&filter.partial, encode)),
                _ => None,
            }
        }
        "PropertyCollector" => services::collector(call, state, object, name).ok_or_else(gone)?,
        _ if service::is_service(call.model().personality(), object) => {
            services::property(call, state, &object.kind, name)
        }
        "HostDatastoreBrowser" => browser::property(call, object, name)?,
        _ => return Err(gone()),
    })
}

/// Returns a property of an inventory object: what all entities have, then what its kind has.
fn entity(call: &Call<'_>, state: &State, id: NodeId, name: &str) -> Option<Any> {
    let node = call.model().node(id);
    let encode = call.encode();
    match name {
        "name" => Some(Any::new(&node.name, encode)),
        "parent" => Some(Any::new(&call.model().moref(node.parent?), encode)),
        "overallStatus" | "configStatus" => Some(Any::new(&HEALTH, encode)),
        "alarmActionsEnabled" => Some(Any::new(&true, encode)),
        "effectiveRole" => Some(Any::list(&[-1i32], encode)),
        _ => things::property(call, state, id, name),
    }
}

/// Wraps a list of references.
fn morefs(call: &Call<'_>, list: &[MoRef]) -> Option<Any> {
    Some(Any::list(list, call.encode()))
}

/// Wraps one value.
fn one<T: Value>(call: &Call<'_>, value: &T) -> Option<Any> {
    Some(Any::new(value, call.encode()))
}

/// Returns `HttpNfcLease.capabilities`.
pub(super) fn lease_capabilities() -> HttpNfcLeaseCapabilities {
    HttpNfcLeaseCapabilities { pull_mode_supported: false, cors_supported: false }
}
