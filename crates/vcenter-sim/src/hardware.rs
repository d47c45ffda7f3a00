//! Where each device of a VM sits: controllers, buses, units and device keys.
//!
//! The keys follow vSphere's own numbering, so that the SOAP side (`config.hardware.device`), the
//! keys of lease files and the OVF descriptor agree by construction. Pure: an inventory's VM goes
//! in, a [`Layout`] comes out.

use crate::inventory::Vm;

/// Unit of a SCSI bus that belongs to the controller itself.
const SCSI_OWN_UNIT: i32 = 7;

/// A kind of disk controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControllerKind {
    /// IDE; every VM has both buses.
    Ide,
    /// Paravirtual SCSI.
    ParaVirtual,
    /// LSI Logic parallel SCSI.
    LsiLogic,
    /// LSI Logic SAS.
    LsiLogicSas,
    /// BusLogic SCSI.
    BusLogic,
    /// SATA.
    Ahci,
    /// NVMe.
    Nvme,
}

impl ControllerKind {
    /// Returns the kind by the inventory's word for it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "ide" => Self::Ide,
            "pvscsi" => Self::ParaVirtual,
            "lsilogic" => Self::LsiLogic,
            "lsilogicsas" => Self::LsiLogicSas,
            "buslogic" => Self::BusLogic,
            "sata" => Self::Ahci,
            "nvme" => Self::Nvme,
            _ => return None,
        })
    }

    /// Returns the name of the vim25 type, which is also the class in the keys of lease files.
    #[must_use]
    pub fn vim_class(self) -> &'static str {
        match self {
            Self::Ide => "VirtualIDEController",
            Self::ParaVirtual => "ParaVirtualSCSIController",
            Self::LsiLogic => "VirtualLsiLogicController",
            Self::LsiLogicSas => "VirtualLsiLogicSASController",
            Self::BusLogic => "VirtualBusLogicController",
            Self::Ahci => "VirtualAHCIController",
            Self::Nvme => "VirtualNVMEController",
        }
    }

    /// Returns whether it is one of the SCSI kinds, which share their buses.
    #[must_use]
    pub fn is_scsi(self) -> bool {
        matches!(self, Self::ParaVirtual | Self::LsiLogic | Self::LsiLogicSas | Self::BusLogic)
    }

    /// Returns how vSphere names and numbers this family.
    fn family(self) -> Family {
        match self {
            Self::Ide => Family { label: "IDE", key: 200, disk_key: 3000, buses: 2, units: 2 },
            Self::Ahci => Family { label: "SATA controller", key: 15000, disk_key: 16000, buses: 4, units: 30 },
            Self::Nvme => Family { label: "NVME controller", key: 31000, disk_key: 32000, buses: 4, units: 15 },
            _ => Family { label: "SCSI controller", key: 1000, disk_key: 2000, buses: 4, units: 16 },
        }
    }
}

struct Family {
    label: &'static str,
    key: i32,
    disk_key: i32,
    buses: i32,
    units: i32,
}

/// A controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// What it is.
    pub kind: ControllerKind,
    /// Bus number within its family.
    pub bus: i32,
    /// Device key.
    pub key: i32,
    /// `deviceInfo.label`.
    pub label: String,
}

/// Where a disk or a CD-ROM drive sits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index in [`Layout::controllers`].
    pub controller: usize,
    /// Unit on the controller.
    pub unit: i32,
    /// Device key.
    pub key: i32,
    /// `deviceInfo.label`.
    pub label: String,
}

/// The storage hardware of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Controllers, by key.
    pub controllers: Vec<Controller>,
    /// One for each disk of the inventory's VM, in its order.
    pub disks: Vec<Place>,
    /// One for each ISO image of the inventory's VM, in its order.
    pub cdroms: Vec<Place>,
}

impl Layout {
    /// Places the devices of a VM.
    ///
    /// Disks take the next free unit of their bus in the inventory's order, CD-ROM drives the free
    /// places of the IDE buses.
    ///
    /// # Errors
    ///
    /// Says which device has no place, or which bus two kinds of controllers claim.
    pub fn of(vm: &Vm) -> Result<Self, String> {
        let mut layout = Self { controllers: Vec::new(), disks: Vec::new(), cdroms: Vec::new() };
        let ide = [layout.controller(ControllerKind::Ide, 0)?, layout.controller(ControllerKind::Ide, 1)?];
        for (index, disk) in vm.disks.iter().enumerate() {
            let kind = ControllerKind::from_word(&disk.controller)
                .ok_or_else(|| format!("disk {index}: `{}` is no kind of controller", disk.controller))?;
            let controller = layout.controller(kind, disk.bus).map_err(|error| format!("disk {index}: {error}"))?;
            let label = format!("Hard disk {}", index + 1);
            let place = layout
                .free_place(controller, label)
                .ok_or_else(|| format!("disk {index}: no unit is free on bus {} of {}", disk.bus, disk.controller))?;
            layout.disks.push(place);
        }
        for iso in &vm.isos {
            let label = format!("CD/DVD drive {}", layout.cdroms.len() + 1);
            let place = ide
                .iter()
                .find_map(|&controller| layout.free_place(controller, label.clone()))
                .ok_or_else(|| format!("no IDE unit is free for `{iso}`"))?;
            layout.cdroms.push(place);
        }
        layout.sort_controllers();
        Ok(layout)
    }

    /// Returns the key of the lease file of a device: `/vm-62/ParaVirtualSCSIController0:0`.
    #[must_use]
    pub fn export_key(&self, vm_moref: &str, place: &Place) -> String {
        let controller = &self.controllers[place.controller];
        format!("/{vm_moref}/{}{}:{}", controller.kind.vim_class(), controller.bus, place.unit)
    }

    /// Returns the index of a controller, which is made when it is missing.
    fn controller(&mut self, kind: ControllerKind, bus: i32) -> Result<usize, String> {
        let family = kind.family();
        if !(0..family.buses).contains(&bus) {
            return Err(format!("bus {bus} is not 0 to {}", family.buses - 1));
        }
        let key = family.key + bus;
        if let Some(index) = self.controllers.iter().position(|controller| controller.key == key) {
            let there = self.controllers[index].kind;
            if there != kind {
                return Err(format!("SCSI bus {bus} is a {} already", there.vim_class()));
            }
            return Ok(index);
        }
        self.controllers.push(Controller { kind, bus, key, label: format!("{} {bus}", family.label) });
        Ok(self.controllers.len() - 1)
    }

    /// Returns the next free place on a controller.
    fn free_place(&self, controller: usize, label: String) -> Option<Place> {
        let Controller { kind, bus, .. } = self.controllers[controller];
        let family = kind.family();
        let taken = |unit| self.disks.iter().chain(&self.cdroms).any(|p| p.controller == controller && p.unit == unit);
        let unit =
            (0..family.units).filter(|&unit| !(kind.is_scsi() && unit == SCSI_OWN_UNIT)).find(|&unit| !taken(unit))?;
        Some(Place { controller, unit, key: family.disk_key + bus * family.units + unit, label })
    }

    fn sort_controllers(&mut self) {
        let mut order: Vec<usize> = (0..self.controllers.len()).collect();
        order.sort_by_key(|&index| self.controllers[index].key);
        for place in self.disks.iter_mut().chain(&mut self.cdroms) {
            place.controller =
                order.iter().position(|&old| old == place.controller).expect("every place has a controller");
        }
        self.controllers.sort_by_key(|controller| controller.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(text: &str) -> Vm {
        toml::from_str(&format!("path = \"DC0/vm/x\"\n{text}")).unwrap()
    }

    fn keys(text: &str) -> Vec<String> {
        let vm = vm(text);
        let layout = Layout::of(&vm).unwrap();
        layout.disks.iter().chain(&layout.cdroms).map(|place| layout.export_key("vm-9", place)).collect()
    }

    #[test]
    fn devices_take_the_next_free_unit_and_leave_the_controllers_own() {
        let nine = "[[disk]]\nsize = 512\n".repeat(9);
        let keys = keys(&nine);
        assert_eq!(keys[6], "/vm-9/ParaVirtualSCSIController0:6");
        assert_eq!(keys[7], "/vm-9/ParaVirtualSCSIController0:8");
    }

    #[test]
    fn cdroms_share_the_ide_buses_with_disks() {
        let text = "isos = [\"[d] a.iso\", \"[d] b.iso\"]\n[[disk]]\nsize = 512\ncontroller = \"ide\"\n";
        assert_eq!(
            keys(text),
            ["/vm-9/VirtualIDEController0:0", "/vm-9/VirtualIDEController0:1", "/vm-9/VirtualIDEController1:0"]
        );
    }

    #[test]
    fn keys_are_those_of_vsphere() {
        let vm = vm("[[disk]]\nsize = 512\nbus = 1\n[[disk]]\nsize = 512\ncontroller = \"nvme\"\n\
                     [[disk]]\nsize = 512\ncontroller = \"sata\"\n");
        let layout = Layout::of(&vm).unwrap();
        let controllers: Vec<_> = layout.controllers.iter().map(|c| (c.key, c.label.as_str())).collect();
        assert_eq!(
            controllers,
            [
                (200, "IDE 0"),
                (201, "IDE 1"),
                (1001, "SCSI controller 1"),
                (15000, "SATA controller 0"),
                (31000, "NVME controller 0")
            ]
        );
        let disks: Vec<_> = layout.disks.iter().map(|p| (p.key, layout.controllers[p.controller].key)).collect();
        assert_eq!(disks, [(2016, 1001), (32000, 31000), (16000, 15000)]);
        assert_eq!(layout.disks[2].label, "Hard disk 3");
    }

    #[test]
    fn what_has_no_place_is_refused_by_name() {
        for (text, word) in [
            ("[[disk]]\nsize = 512\ncontroller = \"floppy\"\n", "floppy"),
            ("[[disk]]\nsize = 512\nbus = 4\n", "bus 4"),
            ("[[disk]]\nsize = 512\n[[disk]]\nsize = 512\ncontroller = \"lsilogic\"\n", "ParaVirtualSCSIController"),
            ("isos = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n", "`e`"),
        ] {
            let error = Layout::of(&vm(text)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
