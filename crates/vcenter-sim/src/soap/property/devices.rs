//! The devices of a virtual machine: `config.hardware.device`.
//!
//! What stores data sits where [`crate::hardware`] put it; around it are the devices that every VM
//! has, with the keys that vSphere gives them.

use vsphere::wire::generated::{
    AnyDescription, AnyVirtualDevice, Description, ParaVirtualSCSIController, VirtualAHCIController,
    VirtualBusLogicController, VirtualCdrom, VirtualController, VirtualDevice, VirtualDeviceConnectInfo, VirtualDisk,
    VirtualEthernetCard, VirtualEthernetCardNetworkBackingInfo, VirtualIDEController, VirtualLsiLogicController,
    VirtualLsiLogicSASController, VirtualMachineVideoCard, VirtualNVMEController, VirtualPCIController,
    VirtualSATAController, VirtualSCSIController, VirtualVmxnet, VirtualVmxnet3,
};

use super::super::configured::Drive;
use super::machine::Machine;
use crate::hardware::{Controller, ControllerKind, Place};
use crate::identity;
use crate::inventory::Disk;

/// The PCI bus, on which all controllers but IDE and both cards sit.
const PCI_KEY: i32 = 100;
const VIDEO_KEY: i32 = 500;
const CARD_KEY: i32 = 4000;
/// Unit of the first network card on the PCI bus.
const CARD_UNIT: i32 = 7;
/// Video memory that vSphere gives a new VM.
const VIDEO_KIB: i64 = 4096;

impl Machine<'_> {
    /// Returns all devices: controllers, then what sits on them.
    pub(super) fn devices(&self) -> Vec<AnyVirtualDevice> {
        let layout = &self.place.layout;
        let mut devices: Vec<AnyVirtualDevice> = vec![self.pci(), video()];
        devices.extend(layout.controllers.iter().enumerate().map(|(index, from)| self.controller(index, from)));
        devices.extend(layout.disks.iter().zip(&self.vm.disks).enumerate().map(|(i, (p, d))| self.disk(i, p, d)));
        devices.extend(self.configured.drives.iter().map(|drive| self.cdrom(drive).into()));
        devices.extend(self.card());
        devices
    }

    fn cdrom(&self, drive: &Drive) -> VirtualCdrom {
        let mut base = self.device(&drive.place);
        base.backing = Some(drive.backing.clone());
        base.connectable = Some(drive.connection.clone());
        VirtualCdrom { base }
    }

    fn pci(&self) -> AnyVirtualDevice {
        let sits_here = |controller: &&Controller| controller.kind != ControllerKind::Ide;
        let mut device: Vec<i32> = vec![VIDEO_KEY];
        device.extend(self.place.layout.controllers.iter().filter(sits_here).map(|controller| controller.key));
        device.extend(self.place.network.map(|_| CARD_KEY));
        let base = VirtualDevice {
            key: PCI_KEY,
            device_info: Some(description("PCI controller 0")),
            ..VirtualDevice::default()
        };
        VirtualPCIController { base: VirtualController { base, bus_number: 0, device } }.into()
    }

    fn controller(&self, index: usize, from: &Controller) -> AnyVirtualDevice {
        let layout = &self.place.layout;
        let drives = self.configured.drives.iter().map(|drive| &drive.place);
        let on_it = layout.disks.iter().chain(drives).filter(|place| place.controller == index);
        let device = VirtualDevice {
            key: from.key,
            device_info: Some(description(&from.label)),
            controller_key: (from.kind != ControllerKind::Ide).then_some(PCI_KEY),
            ..VirtualDevice::default()
        };
        let base = VirtualController { base: device, bus_number: from.bus, device: on_it.map(|p| p.key).collect() };
        let scsi = |base| VirtualSCSIController {
            base,
            hot_add_remove: Some(true),
            // The unit that no disk can have.
            scsi_ctlr_unit_number: Some(7),
            ..VirtualSCSIController::default()
        };
        match from.kind {
            ControllerKind::ParaVirtual => ParaVirtualSCSIController { base: scsi(base) }.into(),
            ControllerKind::LsiLogic => VirtualLsiLogicController { base: scsi(base) }.into(),
            ControllerKind::LsiLogicSas => VirtualLsiLogicSASController { base: scsi(base) }.into(),
            ControllerKind::BusLogic => VirtualBusLogicController { base: scsi(base) }.into(),
            ControllerKind::Nvme => VirtualNVMEController { base, ..VirtualNVMEController::default() }.into(),
            ControllerKind::Ahci => VirtualAHCIController { base: VirtualSATAController { base } }.into(),
            ControllerKind::Ide => VirtualIDEController { base }.into(),
        }
    }

    fn disk(&self, index: usize, place: &Place, disk: &Disk) -> AnyVirtualDevice {
        let bytes = i64::try_from(disk.size.0).unwrap_or(i64::MAX);
        let mut base = self.device(place);
        base.backing = match disk.backing.as_str() {
            "flat" => self.backing(index).map(Into::into),
            _ => self.raw_device(index, disk).map(Into::into),
        };
        let capacity_in_bytes = Some(bytes);
        VirtualDisk { base, capacity_in_kb: bytes / 1024, capacity_in_bytes, ..VirtualDisk::default() }.into()
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
            unit_number: Some(CARD_UNIT),
            device_info: Some(description("Network adapter 1")),
            backing: Some(backing.into()),
            connectable: Some(connection()),
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
}

fn video() -> AnyVirtualDevice {
    let base = VirtualDevice {
        key: VIDEO_KEY,
        device_info: Some(description("Video card")),
        controller_key: Some(PCI_KEY),
        unit_number: Some(0),
        ..VirtualDevice::default()
    };
    let num_displays = Some(1);
    VirtualMachineVideoCard { base, video_ram_size_in_kb: Some(VIDEO_KIB), num_displays, ..Default::default() }.into()
}

fn connection() -> VirtualDeviceConnectInfo {
    VirtualDeviceConnectInfo { start_connected: true, allow_guest_control: true, ..VirtualDeviceConnectInfo::default() }
}

fn description(label: &str) -> AnyDescription {
    Description { label: label.to_owned(), summary: label.to_owned() }.into()
}
