//! Properties of a virtual machine.

use vsphere::wire::generated::{
    AnyVirtualDevice, ParaVirtualSCSIController, VirtualAHCIController, VirtualBusLogicController, VirtualCdrom,
    VirtualCdromIsoBackingInfo, VirtualController, VirtualDevice, VirtualDeviceConnectInfo, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard, VirtualEthernetCardNetworkBackingInfo, VirtualHardware,
    VirtualIDEController, VirtualLsiLogicController, VirtualLsiLogicSASController, VirtualMachineConfigInfo,
    VirtualMachineConfigSummary, VirtualMachineFileInfo, VirtualMachineFileLayoutEx,
    VirtualMachineFileLayoutExFileInfo, VirtualMachineRuntimeInfo, VirtualMachineStorageSummary, VirtualMachineSummary,
    VirtualNVMEController, VirtualSCSIController, VirtualVmxnet, VirtualVmxnet3,
};
use vsphere::wire::generated::{Description, VirtualMachineConnectionState};
use vsphere::wire::{Any, MoRef};

use super::super::call::{Call, HEALTH};
use super::super::clock::civil_of;
use super::super::model::{NodeId, VmPlace};
use super::super::state::{EPOCH, State};
use super::{morefs, one};
use crate::hardware::{Controller, ControllerKind, Place};
use crate::identity;
use crate::inventory::Vm;

/// What a lease keeps a VM from, as `disabledMethod` says it.
const HELD_METHODS: [&str; 4] = ["PowerOnVM_Task", "ReconfigVM_Task", "MigrateVM_Task", "Destroy_Task"];

/// Key of the network card, and where it sits.
const CARD_KEY: i32 = 4000;
const PCI_KEY: i32 = 100;

struct Machine<'a> {
    call: &'a Call<'a>,
    state: &'a State,
    vm: &'a Vm,
    place: &'a VmPlace,
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
    fn is_readable(&self) -> bool {
        self.vm.connection == "connected"
    }

    fn file(&self, name: &str) -> String {
        let datastore = &self.call.model().node(self.place.datastore).name;
        format!("[{datastore}] {}/{name}", self.place.directory)
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
            files: VirtualMachineFileInfo {
                vm_path_name: Some(self.file(&format!("{}.vmx", self.place.directory))),
                ..VirtualMachineFileInfo::default()
            },
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

    fn devices(&self) -> Vec<AnyVirtualDevice> {
        let layout = &self.place.layout;
        let mut devices: Vec<AnyVirtualDevice> = layout.controllers.iter().map(controller).collect();
        for (index, (place, disk)) in layout.disks.iter().zip(&self.vm.disks).enumerate() {
            let bytes = i64::try_from(disk.size.0).unwrap_or(i64::MAX);
            let suffix = if index == 0 { String::new() } else { format!("_{index}") };
            let mut backing = VirtualDiskFlatVer2BackingInfo {
                disk_mode: "persistent".to_owned(),
                thin_provisioned: Some(true),
                ..VirtualDiskFlatVer2BackingInfo::default()
            };
            backing.file_name = self.file(&format!("{}{suffix}.vmdk", self.place.directory));
            let mut base = self.device(place);
            base.backing = Some(backing.into());
            let disk = VirtualDisk {
                base,
                capacity_in_kb: bytes / 1024,
                capacity_in_bytes: Some(bytes),
                ..VirtualDisk::default()
            };
            devices.push(disk.into());
        }
        for (place, iso) in layout.cdroms.iter().zip(&self.vm.isos) {
            let mut backing = VirtualCdromIsoBackingInfo::default();
            backing.file_name.clone_from(iso);
            let mut base = self.device(place);
            base.backing = Some(backing.into());
            base.connectable = Some(VirtualDeviceConnectInfo {
                start_connected: true,
                allow_guest_control: true,
                ..VirtualDeviceConnectInfo::default()
            });
            devices.push(VirtualCdrom { base }.into());
        }
        devices.extend(self.card());
        devices
    }

    fn device(&self, place: &Place) -> VirtualDevice {
        let controller = self.place.layout.controllers.get(place.controller).map(|controller| controller.key);
        VirtualDevice {
            key: place.key,
            device_info: Some(description(&place.label)),
            controller_key: controller,
            unit_number: Some(place.unit),
            ..VirtualDevice::default()
        }
    }

    fn card(&self) -> Option<AnyVirtualDevice> {
        let network = self.place.network?;
        let mut backing = VirtualEthernetCardNetworkBackingInfo {
            network: Some(self.call.model().moref(network)),
            ..VirtualEthernetCardNetworkBackingInfo::default()
        };
        backing.device_name.clone_from(&self.call.model().node(network).name);
        let device = VirtualDevice {
            key: CARD_KEY,
            controller_key: Some(PCI_KEY),
            device_info: Some(description("Network adapter 1")),
            backing: Some(backing.into()),
            ..VirtualDevice::default()
        };
        let base = VirtualEthernetCard {
            base: device,
            address_type: Some("assigned".to_owned()),
            mac_address: Some(identity::mac_address(self.vm)),
            ..VirtualEthernetCard::default()
        };
        let card = VirtualVmxnet3 { base: VirtualVmxnet { base }, ..VirtualVmxnet3::default() };
        Some(card.into())
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
                vm_path_name: self.file(&format!("{}.vmx", self.place.directory)),
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
            storage: readable.then(|| VirtualMachineStorageSummary {
                committed: self.committed(),
                timestamp: civil_of(EPOCH),
                ..VirtualMachineStorageSummary::default()
            }),
            overall_status: HEALTH,
            ..VirtualMachineSummary::default()
        }
    }

    fn committed(&self) -> i64 {
        let populated = |index| {
            let disk = self.call.world.exports.disk(&self.vm.path, index)?;
            disk.populated_bytes().ok()
        };
        let bytes: u64 = (0..self.vm.disks.len()).filter_map(populated).sum();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    fn layout(&self) -> Option<VirtualMachineFileLayoutEx> {
        if !self.is_readable() {
            return None;
        }
        let file = |key: i32, name: String, kind: &str, size: u64| VirtualMachineFileLayoutExFileInfo {
            key,
            name: self.file(&name),
            type_: kind.to_owned(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            ..VirtualMachineFileLayoutExFileInfo::default()
        };
        let directory = &self.place.directory;
        Some(VirtualMachineFileLayoutEx {
            file: vec![
                file(0, format!("{directory}.vmx"), "config", 3000),
                file(1, format!("{directory}.nvram"), "nvram", self.vm.nvram_bytes),
            ],
            timestamp: civil_of(EPOCH),
            ..VirtualMachineFileLayoutEx::default()
        })
    }
}

fn description(label: &str) -> vsphere::wire::generated::AnyDescription {
    Description { label: label.to_owned(), summary: label.to_owned() }.into()
}

fn controller(from: &Controller) -> AnyVirtualDevice {
    let device =
        VirtualDevice { key: from.key, device_info: Some(description(&from.label)), ..VirtualDevice::default() };
    let base = VirtualController { base: device, bus_number: from.bus, ..VirtualController::default() };
    let scsi = |base| VirtualSCSIController { base, ..VirtualSCSIController::default() };
    match from.kind {
        ControllerKind::ParaVirtual => ParaVirtualSCSIController { base: scsi(base) }.into(),
        ControllerKind::LsiLogic => VirtualLsiLogicController { base: scsi(base) }.into(),
        ControllerKind::LsiLogicSas => VirtualLsiLogicSASController { base: scsi(base) }.into(),
        ControllerKind::BusLogic => VirtualBusLogicController { base: scsi(base) }.into(),
        ControllerKind::Nvme => VirtualNVMEController { base, ..VirtualNVMEController::default() }.into(),
        ControllerKind::Ahci => {
            VirtualAHCIController { base: vsphere::wire::generated::VirtualSATAController { base } }.into()
        }
        ControllerKind::Ide => VirtualIDEController { base }.into(),
    }
}
