//! The items of the hardware section, one for each device.

use std::collections::{BTreeMap, HashMap};

use super::xml::Xml;
use super::{disk_id, network_name};
use crate::package::machine::{
    Bus, Controller, ControllerModel, Machine, Nic, NicModel, Place, RemovableKind, UsbController,
};

/// The unit of the first adapter; units before it are for devices that are always there.
const NIC_FIRST_UNIT: usize = 7;

/// Writes items and numbers them.
pub(super) struct Items<'x> {
    xml: &'x mut Xml,
    next_id: usize,
    controllers: HashMap<(Bus, u32), usize>,
}

impl<'x> Items<'x> {
    pub(super) fn new(xml: &'x mut Xml) -> Self {
        Self { xml, next_id: 1, controllers: HashMap::new() }
    }

    /// Writes every device of a machine that OVF can say.
    pub(super) fn write_all(&mut self, machine: &Machine) {
        self.processors_and_memory(machine);
        for controller in &machine.controllers {
            self.controller(controller);
        }
        for (index, disk) in machine.disks.iter().enumerate() {
            let resource = format!("ovf:/disk/{}", disk_id(index));
            let name = format!("Hard disk {}", index + 1);
            self.device(disk.place, &[("ElementName", &name), ("HostResource", &resource), ("ResourceType", "17")]);
        }
        for (index, drive) in machine.removables.iter().enumerate() {
            let (word, kind, sub_type) = match drive.kind {
                RemovableKind::Cdrom => ("CD/DVD drive", "15", "vmware.cdrom.remotepassthrough"),
                RemovableKind::Floppy => ("Floppy drive", "14", "vmware.floppy.remotedevice"),
            };
            let name = format!("{word} {}", index + 1);
            let elements = [
                ("AutomaticAllocation", "false"),
                ("ElementName", &name),
                ("ResourceSubType", sub_type),
                ("ResourceType", kind),
            ];
            self.device(drive.place, &elements);
        }
        for (index, nic) in machine.nics.iter().enumerate() {
            self.nic(index, nic);
        }
        self.extras(machine);
    }

    fn processors_and_memory(&mut self, machine: &Machine) {
        let count = machine.vcpus.to_string();
        let cores = machine.cores_per_socket.map(|cores| cores.to_string());
        let elements = [
            ("AllocationUnits", "hertz * 10^6"),
            ("Description", "Number of virtual CPUs"),
            ("ElementName", &format!("{count} virtual CPU(s)")),
            ("ResourceType", "3"),
            ("VirtualQuantity", &count),
        ];
        self.item(&elements, &[], cores.as_deref());
        let mib = machine.memory_bytes.div_ceil(1 << 20).to_string();
        let elements = [
            ("AllocationUnits", "byte * 2^20"),
            ("Description", "Memory size"),
            ("ElementName", &format!("{mib}MB of memory")),
            ("ResourceType", "4"),
            ("VirtualQuantity", &mib),
        ];
        self.item(&elements, &[], None);
    }

    fn controller(&mut self, controller: &Controller) {
        let (name, kind, sub_type) = match controller.model {
            ControllerModel::Ide => ("IDE controller", "5", ""),
            ControllerModel::Scsi => ("SCSI controller", "6", ""),
            ControllerModel::BusLogic => ("SCSI controller", "6", "buslogic"),
            ControllerModel::LsiLogic => ("SCSI controller", "6", "lsilogic"),
            ControllerModel::LsiLogicSas => ("SCSI controller", "6", "lsilogicsas"),
            ControllerModel::Pvscsi => ("SCSI controller", "6", "VirtualSCSI"),
            ControllerModel::VirtioScsi => ("SCSI controller", "6", "virtio-scsi"),
            ControllerModel::Ahci => ("SATA controller", "20", "vmware.sata.ahci"),
            ControllerModel::Nvme => ("NVMe controller", "20", "vmware.nvme.controller"),
        };
        self.controllers.insert((controller.bus(), controller.number), self.next_id);
        let number = controller.number.to_string();
        let name = format!("{name} {number}");
        let elements = [
            ("Address", number.as_str()),
            ("ElementName", &name),
            ("ResourceSubType", sub_type),
            ("ResourceType", kind),
        ];
        self.item(&elements, &[], None);
    }

    /// Writes a device that may hang on a controller.
    fn device(&mut self, place: Option<Place>, elements: &[(&str, &str)]) {
        let controller = place.and_then(|place| self.controllers.get(&(place.bus, place.controller)));
        let parent = controller.map(ToString::to_string).unwrap_or_default();
        let unit = place.map(|place| place.unit.to_string()).unwrap_or_default();
        let mut all = elements.to_vec();
        all.extend([("Parent", parent.as_str()), ("AddressOnParent", &unit)]);
        self.item(&all, &[], None);
    }

    fn nic(&mut self, index: usize, nic: &Nic) {
        let model = match &nic.model {
            NicModel::Unknown => "",
            NicModel::E1000 => "E1000",
            NicModel::E1000e => "E1000e",
            NicModel::Vmxnet => "Vmxnet",
            NicModel::Vmxnet3 => "VmxNet3",
            NicModel::Pcnet32 => "PCNet32",
            NicModel::Virtio => "virtio",
            NicModel::Other(words) => words,
        };
        let mac = nic.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let elements = [
            ("Address", mac.as_str()),
            ("AddressOnParent", &(NIC_FIRST_UNIT + index).to_string()),
            ("AutomaticAllocation", if nic.starts_connected == Some(false) { "false" } else { "true" }),
            ("Connection", network_name(nic)),
            ("ElementName", &format!("Network adapter {}", index + 1)),
            ("ResourceSubType", model),
            ("ResourceType", "10"),
        ];
        self.item(&elements, &[], None);
    }

    /// Writes what an importer may leave out.
    fn extras(&mut self, machine: &Machine) {
        if let Some(display) = machine.display {
            let kib = display.video_ram_bytes.map(|bytes| (bytes >> 10).to_string());
            let accelerates = display.accelerates_3d.map(|accelerates| accelerates.to_string());
            let settings: Vec<_> = [("videoRamSizeInKB", kib), ("enable3DSupport", accelerates)]
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect();
            self.item(&[("ElementName", "Video card"), ("ResourceType", "24"), OPTIONAL], &settings, None);
        }
        for usb in &machine.usb {
            let sub_type = match usb {
                UsbController::Uhci => "",
                UsbController::Ehci => "vmware.usb.ehci",
                UsbController::Xhci => "vmware.usb.xhci",
            };
            let elements =
                [("ElementName", "USB controller"), ("ResourceSubType", sub_type), ("ResourceType", "23"), OPTIONAL];
            self.item(&elements, &[], None);
        }
        if let Some(sound) = &machine.sound {
            let sub_type = format!("vmware.soundcard.{sound}");
            let elements =
                [("ElementName", "Sound card"), ("ResourceSubType", &sub_type), ("ResourceType", "1"), OPTIONAL];
            self.item(&elements, &[], None);
        }
        if machine.has_tpm {
            let elements =
                [("ElementName", "Virtual TPM"), ("ResourceSubType", "vmware.vtpm"), ("ResourceType", "1"), OPTIONAL];
            self.item(&elements, &[], None);
        }
    }

    /// Writes one item; empty values are left out, and the order is made right.
    fn item(&mut self, elements: &[(&str, &str)], settings: &[(&str, String)], cores_per_socket: Option<&str>) {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let mut elements: BTreeMap<&str, &str> = elements.iter().copied().collect();
        let is_optional = elements.remove(OPTIONAL.0).is_some();
        elements.insert("InstanceID", &id);
        elements.retain(|_, value| !value.is_empty());
        let attributes: &[(&str, &str)] = if is_optional { &[("ovf:required", "false")] } else { &[] };
        self.xml.element("Item", attributes, |xml| {
            for (name, value) in elements {
                xml.text(&format!("rasd:{name}"), value);
            }
            for (key, value) in settings {
                xml.empty("vmw:Config", &[("ovf:required", "false"), ("vmw:key", key), ("vmw:value", value)]);
            }
            if let Some(cores) = cores_per_socket {
                xml.text_with("vmw:CoresPerSocket", &[("ovf:required", "false")], cores);
            }
        });
    }
}

/// Marks an item that an importer may leave out.
const OPTIONAL: (&str, &str) = ("", "optional");
