//! What objects say about themselves: one value for each property that is set.
//!
//! Values are built when they are asked for, and only the property that is asked for: of 10,000 VMs
//! nobody wants all of `config`.

mod datastores;
mod devices;
mod files;
mod guest;
mod machine;
mod snapshots;
mod things;

use vsphere::wire::generated::{HttpNfcLeaseCapabilities, LocalizableMessage, OvfOptionInfo};
use vsphere::wire::{Any, MoRef, Value};

use super::call::{Call, HEALTH};
use super::fault::{self, Outcome};
use super::model::NodeId;
use super::state::State;
use super::{browser, export, path};

/// Options that descriptors may carry.
const EXPORT_OPTIONS: [(&str, &str); 3] =
    [("mac", "MAC addresses"), ("uuid", "UUIDs"), ("nodevicesubtypes", "no device subtypes")];

/// Returns the value at `path`; `None` when it is unset.
///
/// # Errors
/// InvalidProperty, or ManagedObjectNotFound.
pub(crate) fn value(call: &Call<'_>, state: &State, object: &MoRef, path: &str) -> Outcome<Option<Any>> {
    path::check(&object.kind, path, call.version)?;
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
        "ContainerView" => {
            let view = state.views.get(&object.id).filter(|view| call.owns(&view.session)).ok_or_else(gone)?;
            match name {
                "view" => Some(Any::list(&view.members(call.model()), encode)),
                "container" => Some(Any::new(&view.container, encode)),
                "type" => Some(Any::list(&view.types, encode)),
                "recursive" => Some(Any::new(&view.recursive, encode)),
                _ => None,
            }
        }
        "Task" => {
            let task = state.tasks.get(&object.id).ok_or_else(gone)?;
            (name == "info").then(|| Any::new(&task.info(), encode))
        }
        "VirtualMachineSnapshot" => snapshots::property(call, state, object, name)?,
        "PropertyFilter" => {
            let filter = state.filters.get(&object.id).filter(|filter| call.owns(&filter.session)).ok_or_else(gone)?;
            (name == "spec").then(|| Any::new(&filter.spec, encode))
        }
        "HostDatastoreBrowser" => browser::property(call, object, name)?,
        _ if super::is_service(object) => service(call, state, name),
        _ => return Err(gone()),
    })
}

fn service(call: &Call<'_>, state: &State, name: &str) -> Option<Any> {
    let encode = call.encode();
    match name {
        "content" => Some(Any::new(&super::content::content(call), encode)),
        "serverClock" => Some(Any::new(&super::clock::civil_now(), encode)),
        "ovfExportOption" => {
            let option = |(option, text): (&str, &str)| OvfOptionInfo {
                option: option.to_owned(),
                description: LocalizableMessage {
                    key: format!("sim.ovf.{option}"),
                    message: Some(text.to_owned()),
                    ..LocalizableMessage::default()
                },
            };
            Some(Any::list(&EXPORT_OPTIONS.map(option), encode))
        }
        "currentSession" => {
            let session = state.sessions.find(call.request.cookie)?;
            Some(Any::new(&session.describe(), encode))
        }
        _ => None,
    }
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
