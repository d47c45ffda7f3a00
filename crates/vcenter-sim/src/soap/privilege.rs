//! What the account may do: everything, but for the privileges and properties that the inventory denies.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{EntityPrivilege, HasPrivilegeOnEntities, PrivilegeAvailability};

use super::call::Call;
use super::fault::{self, Outcome};
use crate::faults::rule::privilege::needed_by_call;

/// Privilege that reading a property needs.
pub(crate) const READ: &str = "System.Read";

/// Refuses a method that needs a privilege which the account lacks.
pub(crate) fn check(call: &Call<'_>, this: &MoRef, method: &str) -> Outcome<()> {
    let denied = &call.world.inventory.vcenter.denied_privileges;
    match denied.iter().find(|privilege| needed_by_call(privilege, method)) {
        Some(privilege) => Err(fault::no_permission(this, privilege)),
        None => Ok(()),
    }
}

/// Returns whether the account may not read a property: it, or something above it, is denied.
pub(crate) fn is_unreadable(call: &Call<'_>, object: &MoRef, path: &str) -> bool {
    if object.kind != "VirtualMachine" {
        return false;
    }
    let place = call.model().find(object).and_then(|id| call.model().place(id));
    let vm = place.and_then(|place| call.world.inventory.vms.get(place.index));
    let covers = |denied: &String| {
        let rest = path.strip_prefix(denied.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    vm.is_some_and(|vm| vm.unreadable.iter().any(covers))
}

/// `HasPrivilegeOnEntities`.
pub(crate) fn has_on_entities(call: &Call<'_>, request: HasPrivilegeOnEntities) -> Outcome<Vec<EntityPrivilege>> {
    if !call.lock().sessions.is_open(&request.session_id) {
        return Err(fault::not_authenticated(&request.this));
    }
    let availability =
        |privilege: &String| PrivilegeAvailability { priv_id: privilege.clone(), is_granted: has(call, privilege) };
    let of = |entity: MoRef| {
        call.node(&entity)?;
        Ok(EntityPrivilege { entity, priv_availability: request.priv_id.iter().map(availability).collect() })
    };
    request.entity.into_iter().map(of).collect()
}

fn has(call: &Call<'_>, privilege: &str) -> bool {
    !call.world.inventory.vcenter.denied_privileges.iter().any(|denied| denied == privilege)
}
