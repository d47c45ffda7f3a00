//! What will be exported, and what cannot work: said before a byte moves.
//!
//! Pure but for the one question to the server at the start; the rest are functions over its answer.

use std::collections::BTreeMap;

use vsphere::Session;
use vsphere::inventory::Vm;
use vsphere::properties::{self, Object};
use vsphere::wire::ApiVersion;
use vsphere::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceBackingInfo, CryptoKeyId, VirtualController, VirtualDevice, VirtualDisk,
};

use super::claim::Identity;
use crate::{Error, ErrorKind, Result};

/// API version that brought encrypted VMs.
const ENCRYPTION_SINCE: &str = "6.5";

/// A VM that can be exported.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) vm: Vm,
    pub(super) identity: Identity,
    /// Capacity in bytes by the place of a disk: class of its controller, bus and unit, as the
    /// lease's keys say it (`ParaVirtualSCSIController0:0`).
    pub(super) disks: BTreeMap<String, u64>,
    /// Capacities in the order of the devices, for keys that say nothing.
    pub(super) disks_in_order: Vec<u64>,
}

/// Checks what is known about `vm`.
///
/// # Errors
/// [`ErrorKind::State`] for a VM that cannot be exported as it is, with what to do about it.
pub(super) async fn plan(session: &Session, vm: Vm) -> Result<Plan> {
    check_state(&vm)?;
    let mut paths = vec!["config.hardware.device", "config.instanceUuid"];
    // Older servers cannot encrypt VMs, and refuse the question.
    if ApiVersion::parse(ENCRYPTION_SINCE).is_some_and(|since| session.version() >= since) {
        paths.push("config.keyId");
    }
    let object = properties::read(session, &vm.moref, &paths).await;
    let object =
        object.map_err(|error| Error::from(error.context(format!("read the configuration of {}", vm.path))))?;
    check_encryption(&vm, &object)?;
    let devices: Vec<AnyVirtualDevice> = object.list("config.hardware.device")?;
    let disks = disks(&devices);
    for disk in &disks {
        check_disk(&vm, disk.1)?;
    }
    let missing = || Error::new(ErrorKind::Server, format!("export {}: the server gives it no instanceUuid", vm.path));
    let uuid: Option<String> = object.get("config.instanceUuid")?;
    let identity = Identity {
        vm: uuid.filter(|uuid| !uuid.is_empty()).ok_or_else(missing)?,
        server: session.content().about.instance_uuid.clone().unwrap_or_default(),
    };
    Ok(Plan {
        vm,
        identity,
        disks_in_order: disks.iter().map(|(_, disk)| capacity(disk)).collect(),
        disks: disks.iter().map(|(place, disk)| (place.clone(), capacity(disk))).collect(),
    })
}

impl Plan {
    /// Returns whether a key of a lease is the place of one of the VM's disks.
    pub(super) fn is_disk(&self, key: &str) -> bool {
        self.disks.contains_key(place_of(key))
    }

    /// Returns the capacity of the disk that a lease calls `key`, the `index`-th of its disks.
    pub(super) fn capacity(&self, key: &str, index: usize) -> Option<u64> {
        self.disks.get(place_of(key)).or_else(|| self.disks_in_order.get(index)).copied()
    }
}

/// Returns what stands behind the VM's id in a key of a lease.
fn place_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn check_state(vm: &Vm) -> Result<()> {
    let refuse = |reason: &str, hint: &str| {
        Err(Error::new(ErrorKind::State, format!("export {}: {reason}", vm.path)).with_hint(hint))
    };
    if vm.connection_state != "connected" {
        let reason = format!("the VM is {}, so its host cannot send it", vm.connection_state);
        return refuse(&reason, "bring its host back, or register the VM on another one");
    }
    match vm.power_state.as_str() {
        "poweredOff" => Ok(()),
        "suspended" => refuse("the VM is suspended, and its memory would be lost", "resume it and shut it down first"),
        state => refuse(
            &format!("the VM is {state}, and a lease needs it powered off"),
            "shut the guest down first; an export from a snapshot of a running VM is not built yet",
        ),
    }
}

fn check_encryption(vm: &Vm, object: &Object) -> Result<()> {
    let key: Option<CryptoKeyId> = object.get("config.keyId")?;
    if key.is_none() {
        return Ok(());
    }
    let context = format!("export {}: the VM is encrypted, and hosts do not export encrypted disks", vm.path);
    Err(Error::new(ErrorKind::State, context)
        .with_hint("decrypt it in vSphere first (VM policies, edit VM storage policies)"))
}

fn check_disk(vm: &Vm, disk: &VirtualDisk) -> Result<()> {
    let (label, reason) = match disk.backing.as_ref() {
        Some(AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskMappingVer1BackingInfo(mapping))
            if mapping.compatibility_mode.as_deref() == Some("physicalMode") =>
        {
            (label(disk), "is a raw device in physical mode, which a lease does not carry")
        }
        Some(AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskVer2BackingInfo(_)) => {
            (label(disk), "is a raw device, which a lease does not carry")
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::State, format!("export {}: {label} {reason}", vm.path))
        .with_hint("detach that disk, or change its mapping to virtual mode"))
}

fn label(disk: &VirtualDisk) -> String {
    disk.device_info.as_ref().map_or_else(|| format!("disk {}", disk.key), |info| format!("`{}`", info.label))
}

/// Returns the disks with their places, in the order of the devices.
fn disks(devices: &[AnyVirtualDevice]) -> Vec<(String, &VirtualDisk)> {
    let controllers: BTreeMap<i32, String> = devices
        .iter()
        .filter_map(|device| {
            let controller = controller(device)?;
            Some((controller.key, format!("{}{}", device.type_name(), controller.bus_number)))
        })
        .collect();
    let place = |disk: &VirtualDevice| {
        let controller = disk.controller_key.and_then(|key| controllers.get(&key));
        let unit = disk.unit_number.unwrap_or_default();
        controller.map_or_else(|| format!("key {}", disk.key), |controller| format!("{controller}:{unit}"))
    };
    let mut found = Vec::new();
    for device in devices {
        if let AnyVirtualDevice::VirtualDisk(disk) = device {
            found.push((place(disk), disk.as_ref()));
        }
    }
    found
}

fn controller(device: &AnyVirtualDevice) -> Option<&VirtualController> {
    match device {
        AnyVirtualDevice::ParaVirtualSCSIController(controller) => Some(controller),
        AnyVirtualDevice::VirtualLsiLogicController(controller) => Some(controller),
        AnyVirtualDevice::VirtualLsiLogicSASController(controller) => Some(controller),
        AnyVirtualDevice::VirtualBusLogicController(controller) => Some(controller),
        AnyVirtualDevice::VirtualAHCIController(controller) => Some(controller),
        AnyVirtualDevice::VirtualNVMEController(controller) => Some(controller),
        AnyVirtualDevice::VirtualIDEController(controller) => Some(controller),
        _ => None,
    }
}

fn capacity(disk: &VirtualDisk) -> u64 {
    let bytes = disk.capacity_in_bytes.unwrap_or_else(|| disk.capacity_in_kb.saturating_mul(1024));
    u64::try_from(bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use vsphere::wire::MoRef;
    use vsphere::wire::generated::{ParaVirtualSCSIController, VirtualMachineConfigSummary};

    use super::*;

    fn vm(power: &str, connection: &str) -> Vm {
        Vm {
            moref: MoRef::new("VirtualMachine", "vm-1"),
            path: "DC0/vm/web01".into(),
            name: "web01".into(),
            power_state: power.into(),
            connection_state: connection.into(),
            config: VirtualMachineConfigSummary::default(),
            committed_bytes: None,
        }
    }

    #[test]
    fn only_a_connected_vm_that_is_off_passes_and_the_others_are_told_what_to_do() {
        assert!(check_state(&vm("poweredOff", "connected")).is_ok());
        for (power, connection) in
            [("poweredOn", "connected"), ("suspended", "connected"), ("poweredOff", "inaccessible")]
        {
            let error = check_state(&vm(power, connection)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State);
            assert!(error.to_string().contains("DC0/vm/web01") && error.hint().is_some());
        }
    }

    #[test]
    fn a_disk_is_found_by_class_bus_and_unit_of_its_controller() {
        let mut controller = ParaVirtualSCSIController::default();
        (controller.key, controller.bus_number) = (1001, 1);
        let mut disk = VirtualDisk { capacity_in_kb: 4, ..VirtualDisk::default() };
        (disk.controller_key, disk.unit_number) = (Some(1001), Some(3));
        let devices = [AnyVirtualDevice::from(controller), AnyVirtualDevice::from(disk)];
        let found = disks(&devices);
        assert_eq!(found[0].0, "ParaVirtualSCSIController1:3");
        assert_eq!(capacity(found[0].1), 4096);
    }
}
