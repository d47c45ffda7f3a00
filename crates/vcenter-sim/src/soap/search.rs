//! `SearchIndex`: objects by path, by id, by name. What is not found is no fault but nothing.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{FindByDatastorePath, FindByInventoryPath, FindByUuid, FindChild};

use super::browser;
use super::call::Call;
use super::fault::{self, Outcome};
use crate::identity;

/// `FindByInventoryPath`.
pub(crate) fn by_path(call: &Call<'_>, request: FindByInventoryPath) -> Outcome<Option<MoRef>> {
    let model = call.model();
    Ok(model.find_path(&request.inventory_path).map(|id| model.moref(id)))
}

/// `FindByDatastorePath`: the VM whose configuration file has this path.
pub(crate) fn by_datastore_path(call: &Call<'_>, request: FindByDatastorePath) -> Outcome<Option<MoRef>> {
    let model = call.model();
    let datacenter = model.find(&request.datacenter).ok_or_else(|| fault::not_found(&request.datacenter))?;
    let (name, path) = browser::parse(&request.path)?;
    let fits = |&&id: &&usize| {
        let Some(place) = model.place(id) else { return false };
        let file = path.strip_prefix(place.directory.as_str()).and_then(|rest| rest.strip_prefix('/'));
        place.datacenter == datacenter
            && model.node(place.datastore).name == name
            && file.and_then(|file| file.strip_suffix(".vmx")) == Some(&place.directory)
    };
    Ok(model.vms().iter().find(fits).map(|&id| model.moref(id)))
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
