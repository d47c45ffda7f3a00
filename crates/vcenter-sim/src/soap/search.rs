//! `SearchIndex`: objects by path, by id, by name. What is not found is no fault but nothing.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    FindAllByUuid, FindByDatastorePath, FindByDnsName, FindByInventoryPath, FindByUuid, FindChild,
};

use super::browser;
use super::call::Call;
use super::fault::{self, Outcome};
use super::model::{Kind, NodeId, VmPlace};
use crate::datastore::home::Spot;
use crate::identity;
use crate::inventory::Vm;

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
    let state = call.lock();
    let fits = |&&id: &&usize| {
        let Some(place) = model.place(id).filter(|place| place.datacenter == datacenter) else { return false };
        let Some(Spot { datastore, directory }) = state.vms.get(place.index).map(|vm| &vm.home.spot) else {
            return false;
        };
        let file = path.strip_prefix(directory.as_str()).and_then(|rest| rest.strip_prefix('/'));
        call.world.datastores.get(*datastore).name == name
            && file.and_then(|file| file.strip_suffix(".vmx")) == Some(directory)
    };
    Ok(model.vms().iter().find(fits).map(|&id| model.moref(id)))
}

/// `FindByUuid`, for virtual machines.
pub(crate) fn by_uuid(call: &Call<'_>, request: FindByUuid) -> Outcome<Option<MoRef>> {
    let wanted = Uuid {
        datacenter: request.datacenter,
        text: request.uuid,
        vms: request.vm_search,
        instance: request.instance_uuid == Some(true),
    };
    Ok(wanted.find(call)?.next())
}

/// `FindAllByUuid`, for virtual machines.
pub(crate) fn all_by_uuid(call: &Call<'_>, request: FindAllByUuid) -> Outcome<Vec<MoRef>> {
    let wanted = Uuid {
        datacenter: request.datacenter,
        text: request.uuid,
        vms: request.vm_search,
        instance: request.instance_uuid == Some(true),
    };
    Ok(wanted.find(call)?.collect())
}

/// `FindByDnsName`: hosts by their name. No guest runs that could tell its own.
pub(crate) fn by_dns_name(call: &Call<'_>, request: FindByDnsName) -> Outcome<Option<MoRef>> {
    let model = call.model();
    let datacenter = datacenter(call, request.datacenter.as_ref())?;
    if request.vm_search {
        return Ok(None);
    }
    let fits = |&id: &NodeId| match &model.node(id).kind {
        Kind::Host { datacenter: own } => {
            datacenter.is_none_or(|wanted| wanted == *own)
                && model.node(id).name.eq_ignore_ascii_case(&request.dns_name)
        }
        _ => false,
    };
    Ok(model.ids().find(fits).map(|id| model.moref(id)))
}

/// `FindChild`.
pub(crate) fn child(call: &Call<'_>, request: FindChild) -> Outcome<Option<MoRef>> {
    let model = call.model();
    let parent = model.find(&request.entity).ok_or_else(|| fault::not_found(&request.entity))?;
    Ok(model.find_child(parent, &request.name).map(|id| model.moref(id)))
}

/// What `FindByUuid` and `FindAllByUuid` ask for.
struct Uuid {
    datacenter: Option<MoRef>,
    text: String,
    vms: bool,
    instance: bool,
}

impl Uuid {
    fn find<'a>(self, call: &'a Call<'_>) -> Outcome<impl Iterator<Item = MoRef> + use<'a>> {
        let model = call.model();
        let datacenter = datacenter(call, self.datacenter.as_ref())?;
        let found = model.vms().iter().filter(move |&&id| {
            let place = model.place(id).filter(|place| datacenter.is_none_or(|wanted| wanted == place.datacenter));
            self.vms && place.is_some_and(|place| self.is_of(call, place))
        });
        Ok(found.map(|&id| model.moref(id)))
    }

    fn is_of(&self, call: &Call<'_>, place: &VmPlace) -> bool {
        let uuid = |vm: &Vm| if self.instance { identity::instance_uuid(vm) } else { identity::bios_uuid(vm) };
        let vm = call.world.inventory.vms.get(place.index);
        vm.is_some_and(|vm| uuid(vm).to_string().eq_ignore_ascii_case(&self.text))
    }
}

fn datacenter(call: &Call<'_>, wanted: Option<&MoRef>) -> Outcome<Option<NodeId>> {
    let Some(wanted) = wanted else { return Ok(None) };
    let found = call.model().find(wanted).filter(|&id| call.model().datacenter(id).is_some());
    found.map(Some).ok_or_else(|| fault::not_found(wanted))
}
