//! `SearchIndex`: objects by path, by id, by name. What is not found is no fault but nothing.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{FindByInventoryPath, FindByUuid, FindChild};

use super::call::Call;
use super::fault::{self, Outcome};
use crate::identity;

/// `FindByInventoryPath`.
pub(crate) fn by_path(call: &Call<'_>, request: FindByInventoryPath) -> Outcome<Option<MoRef>> {
    let model = call.model();
    Ok(model.find_path(&request.inventory_path).map(|id| model.moref(id)))
}

/// `FindByUuid`, for virtual machines.
pub(crate) fn by_uuid(call: &Call<'_>, request: FindByUuid) -> Outcome<Option<MoRef>> {
    let model = call.model();
    let instance = request.instance_uuid == Some(true);
    let fits = |&&id: &&usize| {
        let Some(place) = model.place(id) else { return false };
        let Some(vm) = call.world.inventory.vms.get(place.index) else { return false };
        let uuid = if instance { identity::instance_uuid(vm) } else { identity::bios_uuid(vm) };
        let inside = request.datacenter.as_ref().is_none_or(|wanted| model.moref(place.datacenter) == *wanted);
        inside && request.vm_search && uuid.to_string().eq_ignore_ascii_case(&request.uuid)
    };
    Ok(model.vms().iter().find(fits).map(|&id| model.moref(id)))
}

/// `FindChild`.
pub(crate) fn child(call: &Call<'_>, request: FindChild) -> Outcome<Option<MoRef>> {
    let model = call.model();
    let parent = model.find(&request.entity).ok_or_else(|| fault::not_found(&request.entity))?;
    Ok(model.find_child(parent, &request.name).map(|id| model.moref(id)))
}
