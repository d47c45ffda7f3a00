//! Properties of everything but virtual machines.

use vsphere::wire::Any;
use vsphere::wire::generated::{
    AboutInfo, DatacenterConfigInfo, HostHardwareSummary, HostListSummary, HostRuntimeInfo, HostSystemConnectionState,
    HostSystemPowerState, NetworkSummary,
};

use super::super::browser;
use super::super::call::{Call, HEALTH};
use super::super::clock::civil_of;
use super::super::content;
use super::super::model::{Datacenter, Kind, NodeId};
use super::super::state::{EPOCH, State};
use super::compute::{self, all_of};
use super::{datastores, machine, morefs, one};
use crate::identity;

/// What every host claims to have.
pub(super) const HOST_MEMORY_BYTES: i64 = 256 << 30;
pub(super) const HOST_CORES: i16 = 16;
pub(super) const HOST_MHZ: i32 = 2000;

/// Returns a property that only this kind of object has.
pub(super) fn property(call: &Call<'_>, state: &State, id: NodeId, name: &str) -> Option<Any> {
    let model = call.model();
    match &model.node(id).kind {
        Kind::Folder { child_type } => match name {
            "childEntity" => morefs(call, &model.morefs(&model.node(id).children)),
            "childType" => {
                let types: Vec<String> = child_type.iter().map(|&name| name.to_owned()).collect();
                Some(Any::list(&types, call.encode()))
            }
            _ => None,
        },
        Kind::Datacenter(parts) => datacenter(call, parts, name),
        Kind::ComputeResource { hosts, pool } => compute::property(call, id, (hosts, *pool), name),
        Kind::Host { .. } => host(call, state, id, name),
        Kind::ResourcePool { owner } => match name {
            "owner" => one(call, &model.moref(*owner)),
            "vm" => morefs(
                call,
                &model.vms_where(|place| place.vapp.is_none() && model.pool_of(state.host_of(place)) == Some(id)),
            ),
            "resourcePool" => morefs(call, &model.morefs(&model.node(id).children)),
            _ => compute::pool(call, state, id, name),
        },
        Kind::VirtualApp { folder, owner } => match name {
            "parentFolder" => one(call, &model.moref(*folder)),
            "owner" => one(call, &model.moref(*owner)),
            "vm" => morefs(call, &model.morefs(&model.node(id).children)),
            _ => compute::pool(call, state, id, name),
        },
        Kind::Datastore => datastores::property(call, state, id, name),
        Kind::Network => network(call, id, name),
        Kind::Vm(place) => machine::property(call, state, id, place, name),
    }
}

fn datacenter(call: &Call<'_>, parts: &Datacenter, name: &str) -> Option<Any> {
    let model = call.model();
    match name {
        "vmFolder" => one(call, &model.moref(parts.vm_folder)),
        "hostFolder" => one(call, &model.moref(parts.host_folder)),
        "datastoreFolder" => one(call, &model.moref(parts.datastore_folder)),
        "networkFolder" => one(call, &model.moref(parts.network_folder)),
        "datastore" => morefs(call, &model.morefs(&parts.datastores)),
        "network" => morefs(call, &model.morefs(&parts.networks)),
        "configuration" => {
            let newest = Some(identity::HARDWARE_VERSION.to_owned());
            one(call, &DatacenterConfigInfo { default_hardware_version_key: newest, ..Default::default() })
        }
        _ => None,
    }
}

fn host(call: &Call<'_>, state: &State, id: NodeId, name: &str) -> Option<Any> {
    let model = call.model();
    match name {
        "vm" => morefs(call, &model.vms_where(|place| state.host_of(place) == id)),
        "datastore" => morefs(call, &all_of(call, id, |parts| &parts.datastores)),
        "network" => morefs(call, &all_of(call, id, |parts| &parts.networks)),
        "datastoreBrowser" => one(call, &browser::of(&model.moref(id))),
        "runtime" => one(call, &host_runtime()),
        "summary" => {
            let mut summary = HostListSummary { host: Some(model.moref(id)), ..HostListSummary::default() };
            summary.config.name.clone_from(&model.node(id).name);
            summary.config.product = Some(AboutInfo { api_type: "HostAgent".to_owned(), ..content::about(call) });
            summary.hardware = Some(host_hardware());
            summary.runtime = Some(host_runtime());
            summary.overall_status = HEALTH;
            one(call, &summary)
        }
        _ => None,
    }
}

/// Returns the machine that every host claims to be.
fn host_hardware() -> HostHardwareSummary {
    HostHardwareSummary {
        vendor: "hyper2kvm".to_owned(),
        model: "simulated host".to_owned(),
        memory_size: HOST_MEMORY_BYTES,
        cpu_model: "simulated CPU".to_owned(),
        cpu_mhz: HOST_MHZ,
        num_cpu_pkgs: 1,
        num_cpu_cores: HOST_CORES,
        num_cpu_threads: HOST_CORES,
        ..HostHardwareSummary::default()
    }
}

fn host_runtime() -> HostRuntimeInfo {
    HostRuntimeInfo {
        connection_state: HostSystemConnectionState::Connected,
        power_state: HostSystemPowerState::PoweredOn,
        boot_time: Some(civil_of(EPOCH)),
        ..HostRuntimeInfo::default()
    }
}

fn network(call: &Call<'_>, id: NodeId, name: &str) -> Option<Any> {
    let model = call.model();
    match name {
        "vm" => morefs(call, &model.vms_where(|place| place.network == Some(id))),
        "summary" => one(
            call,
            &NetworkSummary {
                network: Some(model.moref(id)),
                name: model.node(id).name.clone(),
                accessible: true,
                ..NetworkSummary::default()
            },
        ),
        _ => None,
    }
}
