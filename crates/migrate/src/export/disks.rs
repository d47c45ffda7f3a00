//! The disks of a VM: where they sit, which of them are wanted, and which cannot be exported.
//!
//! A disk is chosen by its number, in the order of the VM's devices from 0 on, by the label that vSphere shows
//! (`Hard disk 2`), or by the name of its file (`[ds] web01/web01_1.vmdk` or `web01_1.vmdk`). What is not wanted is not
//! checked either: leaving a disk out is the way to export a snapshot of a VM one of whose disks is in none.

use std::collections::BTreeMap;

use vsphere::inventory::{self, Vm};
use vsphere::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceBackingInfo, VirtualController, VirtualDevice, VirtualDisk,
};

use super::SnapshotPolicy;
use crate::{Error, ErrorKind, Result};

/// Which disks of a VM are wanted. The default: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskChoice {
    /// Only these; empty means all.
    pub only: Vec<String>,
    /// All but these.
    pub except: Vec<String>,
}

/// A disk of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Class of its controller, bus and unit, as the keys of a lease say it (`ParaVirtualSCSIController0:0`).
    pub(crate) place: String,
    /// What vSphere calls it.
    pub(crate) label: String,
    /// The file of its top layer; `None` for one that stands on no file.
    pub(crate) file: Option<String>,
    pub(crate) capacity_bytes: u64,
    /// False for one that is left out.
    pub(crate) wanted: bool,
}

/// Returns the disks of a VM, in the order of the devices, each with what is wanted of it.
///
/// # Errors
/// [`ErrorKind::Usage`] for a choice that fits no disk or several; [`ErrorKind::State`] for a wanted one that
/// cannot be exported.
pub(super) fn plan(
    vm: &Vm,
    devices: &[AnyVirtualDevice],
    choice: &DiskChoice,
    snapshot: Option<SnapshotPolicy>,
) -> Result<Vec<Disk>> {
    let found = devices_of(devices);
    let mut disks: Vec<_> = found.iter().map(|(place, disk)| described(place, disk)).collect();
    choose(vm, &mut disks, choice)?;
    for ((_, disk), _) in found.iter().zip(&disks).filter(|(_, disk)| disk.wanted) {
        check(vm, disk, snapshot)?;
    }
    Ok(disks)
}

/// Returns all disks among devices, in their order.
pub(crate) fn all(devices: &[AnyVirtualDevice]) -> Vec<Disk> {
    devices_of(devices).iter().map(|(place, disk)| described(place, disk)).collect()
}

/// Returns what a person should know of the disks, one line each.
pub(super) fn notes(vm: &Vm, devices: &[AnyVirtualDevice], disks: &[Disk]) -> Vec<String> {
    let mut notes = Vec::new();
    if disks.is_empty() {
        notes.push(format!("{} has no disk: the package describes its hardware only", vm.path));
    }
    for ((_, device), disk) in devices_of(devices).iter().zip(disks).filter(|(_, disk)| disk.wanted) {
        if is_mapping(device) {
            let label = &disk.label;
            notes.push(format!("{label} is a raw device in virtual mode: its whole content is exported as a disk"));
        }
    }
    let left_out: Vec<_> = disks.iter().filter(|disk| !disk.wanted).map(|disk| disk.label.as_str()).collect();
    if !left_out.is_empty() {
        notes.push(format!("the package is without {}, as was asked for", left_out.join(", ")));
    }
    notes
}

fn described(place: &str, disk: &VirtualDisk) -> Disk {
    Disk {
        place: place.to_owned(),
        label: label(disk),
        file: file(disk).map(str::to_owned),
        capacity_bytes: u64::try_from(inventory::capacity_bytes(disk)).unwrap_or(0),
        wanted: true,
    }
}

/// Marks what is wanted.
fn choose(vm: &Vm, disks: &mut [Disk], choice: &DiskChoice) -> Result<()> {
    let indices = |names: &[String]| names.iter().map(|name| find(vm, disks, name)).collect::<Result<Vec<_>>>();
    let (only, except) = (indices(&choice.only)?, indices(&choice.except)?);
    for (index, disk) in disks.iter_mut().enumerate() {
        disk.wanted = (only.is_empty() || only.contains(&index)) && !except.contains(&index);
    }
    if !disks.is_empty() && disks.iter().all(|disk| !disk.wanted) {
        let context = format!("export {}: every disk of it is left out", vm.path);
        return Err(Error::new(ErrorKind::Usage, context).with_hint(listed(disks)));
    }
    Ok(())
}

/// Returns the index of the one disk that `name` means.
fn find(vm: &Vm, disks: &[Disk], name: &str) -> Result<usize> {
    if let Some(index) = name.parse().ok().filter(|index| *index < disks.len()) {
        return Ok(index);
    }
    let is_meant = |disk: &Disk| {
        let file = disk.file.as_deref().unwrap_or_default();
        disk.label.eq_ignore_ascii_case(name) || (!file.is_empty() && (file == name || base(file) == name))
    };
    let fits: Vec<usize> = (0..disks.len()).filter(|index| is_meant(&disks[*index])).collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        several => {
            let how_many = if several.is_empty() { "none of its disks is" } else { "several of its disks are" };
            let context = format!("export {}: {how_many} `{name}`", vm.path);
            Err(Error::new(ErrorKind::Usage, context).with_hint(listed(disks)))
        }
    }
}

/// Says which disks there are.
fn listed(disks: &[Disk]) -> String {
    let name = |(index, disk): (usize, &Disk)| {
        let file = disk.file.as_deref().map(|file| format!(", {}", base(file))).unwrap_or_default();
        format!("{index} ({}{file})", disk.label)
    };
    format!("it has {}", disks.iter().enumerate().map(name).collect::<Vec<_>>().join(", "))
}

/// Returns the last part of a path on a datastore.
fn base(file: &str) -> &str {
    file.rsplit(['/', ' ']).next().unwrap_or(file)
}

fn check(vm: &Vm, disk: &VirtualDisk, snapshot: Option<SnapshotPolicy>) -> Result<()> {
    let refuse = |reason: &str, hint: &str| {
        let context = format!("export {}: `{}` {reason}", vm.path, label(disk));
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
            "leave it out with --exclude-disk, shut the guest down and export without --snapshot, or make it dependent",
        ),
        _ => Ok(()),
    }
}

fn is_mapping(disk: &VirtualDisk) -> bool {
    matches!(disk.backing, Some(AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskMappingVer1BackingInfo(_)))
}

/// Returns the file of a disk's top layer.
fn file(disk: &VirtualDisk) -> Option<&str> {
    use AnyVirtualDeviceBackingInfo as Backing;
    let file = match disk.backing.as_ref()? {
        Backing::VirtualDiskFlatVer1BackingInfo(backing) => &backing.file_name,
        Backing::VirtualDiskFlatVer2BackingInfo(backing) => &backing.file_name,
        Backing::VirtualDiskSparseVer1BackingInfo(backing) => &backing.file_name,
        Backing::VirtualDiskSparseVer2BackingInfo(backing) => &backing.file_name,
        Backing::VirtualDiskSeSparseBackingInfo(backing) => &backing.file_name,
        Backing::VirtualDiskLocalPMemBackingInfo(backing) => &backing.file_name,
        Backing::VirtualDiskRawDiskMappingVer1BackingInfo(backing) => &backing.file_name,
        _ => return None,
    };
    Some(file.as_str()).filter(|file| !file.is_empty())
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
    disk.device_info.as_ref().map_or_else(|| format!("disk {}", disk.key), |info| info.label.clone())
}

/// Returns the disks with their places, in the order of the devices.
fn devices_of(devices: &[AnyVirtualDevice]) -> Vec<(String, &VirtualDisk)> {
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

#[cfg(test)]
mod tests {
    use vsphere::wire::generated::{
        Description, ParaVirtualSCSIController, VirtualDiskFlatVer2BackingInfo,
        VirtualDiskRawDiskMappingVer1BackingInfo, VirtualDiskSeSparseBackingInfo,
    };

    use super::*;
    use crate::export::plan::tests::vm;

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
            check(&vm, &disk, None).unwrap();
            let error = check(&vm, &disk, Some(SnapshotPolicy::Crash)).unwrap_err();
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
        assert!(check(&vm, &mapping("physicalMode"), None).is_err());
        let shared = mapping("virtualMode");
        check(&vm, &shared, None).unwrap();
        let devices = [shared.into()];
        assert!(notes(&vm, &devices, &all(&devices))[0].contains("virtual mode"));
        assert!(notes(&vm, &[], &[])[0].contains("no disk"));
    }

    #[test]
    fn a_disk_is_found_by_class_bus_and_unit_of_its_controller() {
        let mut controller = ParaVirtualSCSIController::default();
        (controller.key, controller.bus_number) = (1001, 1);
        let mut disk = VirtualDisk { capacity_in_kb: 4, ..VirtualDisk::default() };
        (disk.controller_key, disk.unit_number) = (Some(1001), Some(3));
        let devices = [AnyVirtualDevice::from(controller), AnyVirtualDevice::from(disk)];
        let found = all(&devices);
        assert_eq!((found[0].place.as_str(), found[0].capacity_bytes), ("ParaVirtualSCSIController1:3", 4096));
    }

    fn labelled(label: &str, file: &str) -> AnyVirtualDevice {
        let mut backing = VirtualDiskFlatVer2BackingInfo::default();
        file.clone_into(&mut backing.file_name);
        let mut disk = disk(backing);
        disk.device_info = Some(Description { label: label.into(), summary: String::new() }.into());
        disk.into()
    }

    fn chosen(only: &[&str], except: &[&str]) -> Result<Vec<bool>> {
        let devices = [
            labelled("Hard disk 1", "[ds1] web01/web01.vmdk"),
            labelled("Hard disk 2", "[ds1] web01/web01_1.vmdk"),
            labelled("Hard disk 3", "[ds2] web01/web01_1.vmdk"),
        ];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let choice = DiskChoice { only: names(only), except: names(except) };
        let disks = plan(&vm("poweredOff", "connected"), &devices, &choice, None)?;
        Ok(disks.into_iter().map(|disk| disk.wanted).collect())
    }

    #[test]
    fn disks_are_chosen_by_number_label_and_file() {
        for (only, except, expected) in [
            (&[][..], &[][..], [true, true, true]),
            (&["0"], &[], [true, false, false]),
            (&["hard DISK 2", "web01.vmdk"], &[], [true, true, false]),
            (&["[ds2] web01/web01_1.vmdk"], &[], [false, false, true]),
            (&[], &["1"], [true, false, true]),
            (&["0", "1"], &["Hard disk 2"], [true, false, false]),
        ] {
            assert_eq!(chosen(only, except).unwrap(), expected, "{only:?} {except:?}");
        }
    }

    #[test]
    fn a_choice_that_fits_no_disk_or_several_names_those_that_there_are() {
        for (only, except) in [(&["3"][..], &[][..]), (&[], &["data"]), (&["web01_1.vmdk"], &[]), (&["0"], &["0"])] {
            let error = chosen(only, except).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            assert!(error.hint().unwrap().contains("1 (Hard disk 2, web01_1.vmdk)"), "{:?}", error.hint());
        }
    }

    #[test]
    fn a_disk_that_is_left_out_cannot_stand_in_the_way() {
        let disk_mode = "independent_persistent".into();
        let independent = disk(VirtualDiskFlatVer2BackingInfo { disk_mode, ..Default::default() });
        let devices = [labelled("Hard disk 1", "a.vmdk"), independent.into()];
        let (vm, snapshot) = (vm("poweredOff", "connected"), Some(SnapshotPolicy::Crash));
        let all_of_them = plan(&vm, &devices, &DiskChoice::default(), snapshot).unwrap_err();
        assert!(all_of_them.hint().unwrap().contains("--exclude-disk"), "{all_of_them}");
        let choice = DiskChoice { only: vec![], except: vec!["1".into()] };
        let disks = plan(&vm, &devices, &choice, snapshot).unwrap();
        assert!(notes(&vm, &devices, &disks)[0].contains("without"));
    }
}
