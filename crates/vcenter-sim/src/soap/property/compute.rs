//! Properties of compute resources, clusters and resource pools.

use vsphere::wire::generated::{
    ClusterComputeResourceSummary, ComputeResourceSummary, ResourceAllocationInfo, ResourceConfigSpec,
    ResourcePoolResourceUsage, ResourcePoolRuntimeInfo, ResourcePoolSummary, SharesInfo, SharesLevel,
};
use vsphere::wire::{Any, MoRef};

use super::super::call::{Call, HEALTH};
use super::super::clock::civil_of;
use super::super::model::{Datacenter, Kind, NodeId};
use super::super::state::{EPOCH, State};
use super::things::{HOST_CORES, HOST_MEMORY_BYTES, HOST_MHZ};
use super::{morefs, one};

/// `limit` of a pool that has none.
const UNLIMITED: i64 = -1;
/// Shares of a root pool, which has no sibling to share with.
const ROOT_CPU_SHARES: i32 = 4000;
const ROOT_MEMORY_SHARES: i32 = 163_840;

/// Returns a property of a compute resource with these hosts.
pub(super) fn property(call: &Call<'_>, id: NodeId, (hosts, pool): (&[NodeId], NodeId), name: &str) -> Option<Any> {
    let model = call.model();
    match name {
        "host" => morefs(call, &model.morefs(hosts)),
        "resourcePool" => one(call, &model.moref(pool)),
        "datastore" => morefs(call, &all_of(call, *hosts.first()?, |parts| &parts.datastores)),
        "network" => morefs(call, &all_of(call, *hosts.first()?, |parts| &parts.networks)),
        "summary" if model.node(id).moref.kind == "ClusterComputeResource" => {
            let base = summary(hosts.len());
            one(call, &ClusterComputeResourceSummary { base, ..ClusterComputeResourceSummary::default() })
        }
        "summary" => one(call, &summary(hosts.len())),
        _ => None,
    }
}

/// Returns a property that pools and vApps have.
pub(super) fn pool(call: &Call<'_>, state: &State, id: NodeId, name: &str) -> Option<Any> {
    let model = call.model();
    let node = model.node(id);
    match name {
        "summary" => one(
            call,
            &ResourcePoolSummary {
                name: node.name.clone(),
                config: config(model.moref(id)),
                runtime: runtime(call, state, id),
                configured_memory_mb: Some(memory_of_vms(call, state, id)),
                ..ResourcePoolSummary::default()
            },
        ),
        "config" => one(call, &config(model.moref(id))),
        "runtime" => one(call, &runtime(call, state, id)),
        _ => None,
    }
}

/// Returns parts of the datacenter that a host is in.
pub(super) fn all_of(call: &Call<'_>, host: NodeId, pick: impl Fn(&Datacenter) -> &Vec<NodeId>) -> Vec<MoRef> {
    let model = call.model();
    let Kind::Host { datacenter } = &model.node(host).kind else { return Vec::new() };
    model.datacenter(*datacenter).map(|parts| model.morefs(pick(parts))).unwrap_or_default()
}

fn summary(hosts: usize) -> ComputeResourceSummary {
    let many = i32::try_from(hosts).unwrap_or(i32::MAX);
    let cores = i16::try_from(hosts).unwrap_or(i16::MAX).saturating_mul(HOST_CORES);
    let mhz = many.saturating_mul(i32::from(HOST_CORES)).saturating_mul(HOST_MHZ);
    ComputeResourceSummary {
        total_cpu: mhz,
        total_memory: i64::from(many).saturating_mul(HOST_MEMORY_BYTES),
        num_cpu_cores: cores,
        num_cpu_threads: cores,
        effective_cpu: mhz,
        // The API counts this one in MiB.
        effective_memory: i64::from(many).saturating_mul(HOST_MEMORY_BYTES) >> 20,
        num_hosts: many,
        num_effective_hosts: many,
        overall_status: HEALTH,
    }
}

fn config(entity: MoRef) -> ResourceConfigSpec {
    let allocation = |shares| ResourceAllocationInfo {
        reservation: Some(0),
        expandable_reservation: Some(true),
        limit: Some(UNLIMITED),
        shares: Some(SharesInfo { shares, level: SharesLevel::Normal }),
        ..ResourceAllocationInfo::default()
    };
    ResourceConfigSpec {
        entity: Some(entity),
        change_version: Some("1".to_owned()),
        last_modified: Some(civil_of(EPOCH)),
        cpu_allocation: allocation(ROOT_CPU_SHARES),
        memory_allocation: allocation(ROOT_MEMORY_SHARES),
        ..ResourceConfigSpec::default()
    }
}

/// Nothing of this world works, so nothing is used but memory that running VMs have been given.
fn runtime(call: &Call<'_>, state: &State, id: NodeId) -> ResourcePoolRuntimeInfo {
    let hosts = i64::try_from(hosts_of(call, id)).unwrap_or(1);
    let usage = |all: i64, used: i64| ResourcePoolResourceUsage {
        unreserved_for_pool: all,
        unreserved_for_vm: all,
        overall_usage: used,
        max_usage: all,
        ..ResourcePoolResourceUsage::default()
    };
    ResourcePoolRuntimeInfo {
        memory: usage(hosts * HOST_MEMORY_BYTES, i64::from(memory_of_vms(call, state, id)) << 20),
        cpu: usage(hosts * i64::from(HOST_CORES) * i64::from(HOST_MHZ), 0),
        overall_status: HEALTH,
        ..ResourcePoolRuntimeInfo::default()
    }
}

fn hosts_of(call: &Call<'_>, pool: NodeId) -> usize {
    let model = call.model();
    let owner = match &model.node(pool).kind {
        Kind::ResourcePool { owner } | Kind::VirtualApp { owner, .. } => *owner,
        _ => return 1,
    };
    match &model.node(owner).kind {
        Kind::ComputeResource { hosts, .. } => hosts.len(),
        _ => 1,
    }
}

/// Returns the MiB of the running VMs in a pool or vApp.
fn memory_of_vms(call: &Call<'_>, state: &State, id: NodeId) -> i32 {
    let model = call.model();
    let places = model.vms().iter().filter_map(|&vm| model.place(vm));
    let inside = places.filter(|place| model.pool_of(state.host_of(place)) == Some(id) || place.vapp == Some(id));
    let memory = inside.filter_map(|place| {
        let runs = state.vms.get(place.index)?.boot_time.is_some();
        call.world.inventory.vms.get(place.index).filter(|_| runs).map(|vm| vm.memory_mib)
    });
    memory.fold(0, i32::saturating_add)
}
