//! Controllers, disks and drives of a `.vmx` file.
//!
//! Keys are `BUS` `CONTROLLER` `:` `UNIT` `.` `WORD`, as in `scsi0:10.fileName`; floppy drives have
//! no unit.

use std::collections::BTreeSet;

use crate::Result;
use crate::package::machine::{
    Bus, Controller, ControllerModel, DeclaredFormat, Disk, DiskBacking, FileBacking, Machine, Place, Removable,
    RemovableKind,
};
use crate::package::ovf::Compression;
use crate::package::vmx::Vmx;

const BUSES: [Bus; 4] = [Bus::Scsi, Bus::Nvme, Bus::Sata, Bus::Ide];
/// The unit at which a SCSI controller itself sits.
const SCSI_OWN_UNIT: u32 = 7;
/// What stands for no medium at all.
const NO_MEDIUM: [&str; 3] = ["", "emptybackingstring", "auto detect"];

/// Takes controllers, disks and drives, in the order of buses, controllers and units.
pub(super) fn take(vmx: &Vmx, machine: &mut Machine) -> Result<()> {
    let places: BTreeSet<Place> = vmx.keys().filter_map(place_of_key).collect();
    for &place in &places {
        let controller = format!("{}{}", place.bus.word(), place.controller);
        // A controller that is absent takes its devices with it; IDE controllers are never declared.
        if vmx.absent.contains(&controller) || (place.bus == Bus::Scsi && place.unit == SCSI_OWN_UNIT) {
            continue;
        }
        take_device(vmx, machine, place);
    }
    take_controllers(vmx, machine);
    take_floppies(vmx, machine);
    Ok(())
}

/// Returns the place that a key such as `scsi0:10.filename` speaks of.
fn place_of_key(key: &str) -> Option<Place> {
    let (device, _) = key.split_once('.')?;
    let (controller, unit) = device.split_once(':')?;
    let (bus, controller) = controller_of_name(controller)?;
    Some(Place { bus, controller, unit: index(unit)? })
}

fn controller_of_name(name: &str) -> Option<(Bus, u32)> {
    BUSES.into_iter().find_map(|bus| Some((bus, index(name.strip_prefix(bus.word())?)?)))
}

/// Parses a number that is written in digits only, as `parse` alone would take a sign.
pub(super) fn index(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn take_device(vmx: &Vmx, machine: &mut Machine, place: Place) {
    let device = format!("{}{}:{}", place.bus.word(), place.controller, place.unit);
    let get = |word: &str| vmx.text(&format!("{device}.{word}"));
    let file_name = get("filename").filter(|name| !NO_MEDIUM.contains(&name.to_ascii_lowercase().as_str()));
    let kind = get("devicetype").unwrap_or_default().to_ascii_lowercase();
    if kind.contains("cdrom") {
        // A drive of the host is named like a file, but is none of the machine's.
        let medium = file_name.filter(|_| kind == "cdrom-image").map(str::to_owned);
        machine.removables.push(Removable { kind: RemovableKind::Cdrom, place: Some(place), medium });
        return;
    }
    let Some(file_name) = file_name else { return };
    match kind.as_str() {
        "" | "disk" | "plaindisk" | "scsi-harddisk" | "ata-harddisk" => {}
        "rawdisk" => machine.warn(format!("{device} is a raw disk of the host: its contents are not in a file")),
        other => {
            machine.warn(format!("{device} is a device of the unknown kind {other:?} and is left out"));
            return;
        }
    }
    warn_of_modes(machine, &device, file_name, get("mode"), get("sharing"));
    let backing = FileBacking {
        name: file_name.to_owned(),
        format: DeclaredFormat::Vmdk,
        compression: Compression::Identity,
        chunk_bytes: None,
        size_bytes: None,
    };
    machine.disks.push(Disk {
        place: Some(place),
        capacity_bytes: None,
        populated_bytes: None,
        backing: DiskBacking::File(backing),
    });
}

fn warn_of_modes(machine: &mut Machine, device: &str, file_name: &str, mode: Option<&str>, sharing: Option<&str>) {
    if is_snapshot_link(file_name) {
        machine.warn(format!("{device} runs on a snapshot, {file_name:?}"));
    }
    if let Some(mode) = mode.filter(|mode| mode.to_ascii_lowercase().starts_with("independent")) {
        machine.warn(format!("{device} is {mode}: snapshots leave it out"));
    }
    if let Some(sharing) = sharing.filter(|sharing| !sharing.eq_ignore_ascii_case("none")) {
        machine.warn(format!("{device} is shared with other machines ({sharing})"));
    }
}

/// Returns whether a disk is the link of a chain that a snapshot began: `NAME-000001.vmdk`.
fn is_snapshot_link(file_name: &str) -> bool {
    const DIGITS: usize = 6;
    let Some(stem) = file_name.strip_suffix(".vmdk") else { return false };
    let digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    digits == DIGITS && stem.as_bytes().get(stem.len().wrapping_sub(DIGITS + 1)) == Some(&b'-')
}

fn take_controllers(vmx: &Vmx, machine: &mut Machine) {
    let declared = vmx.keys().filter_map(|key| controller_of_name(key.split_once('.')?.0));
    let disks = machine.disks.iter().filter_map(|disk| disk.place);
    let drives = machine.removables.iter().filter_map(|drive| drive.place);
    let used = disks.chain(drives).map(|place| (place.bus, place.controller));
    let all: BTreeSet<(Bus, u32)> = declared.chain(used).collect();
    for (bus, number) in all {
        let model = match bus {
            Bus::Nvme => ControllerModel::Nvme,
            Bus::Sata => ControllerModel::Ahci,
            Bus::Ide | Bus::Floppy => ControllerModel::Ide,
            Bus::Scsi => scsi_model(vmx, machine, number),
        };
        machine.controllers.push(Controller { model, number });
    }
}

fn scsi_model(vmx: &Vmx, machine: &mut Machine, number: u32) -> ControllerModel {
    let Some(words) = vmx.text(&format!("scsi{number}.virtualdev")) else { return ControllerModel::Scsi };
    ControllerModel::scsi_from_words(words).unwrap_or_else(|| {
        machine.warn(format!("the model {words:?} of scsi{number} is unknown"));
        ControllerModel::Scsi
    })
}

fn take_floppies(vmx: &Vmx, machine: &mut Machine) {
    let numbers: BTreeSet<u32> =
        vmx.keys().filter_map(|key| index(key.split_once('.')?.0.strip_prefix("floppy")?)).collect();
    for number in numbers {
        let get = |word: &str| vmx.text(&format!("floppy{number}.{word}"));
        let medium = get("filename")
            .filter(|_| get("filetype").is_some_and(|kind| kind.eq_ignore_ascii_case("file")))
            .filter(|name| !NO_MEDIUM.contains(&name.to_ascii_lowercase().as_str()))
            .map(str::to_owned);
        let place = Place { bus: Bus::Floppy, controller: 0, unit: number };
        machine.removables.push(Removable { kind: RemovableKind::Floppy, place: Some(place), medium });
    }
}
