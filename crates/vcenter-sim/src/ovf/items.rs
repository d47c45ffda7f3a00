//! The items of the hardware section: one for each device.
//!
//! The elements of an item stand in alphabetical order, as the schema of CIM demands.

use std::collections::BTreeMap;

use super::xml::Xml;
use crate::hardware::{Controller, ControllerKind, Place};
use crate::identity;
use crate::inventory::Vm;

/// Numbers of CIM for kinds of devices.
mod resource {
    pub(super) const CPU: &str = "3";
    pub(super) const MEMORY: &str = "4";
    pub(super) const IDE: &str = "5";
    pub(super) const SCSI: &str = "6";
    pub(super) const NETWORK: &str = "10";
    pub(super) const CDROM: &str = "15";
    pub(super) const DISK: &str = "17";
    pub(super) const OTHER_STORAGE: &str = "20";
}

/// The number of the first controller: CPU and memory come before it.
const FIRST_CONTROLLER_ID: usize = 3;

/// Writes items and numbers them.
pub(super) struct Items<'a> {
    pub(super) xml: &'a mut Xml,
    /// Whether items say which of several models a device is (`nodevicesubtypes` leaves it out).
    pub(super) subtypes: bool,
    next_id: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(xml: &'a mut Xml, subtypes: bool) -> Self {
        Self { xml, subtypes, next_id: 1 }
    }

    pub(super) fn cpu(&mut self, vm: &Vm) {
        let count = vm.cpus.to_string();
        let name = format!("{count} virtual CPU(s)");
        let units = [("AllocationUnits", "hertz * 10^6"), ("Description", "Number of Virtual CPUs")];
        self.item(&[("ElementName", &name), ("ResourceType", resource::CPU), ("VirtualQuantity", &count)], &units);
    }

    pub(super) fn memory(&mut self, vm: &Vm) {
        let mib = vm.memory_mib.to_string();
        let name = format!("{mib}MB of memory");
        let units = [("AllocationUnits", "byte * 2^20"), ("Description", "Memory Size")];
        self.item(&[("ElementName", &name), ("ResourceType", resource::MEMORY), ("VirtualQuantity", &mib)], &units);
    }

    pub(super) fn controller(&mut self, controller: &Controller) {
        let (description, resource_type, subtype) = match controller.kind {
            ControllerKind::Ide => ("IDE Controller", resource::IDE, ""),
            ControllerKind::ParaVirtual => ("SCSI Controller", resource::SCSI, "VirtualSCSI"),
            ControllerKind::LsiLogic => ("SCSI Controller", resource::SCSI, "lsilogic"),
            ControllerKind::LsiLogicSas => ("SCSI Controller", resource::SCSI, "lsilogicsas"),
            ControllerKind::BusLogic => ("SCSI Controller", resource::SCSI, "buslogic"),
            ControllerKind::Ahci => ("SATA Controller", resource::OTHER_STORAGE, "vmware.sata.ahci"),
            ControllerKind::Nvme => ("NVME Controller", resource::OTHER_STORAGE, "vmware.nvme.controller"),
        };
        let bus = controller.bus.to_string();
        self.item(
            &[("Address", &bus), ("ElementName", &controller.label), ("ResourceType", resource_type)],
            &[("Description", description), ("ResourceSubType", subtype)],
        );
    }

    pub(super) fn disk(&mut self, place: &Place, disk_id: &str) {
        let (unit, parent) = (place.unit.to_string(), parent_id(place));
        let resource = format!("ovf:/disk/{disk_id}");
        self.item(
            &[("AddressOnParent", &unit), ("ElementName", &place.label), ("HostResource", &resource)],
            &[("Parent", &parent), ("ResourceType", resource::DISK)],
        );
    }

    /// `file_id` is the image, when the package has it.
    pub(super) fn cdrom(&mut self, place: &Place, file_id: Option<&str>) {
        let (unit, parent) = (place.unit.to_string(), parent_id(place));
        let resource = file_id.map_or_else(String::new, |id| format!("ovf:/file/{id}"));
        let subtype = if file_id.is_some() { "vmware.cdrom.iso" } else { "vmware.cdrom.remotepassthrough" };
        self.item(
            &[("AddressOnParent", &unit), ("AutomaticAllocation", "false"), ("ElementName", &place.label)],
            &[
                ("HostResource", &resource),
                ("Parent", &parent),
                ("ResourceSubType", subtype),
                ("ResourceType", resource::CDROM),
            ],
        );
    }

    pub(super) fn network(&mut self, vm: &Vm, network: &str, with_mac: bool) {
        let mac = if with_mac { identity::mac_address(vm) } else { String::new() };
        let description = format!("VmxNet3 ethernet adapter on \"{network}\"");
        self.item(
            &[("Address", &mac), ("AddressOnParent", "7"), ("AutomaticAllocation", "true"), ("Connection", network)],
            &[
                ("Description", &description),
                ("ElementName", "Network adapter 1"),
                ("ResourceSubType", "VmxNet3"),
                ("ResourceType", resource::NETWORK),
            ],
        );
    }

    /// Writes one item; empty values are left out, and the order is made right.
    fn item(&mut self, first: &[(&str, &str)], second: &[(&str, &str)]) {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let mut elements: BTreeMap<&str, &str> = first.iter().chain(second).copied().collect();
        elements.insert("InstanceID", &id);
        elements.retain(|name, value| !value.is_empty() && (self.subtypes || *name != "ResourceSubType"));
        self.xml.element("Item", &[], |xml| {
            for (name, value) in elements {
                xml.text(&format!("rasd:{name}"), &[], value);
            }
        });
    }
}

fn parent_id(place: &Place) -> String {
    (FIRST_CONTROLLER_ID + place.controller).to_string()
}
