//! What a disk image or a package is, for people.

use hyper_api::{Image, InspectedDisk, Inspection, Link, Machine, Part};

use crate::escape::escape;
use crate::human;
use crate::table;

/// Most extents of one link that are listed; a disk in files of 2 GiB has hundreds.
const PARTS_MAX: usize = 16;

/// Returns all that was found.
pub(crate) fn text(found: &Inspection) -> String {
    let mut text = labelled(&[Some((label(found), show(&found.path.to_string_lossy()))), package(found)]);
    if let Some(machine) = &found.machine {
        text.push_str(&hardware(machine));
    }
    for (number, disk) in found.disks.iter().enumerate() {
        text.push('\n');
        text.push_str(&of_disk(number, disk, found.machine.is_some()));
    }
    let of_machine = found.machine.iter().flat_map(|machine| &machine.warnings);
    let of_disks = found.disks.iter().filter_map(|disk| disk.image.as_ref()).flat_map(|image| &image.warnings);
    let warnings: Vec<_> = found.warnings.iter().chain(of_machine).chain(of_disks).collect();
    if !warnings.is_empty() {
        text.push('\n');
    }
    warnings.iter().for_each(|warning| text.push_str(&format!("warning: {}\n", show(warning))));
    text
}

fn label(found: &Inspection) -> &'static str {
    match found.kind.as_str() {
        "package" => "Package",
        "vmx" => "Machine of",
        _ => "Image",
    }
}

fn package(found: &Inspection) -> Option<(&'static str, String)> {
    let package = found.package.as_ref()?;
    let manifest = match package.manifest_files {
        None => "no manifest".to_owned(),
        Some(1) => "a manifest of 1 file".to_owned(),
        Some(files) => format!("a manifest of {files} files"),
    };
    let descriptor = show(&package.descriptor);
    Some(("Container", format!("{}, descriptor {descriptor}, {manifest}", show(&package.container))))
}

fn hardware(machine: &Machine) -> String {
    let guest = match (&machine.guest, &machine.guest_id) {
        (Some(guest), Some(id)) => Some(format!("{} ({})", show(guest), show(id))),
        (guest, id) => guest.as_ref().or(id.as_ref()).map(|guest| show(guest)),
    };
    let sockets = machine.cores_per_socket.map(|cores| format!(", {cores} per socket")).unwrap_or_default();
    let firmware = machine.firmware.as_ref().map(|firmware| {
        let secure = if machine.secure_boot == Some(true) { ", secure boot" } else { "" };
        let tpm = if machine.tpm { ", TPM" } else { "" };
        format!("{}{secure}{tpm}", show(firmware))
    });
    let mut text = labelled(&[
        Some(("Name", show(&machine.name))),
        guest.map(|guest| ("Guest", guest)),
        machine.hardware_version.as_ref().map(|version| ("Hardware", show(version))),
        Some(("CPUs", format!("{}{sockets}", machine.vcpus))),
        Some(("Memory", human::bytes(machine.memory_bytes))),
        firmware.map(|firmware| ("Firmware", firmware)),
        machine.nvram.as_ref().map(|nvram| ("NVRAM", show(nvram))),
    ]);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for controller in &machine.controllers {
        rows.push(vec![show(&controller.address), show(&controller.model), String::new()]);
    }
    for drive in &machine.removables {
        let medium = drive.medium.as_ref().map(|medium| show(medium)).unwrap_or_default();
        rows.push(vec![or_dash(drive.address.as_deref()), show(&drive.kind), medium]);
    }
    for nic in &machine.nics {
        let parts = [nic.mac.as_deref(), nic.network.as_deref()].into_iter().flatten().map(show);
        rows.push(vec!["network".to_owned(), show(&nic.model), parts.collect::<Vec<_>>().join(" ")]);
    }
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table::aligned(&["DEVICE", "MODEL", ""], &rows));
    }
    text
}

fn of_disk(number: usize, disk: &InspectedDisk, has_machine: bool) -> String {
    let mut text = String::new();
    if has_machine {
        let place = disk.address.as_ref().map(|address| format!(" at {}", show(address))).unwrap_or_default();
        let name = if disk.name.is_empty() { "no file".to_owned() } else { show(&disk.name) };
        text.push_str(&format!("Disk {number}{place}: {name}\n"));
    }
    let declared = disk.declared_bytes.map(|bytes| ("Declared", size(bytes)));
    match (&disk.image, &disk.problem, disk.state.as_str()) {
        (Some(image), ..) => text.push_str(&of_image(image, declared)),
        (None, Some(problem), _) => {
            text.push_str(&labelled(&[declared, Some(("Unreadable", show(&problem.error)))]));
            if let Some(hint) = &problem.hint {
                text.push_str(&format!("hint: {}\n", show(hint)));
            }
        }
        (None, None, "blank") => {
            text.push_str(&labelled(&[declared, Some(("Content", "none: it is blank".to_owned()))]));
        }
        (None, None, _) => {
            let packed = "compressed as a whole, so that it was not looked into".to_owned();
            text.push_str(&labelled(&[declared, Some(("Content", packed))]));
        }
    }
    text
}

fn of_image(image: &Image, declared: Option<(&'static str, String)>) -> String {
    let differs = declared.filter(|(_, shown)| *shown != size(image.capacity_bytes));
    let mut text = labelled(&[
        differs,
        Some(("Capacity", size(image.capacity_bytes))),
        Some(("Allocated", size(image.allocated_bytes))),
    ]);
    text.push('\n');
    let rows: Vec<_> = image.links.iter().map(row).collect();
    let header = ["FILE", "FORMAT", "CAPACITY", "ALLOCATED", "CID", "PARENT CID", "PARENT"];
    text.push_str(&table::aligned(&header, &rows));
    for link in image.links.iter().filter(|link| link.extents.len() > 1) {
        text.push_str(&extents(link));
    }
    text
}

fn row(link: &Link) -> Vec<String> {
    let format = match &link.variant {
        Some(variant) => format!("{} {}", show(&link.format), show(variant)),
        None => show(&link.format),
    };
    vec![
        show(&link.file),
        format,
        human::bytes(link.capacity_bytes),
        human::bytes(link.allocated_bytes),
        or_dash(link.content_id.as_deref()),
        or_dash(link.parent_content_id.as_deref()),
        or_dash(link.parent.as_deref()),
    ]
}

fn extents(link: &Link) -> String {
    let mut text = format!("\nExtents of {}\n", show(&link.file));
    let rows: Vec<_> = link.extents.iter().take(PARTS_MAX).map(of_part).collect();
    text.push_str(&table::aligned(&["FILE", "KIND", "AT", "LENGTH", "FILE SIZE"], &rows));
    let left = link.extents.len().saturating_sub(PARTS_MAX);
    if left > 0 {
        text.push_str(&format!("and {left} more\n"));
    }
    text
}

fn of_part(part: &Part) -> Vec<String> {
    vec![
        or_dash(part.file.as_deref()),
        show(&part.kind),
        human::bytes(part.start_bytes),
        human::bytes(part.len_bytes),
        part.file_bytes.map_or_else(|| "-".to_owned(), human::bytes),
    ]
}

/// Returns lines with their values in one column.
fn labelled(rows: &[Option<(&str, String)>]) -> String {
    rows.iter().flatten().map(|(label, value)| format!("{label:<10} {value}\n")).collect()
}

fn size(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", human::bytes(bytes))
}

fn show(text: &str) -> String {
    escape(text).into_owned()
}

fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), show)
}

#[cfg(test)]
mod tests;
