//! Properties of a virtual machine.

use vsphere::wire::generated::{
    CryptoKeyId, KeyProviderId, VirtualHardware, VirtualMachineConfigInfo, VirtualMachineConfigSummary,
    VirtualMachineConnectionState, VirtualMachineRuntimeInfo, VirtualMachineStorageInfo, VirtualMachineStorageSummary,
    VirtualMachineSummary, VirtualMachineUsageOnDatastore,
};
use vsphere::wire::{Any, MoRef};

use super::super::call::{Call, HEALTH};
use super::super::clock::civil_of;
use super::super::configured::Configured;
use super::super::model::{NodeId, VmPlace};
use super::super::power::disabled_methods;
use super::super::state::{EPOCH, State, VmState};
use super::{defaults, morefs, one, snapshots};
use crate::content::Delta;
use crate::datastore::home::Home;
use crate::identity;
use crate::inventory::Vm;

/// One VM, as one caller sees it.
pub(super) struct Machine<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) state: &'a State,
    pub(super) vm: &'a Vm,
    pub(super) place: &'a VmPlace,
    moref: MoRef,
    /// Where its files are.
    pub(super) home: &'a Home,
    /// Its configuration, now or in a snapshot.
    pub(super) configured: &'a Configured,
    /// The links above its disks, now or in a snapshot.
    pub(super) deltas: &'a [Delta],
}

/// Returns a property that only a VM has.
pub(super) fn property(call: &Call<'_>, state: &State, id: NodeId, place: &VmPlace, name: &str) -> Option<Any> {
    let model = call.model();
    let machine = Machine::now(call, state, id)?;
    match name {
        "capability" => one(call, &defaults::capability()),
        "config" => one(call, &machine.config()?),
        "storage" => one(call, &machine.storage()?),
        "summary" => one(call, &machine.summary()),
        "runtime" => one(call, &machine.runtime()),
        "guest" => one(call, &machine.guest()?),
        "layoutEx" => one(call, &machine.layout_ex()?),
        "layout" => one(call, &machine.layout()?),
        "resourcePool" => one(call, &model.moref(place.vapp.or_else(|| model.pool_of(state.host_of(place)))?)),
        "parentVApp" => one(call, &model.moref(place.vapp?)),
        "datastore" => morefs(call, &machine.datastores()),
        "network" => morefs(call, &place.network.map(|id| model.moref(id)).into_iter().collect::<Vec<_>>()),
        "disabledMethod" => Some(Any::list(&disabled_methods(state, place.index), call.encode())),
        "snapshot" => one(call, &snapshots::info(state.vms.get(place.index)?, &machine.moref)?),
        "rootSnapshot" => morefs(call, &snapshots::roots(state.vms.get(place.index)?)),
        "recentTask" => {
            let tasks = &state.vms.get(place.index)?.recent_tasks;
            morefs(call, &tasks.iter().map(|id| MoRef::new("Task", id)).collect::<Vec<_>>())
        }
        "guestHeartbeatStatus" => one(call, &HEALTH),
        _ => None,
    }
}

impl<'a> Machine<'a> {
    /// Returns a VM as it is.
    pub(super) fn now(call: &'a Call<'a>, state: &'a State, id: NodeId) -> Option<Self> {
        let now = state.vms.get(call.model().place(id)?.index)?;
        Self::at(call, state, id, (&now.configured, &now.deltas))
    }

    /// Returns a VM as it was, or is, with a configuration and with links above its disks.
    pub(super) fn at(
        call: &'a Call<'a>,
        state: &'a State,
        id: NodeId,
        (configured, deltas): (&'a Configured, &'a [Delta]),
    ) -> Option<Self> {
        let place = call.model().place(id)?;
        let vm = call.world.inventory.vms.get(place.index)?;
        let home = &state.vms.get(place.index)?.home;
        Some(Machine { call, state, vm, place, moref: call.model().moref(id), home, configured, deltas })
    }
}

impl Machine<'_> {
    /// A VM whose host is gone has no configuration.
    pub(super) fn is_readable(&self) -> bool {
        self.vm.connection == "connected"
    }

    pub(super) fn guest_name(&self) -> String {
        format!("{} (simulated)", self.vm.guest_id)
    }

    pub(super) fn config(&self) -> Option<VirtualMachineConfigInfo> {
        if !self.is_readable() {
            return None;
        }
        Some(VirtualMachineConfigInfo {
            change_version: self.configured.change_version(),
            modified: civil_of(EPOCH),
            name: self.vm.name().to_owned(),
            guest_full_name: self.guest_name(),
            version: identity::HARDWARE_VERSION.to_owned(),
            uuid: identity::bios_uuid(self.vm).to_string(),
            instance_uuid: Some(identity::instance_uuid(self.vm).to_string()),
            template: self.vm.template,
            guest_id: self.vm.guest_id.clone(),
            annotation: Some(self.configured.annotation.clone()),
            firmware: Some(self.vm.firmware.clone()),
            files: self.file_info(),
            hardware: VirtualHardware {
                num_cpu: self.vm.cpus,
                num_cores_per_socket: Some(1),
                memory_mb: self.vm.memory_mib,
                device: self.devices(),
                ..VirtualHardware::default()
            },
            tools: Some(defaults::tools()),
            flags: defaults::flags(),
            default_power_ops: defaults::power_ops(),
            boot_options: Some(defaults::boot_options()),
            cpu_allocation: Some(defaults::cpu_allocation(self.vm.cpus)),
            memory_allocation: Some(defaults::memory_allocation(self.vm.memory_mib)),
            latency_sensitivity: Some(defaults::latency()),
            change_tracking_enabled: Some(self.configured.change_tracking),
            key_id: self.vm.encrypted.then(|| CryptoKeyId {
                key_id: identity::key_id(self.vm).to_string(),
                provider_id: Some(KeyProviderId { id: "sim-kms".to_owned() }),
            }),
            ..VirtualMachineConfigInfo::default()
        })
    }

    fn storage(&self) -> Option<VirtualMachineStorageInfo> {
        let committed = self.committed();
        let usage = VirtualMachineUsageOnDatastore {
            datastore: self.call.datastore(self.home.spot.datastore),
            committed,
            uncommitted: self.capacity() - committed,
            unshared: committed,
        };
        self.is_readable()
            .then(|| VirtualMachineStorageInfo { per_datastore_usage: vec![usage], timestamp: civil_of(EPOCH) })
    }

    fn runtime(&self) -> VirtualMachineRuntimeInfo {
        let now = self.state.vms.get(self.place.index);
        VirtualMachineRuntimeInfo {
            host: Some(self.call.model().moref(self.state.host_of(self.place))),
            connection_state: match self.vm.connection.as_str() {
                "connected" => VirtualMachineConnectionState::Connected,
                other => VirtualMachineConnectionState::Other(other.to_owned()),
            },
            power_state: now.map(|vm| vm.power.clone()).unwrap_or_default(),
            boot_time: now.and_then(|vm| vm.boot_time.clone()),
            consolidation_needed: now.is_some_and(VmState::needs_consolidation),
            crypto_state: self.vm.encrypted.then(|| "unlocked".to_owned()),
            ..VirtualMachineRuntimeInfo::default()
        }
    }

    fn summary(&self) -> VirtualMachineSummary {
        let readable = self.is_readable();
        let set = |text: String| readable.then_some(text);
        VirtualMachineSummary {
            vm: Some(self.moref.clone()),
            runtime: self.runtime(),
            config: VirtualMachineConfigSummary {
                name: self.vm.name().to_owned(),
                template: self.vm.template,
                vm_path_name: self.vmx(),
                memory_size_mb: readable.then_some(self.vm.memory_mib),
                num_cpu: readable.then_some(self.vm.cpus),
                uuid: set(identity::bios_uuid(self.vm).to_string()),
                instance_uuid: set(identity::instance_uuid(self.vm).to_string()),
                guest_id: set(self.vm.guest_id.clone()),
                guest_full_name: set(self.guest_name()),
                annotation: set(self.configured.annotation.clone()),
                num_virtual_disks: readable.then(|| i32::try_from(self.vm.disks.len()).unwrap_or(i32::MAX)),
                ..VirtualMachineConfigSummary::default()
            },
            guest: Some(self.guest_summary()),
            storage: readable.then(|| VirtualMachineStorageSummary {
                committed: self.committed(),
                uncommitted: self.capacity() - self.committed(),
                unshared: self.committed(),
                timestamp: civil_of(EPOCH),
            }),
            overall_status: HEALTH,
            ..VirtualMachineSummary::default()
        }
    }

    fn capacity(&self) -> i64 {
        let bytes: u64 = self.vm.disks.iter().map(|disk| disk.size.0).sum();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    fn committed(&self) -> i64 {
        let bytes: u64 = (0..self.vm.disks.len()).map(|index| self.allocated(index)).sum();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}
