//! Properties of a virtual machine.

use vsphere::wire::generated::{
    GuestInfo, VirtualHardware, VirtualMachineConfigInfo, VirtualMachineConfigSummary, VirtualMachineConnectionState,
    VirtualMachineFileInfo, VirtualMachineGuestSummary, VirtualMachineRuntimeInfo, VirtualMachineStorageSummary,
    VirtualMachineSummary, VirtualMachineToolsStatus,
};
use vsphere::wire::{Any, MoRef};

use super::super::call::{Call, HEALTH};
use super::super::clock::civil_of;
use super::super::model::{NodeId, VmPlace};
use super::super::state::{EPOCH, State};
use super::{morefs, one};
use crate::identity;
use crate::inventory::Vm;

/// What a lease keeps a VM from, as `disabledMethod` says it.
const HELD_METHODS: [&str; 4] = ["PowerOnVM_Task", "ReconfigVM_Task", "MigrateVM_Task", "Destroy_Task"];

/// One VM, as one caller sees it.
pub(super) struct Machine<'a> {
    pub(super) call: &'a Call<'a>,
    state: &'a State,
    pub(super) vm: &'a Vm,
    pub(super) place: &'a VmPlace,
    moref: MoRef,
}

/// Returns a property that only a VM has.
pub(super) fn property(call: &Call<'_>, state: &State, id: NodeId, place: &VmPlace, name: &str) -> Option<Any> {
    let vm = call.world.inventory.vms.get(place.index)?;
    let model = call.model();
    let machine = Machine { call, state, vm, place, moref: model.moref(id) };
    match name {
        "config" => one(call, &machine.config()?),
        "summary" => one(call, &machine.summary()),
        "runtime" => one(call, &machine.runtime()),
        "guest" => one(call, &machine.guest()?),
        "layoutEx" => one(call, &machine.layout()?),
        "resourcePool" => one(call, &model.moref(place.pool)),
        "parentVApp" => one(call, &model.moref(place.vapp?)),
        "datastore" => morefs(call, &[model.moref(place.datastore)]),
        "network" => morefs(call, &place.network.map(|id| model.moref(id)).into_iter().collect::<Vec<_>>()),
        "disabledMethod" => {
            let held = !state.vms.get(place.index)?.leases.is_empty();
            let methods: Vec<String> = HELD_METHODS.iter().filter(|_| held).map(|&name| name.to_owned()).collect();
            Some(Any::list(&methods, call.encode()))
        }
        "recentTask" => {
            let tasks = &state.vms.get(place.index)?.recent_tasks;
            morefs(call, &tasks.iter().map(|id| MoRef::new("Task", id)).collect::<Vec<_>>())
        }
        "guestHeartbeatStatus" => one(call, &HEALTH),
        _ => None,
    }
}

impl Machine<'_> {
    /// A VM whose host is gone has no configuration.
    pub(super) fn is_readable(&self) -> bool {
        self.vm.connection == "connected"
    }

    fn guest_name(&self) -> String {
        format!("{} (simulated)", self.vm.guest_id)
    }

    fn config(&self) -> Option<VirtualMachineConfigInfo> {
        if !self.is_readable() {
            return None;
        }
        Some(VirtualMachineConfigInfo {
            change_version: "1".to_owned(),
            modified: civil_of(EPOCH),
            name: self.vm.name().to_owned(),
            guest_full_name: self.guest_name(),
            version: identity::HARDWARE_VERSION.to_owned(),
            uuid: identity::bios_uuid(self.vm).to_string(),
            instance_uuid: Some(identity::instance_uuid(self.vm).to_string()),
            template: self.vm.template,
            guest_id: self.vm.guest_id.clone(),
            annotation: Some(self.vm.annotation.clone()),
            firmware: Some(self.vm.firmware.clone()),
            files: VirtualMachineFileInfo { vm_path_name: Some(self.vmx()), ..VirtualMachineFileInfo::default() },
            hardware: VirtualHardware {
                num_cpu: self.vm.cpus,
                num_cores_per_socket: Some(1),
                memory_mb: self.vm.memory_mib,
                device: self.devices(),
                ..VirtualHardware::default()
            },
            change_tracking_enabled: Some(false),
            ..VirtualMachineConfigInfo::default()
        })
    }

    fn runtime(&self) -> VirtualMachineRuntimeInfo {
        let now = self.state.vms.get(self.place.index);
        VirtualMachineRuntimeInfo {
            host: Some(self.call.model().moref(self.place.host)),
            connection_state: match self.vm.connection.as_str() {
                "connected" => VirtualMachineConnectionState::Connected,
                other => VirtualMachineConnectionState::Other(other.to_owned()),
            },
            power_state: now.map(|vm| vm.power.clone()).unwrap_or_default(),
            boot_time: now.and_then(|vm| vm.boot_time.clone()),
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
                annotation: set(self.vm.annotation.clone()),
                num_virtual_disks: readable.then(|| i32::try_from(self.vm.disks.len()).unwrap_or(i32::MAX)),
                ..VirtualMachineConfigSummary::default()
            },
            guest: Some(self.guest_summary()),
            storage: readable.then(|| VirtualMachineStorageSummary {
                committed: self.committed(),
                timestamp: civil_of(EPOCH),
                ..VirtualMachineStorageSummary::default()
            }),
            overall_status: HEALTH,
            ..VirtualMachineSummary::default()
        }
    }

    /// No guest runs in a simulator, so none has its Tools running.
    fn guest(&self) -> Option<GuestInfo> {
        self.is_readable().then(|| GuestInfo {
            tools_status: Some(VirtualMachineToolsStatus::ToolsNotInstalled),
            tools_version_status2: Some("guestToolsNotInstalled".to_owned()),
            tools_running_status: Some("guestToolsNotRunning".to_owned()),
            guest_state: "notRunning".to_owned(),
            ..GuestInfo::default()
        })
    }

    /// Also an orphaned VM has one; clients read its fields without a look whether it is there.
    fn guest_summary(&self) -> VirtualMachineGuestSummary {
        VirtualMachineGuestSummary {
            guest_id: self.is_readable().then(|| self.vm.guest_id.clone()),
            guest_full_name: self.is_readable().then(|| self.guest_name()),
            tools_status: Some(VirtualMachineToolsStatus::ToolsNotInstalled),
            tools_version_status2: Some("guestToolsNotInstalled".to_owned()),
            tools_running_status: Some("guestToolsNotRunning".to_owned()),
            ..VirtualMachineGuestSummary::default()
        }
    }

    fn committed(&self) -> i64 {
        let bytes: u64 = (0..self.vm.disks.len()).map(|index| self.allocated(index)).sum();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}
