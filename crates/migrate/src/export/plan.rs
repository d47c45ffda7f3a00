//! What will be exported, and what cannot work: said before a byte moves.
//!
//! Pure but for the one question to the server at the start; the rest are functions over its answer.

use std::collections::BTreeMap;

use vsphere::Session;
use vsphere::inventory::{self, Vm};
use vsphere::properties::{self, Object};
use vsphere::wire::ApiVersion;
use vsphere::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceBackingInfo, CryptoKeyId, VirtualController, VirtualDevice, VirtualDisk,
};

use super::claim::Identity;
use super::{SnapshotPolicy, images, refusal};
use crate::{Error, ErrorKind, Result};

/// The word for a VM that runs.
const POWERED_ON: &str = "poweredOn";

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
    /// What a person should know before a byte moves, one line each.
    pub(super) notes: Vec<String>,
}

/// Checks what is known about `vm`.
///
/// # Errors
/// [`ErrorKind::State`] for a VM that cannot be exported as it is, with what to do about it.
pub(super) async fn plan(session: &Session, vm: Vm, snapshot: Option<SnapshotPolicy>) -> Result<Plan> {
    check_state(&vm, snapshot)?;
    let mut paths = vec!["config.hardware.device", "config.instanceUuid", "guest.toolsRunningStatus"];
    // Older servers cannot encrypt VMs, and refuse the question.
    if ApiVersion::parse(ENCRYPTION_SINCE).is_some_and(|since| session.version() >= since) {
        paths.push("config.keyId");
    }
    let object = properties::read(session, &vm.moref, &paths).await;
    let object =
        object.map_err(|error| Error::from(error.context(format!("read the configuration of {}", vm.path))))?;
    check_encryption(&vm, &object)?;
    check_tools(&vm, snapshot, &object)?;
    let devices: Vec<AnyVirtualDevice> = object.list("config.hardware.device")?;
    let disks = disks(&devices);
    for (_, disk) in &disks {
        check_disk(&vm, disk, snapshot)?;
    }
    images::check(session, &vm, &devices).await?;
    let missing = || Error::new(ErrorKind::Server, format!("export {}: the server gives it no instanceUuid", vm.path));
    let uuid: Option<String> = object.get("config.instanceUuid")?;
    let identity = Identity {
        vm: uuid.filter(|uuid| !uuid.is_empty()).ok_or_else(missing)?,
        server: session.content().about.instance_uuid.clone().unwrap_or_default(),
    };
    Ok(Plan {
        notes: notes(&vm, &disks, snapshot),
        identity,
        disks_in_order: disks.iter().map(|(_, disk)| capacity(disk)).collect(),
        disks: disks.iter().map(|(place, disk)| (place.clone(), capacity(disk))).collect(),
        vm,
    })
}

/// Returns what is not wrong but worth a line.
fn notes(vm: &Vm, disks: &[(String, &VirtualDisk)], snapshot: Option<SnapshotPolicy>) -> Vec<String> {
    let mut notes = Vec::new();
    if vm.config.template {
        notes.push(format!("{} is a template: it is exported as a VM that is off, and stays a template", vm.path));
    }
    if disks.is_empty() {
        notes.push(format!("{} has no disk: the package describes its hardware only", vm.path));
    }
    for (_, disk) in disks.iter().filter(|(_, disk)| is_mapping(disk)) {
        notes.push(format!("{} is a raw device in virtual mode: its whole content is exported as a disk", label(disk)));
    }
    if snapshot == Some(SnapshotPolicy::Quiesce) && vm.power_state != POWERED_ON {
        notes.push(format!("{} is off: nothing has to come to rest for its snapshot", vm.path));
    }
    notes
}

impl Plan {
    /// Returns whether the VM ran when the plan was made.
    pub(super) fn runs(&self) -> bool {
        self.vm.power_state == POWERED_ON
    }

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

fn check_state(vm: &Vm, snapshot: Option<SnapshotPolicy>) -> Result<()> {
    let refuse = |reason: &str, hint: &str| {
        Err(Error::new(ErrorKind::State, format!("export {}: {reason}", vm.path)).with_hint(hint))
    };
    if vm.connection_state != "connected" {
        let reason = format!("the VM is {}, so its host cannot send it", vm.connection_state);
        return refuse(&reason, "bring its host back, or register the VM on another one");
    }
    if vm.config.template && snapshot.is_some() {
        return refuse("it is a template, and templates have no snapshots", "export it without --snapshot");
    }
    match (vm.power_state.as_str(), snapshot) {
        ("poweredOff", _) | (POWERED_ON, Some(_)) => Ok(()),
        ("suspended", _) => {
            refuse("the VM is suspended, and its memory would be lost", "resume it and shut it down first")
        }
        (state, _) => refuse(
            &format!("the VM is {state}, and a lease needs it powered off"),
            "export a point in time of it with --snapshot (crash-consistent; --snapshot=quiesce asks the guest to \
             come to rest before), or shut the guest down first",
        ),
    }
}

/// Refuses to ask a guest for rest that has nobody to hear it.
fn check_tools(vm: &Vm, snapshot: Option<SnapshotPolicy>, object: &Object) -> Result<()> {
    if snapshot != Some(SnapshotPolicy::Quiesce) || vm.power_state != POWERED_ON {
        return Ok(());
    }
    // A server that does not say leaves it to the snapshot itself, which is checked too.
    match object.get::<String>("guest.toolsRunningStatus").ok().flatten().as_deref() {
        Some("guestToolsNotRunning") => {
            let context = format!("export {}: VMware Tools do not run in it, so it cannot be brought to rest", vm.path);
            Err(Error::new(ErrorKind::State, context).with_hint(refusal::CRASH_HINT))
        }
        _ => Ok(()),
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

fn check_disk(vm: &Vm, disk: &VirtualDisk, snapshot: Option<SnapshotPolicy>) -> Result<()> {
    let refuse = |reason: &str, hint: &str| {
        let context = format!("export {}: {} {reason}", vm.path, label(disk));
        Err(Error::new(ErrorKind::State, context).with_hint(hint))
    };
    const DETACH: &str = "detach that disk, or change its mapping to virtual mode";
    match disk.backing.as_ref() {
        Some(AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskMappingVer1BackingInfo(mapping))
            if mapping.compatibility_mode.as_deref() == Some("physicalMode") =>
        {
            refuse("is a raw device in physical mode, which a lease does not carry", DETACH)
        }
        Some(AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskVer2BackingInfo(_)) => {
            refuse("is a raw device, which a lease does not carry", DETACH)
        }
        _ if snapshot.is_some() && mode(disk).starts_with("independent") => refuse(
            "is independent, and no snapshot takes it",
            "shut the guest down and export without --snapshot, or make that disk dependent",
        ),
        _ => Ok(()),
    }
}

fn is_mapping(disk: &VirtualDisk) -> bool {
    matches!(disk.backing, Some(AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskMappingVer1BackingInfo(_)))
}

/// Returns the mode of a disk, `persistent` and the like; nothing where its backing has none.
fn mode(disk: &VirtualDisk) -> &str {
    use AnyVirtualDeviceBackingInfo as Backing;
    match disk.backing.as_ref() {
        Some(Backing::VirtualDiskFlatVer1BackingInfo(backing)) => &backing.disk_mode,
        Some(Backing::VirtualDiskFlatVer2BackingInfo(backing)) => &backing.disk_mode,
        Some(Backing::VirtualDiskSparseVer1BackingInfo(backing)) => &backing.disk_mode,
        Some(Backing::VirtualDiskSparseVer2BackingInfo(backing)) => &backing.disk_mode,
        Some(Backing::VirtualDiskSeSparseBackingInfo(backing)) => &backing.disk_mode,
        Some(Backing::VirtualDiskLocalPMemBackingInfo(backing)) => &backing.disk_mode,
        Some(Backing::VirtualDiskRawDiskMappingVer1BackingInfo(backing)) => {
            backing.disk_mode.as_deref().unwrap_or_default()
        }
        _ => "",
    }
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
    u64::try_from(inventory::capacity_bytes(disk)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use vsphere::wire::MoRef;
    use vsphere::wire::generated::{
        ParaVirtualSCSIController, VirtualDiskFlatVer2BackingInfo, VirtualDiskRawDiskMappingVer1BackingInfo,
        VirtualDiskSeSparseBackingInfo, VirtualMachineConfigSummary,
    };

    use super::*;

    fn vm(power: &str, connection: &str) -> Vm {
        Vm {
            moref: MoRef::new("VirtualMachine", "vm-1"),
            path: "DC0/vm/web01".into(),
            name: "web01".into(),
            power_state: power.into(),
            connection_state: connection.into(),
            config: VirtualMachineConfigSummary::default(),
            capacity_bytes: None,
            committed_bytes: None,
        }
    }

    #[test]
    fn only_a_connected_vm_that_is_off_passes_and_the_others_are_told_what_to_do() {
        assert!(check_state(&vm("poweredOff", "connected"), None).is_ok());
        for (power, connection) in
            [("poweredOn", "connected"), ("suspended", "connected"), ("poweredOff", "inaccessible")]
        {
            let error = check_state(&vm(power, connection), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State);
            assert!(error.to_string().contains("DC0/vm/web01") && error.hint().is_some());
        }
    }

    #[test]
    fn a_running_vm_passes_with_a_snapshot_and_its_refusal_names_that_way() {
        let running = vm(POWERED_ON, "connected");
        assert!(check_state(&running, Some(SnapshotPolicy::Crash)).is_ok());
        assert!(check_state(&running, None).unwrap_err().hint().unwrap().contains("--snapshot"));
        let mut template = vm("poweredOff", "connected");
        template.config.template = true;
        assert!(check_state(&template, Some(SnapshotPolicy::Crash)).is_err());
        assert!(notes(&template, &[], None).iter().any(|note| note.contains("template")));
        assert!(check_state(&vm("suspended", "connected"), Some(SnapshotPolicy::Crash)).is_err());
    }

    fn disk(backing: impl Into<AnyVirtualDeviceBackingInfo>) -> VirtualDisk {
        let base = VirtualDevice { backing: Some(backing.into()), ..Default::default() };
        VirtualDisk { base, ..Default::default() }
    }

    #[test]
    fn a_disk_that_no_snapshot_takes_is_refused_with_one_only() {
        let mapping = VirtualDiskRawDiskMappingVer1BackingInfo {
            compatibility_mode: Some("virtualMode".into()),
            disk_mode: Some("independent_persistent".into()),
            ..Default::default()
        };
        for disk in [
            disk(VirtualDiskFlatVer2BackingInfo {
                disk_mode: "independent_nonpersistent".into(),
                ..Default::default()
            }),
            disk(VirtualDiskSeSparseBackingInfo { disk_mode: "independent_persistent".into(), ..Default::default() }),
            disk(mapping),
        ] {
            let vm = vm("poweredOff", "connected");
            check_disk(&vm, &disk, None).unwrap();
            let error = check_disk(&vm, &disk, Some(SnapshotPolicy::Crash)).unwrap_err();
            assert!(error.to_string().contains("independent") && error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn a_raw_device_is_refused_in_physical_mode_and_noted_in_virtual_mode() {
        let mapping = |mode: &str| {
            let compatibility_mode = Some(mode.into());
            disk(VirtualDiskRawDiskMappingVer1BackingInfo { compatibility_mode, ..Default::default() })
        };
        let vm = vm("poweredOff", "connected");
        assert!(check_disk(&vm, &mapping("physicalMode"), None).is_err());
        let shared = mapping("virtualMode");
        check_disk(&vm, &shared, None).unwrap();
        assert!(notes(&vm, &[("x0:0".into(), &shared)], None)[0].contains("virtual mode"));
        assert!(notes(&vm, &[], None)[0].contains("no disk"));
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
