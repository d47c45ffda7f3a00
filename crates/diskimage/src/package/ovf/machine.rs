//! Makes the neutral machine of a system and its hardware.
//!
//! Which items count: of several hardware sections the first for a generation of VMware's, else the
//! first; of its items those of the default configuration, without the ends of ranges. An item for
//! a configuration replaces the general one of the same instance.

mod drives;
mod others;

pub(super) use drives::{Reference, reference};

use std::collections::HashSet;

use super::hardware::{Hardware, Item};
use super::units::memory_bytes_per_unit;
use super::{Descriptor, VirtualSystem};
use crate::package::machine::{Firmware, Machine, Uuid};
use crate::package::vmx;
use crate::{Error, Result};

/// A quantity of memory without a unit is MiB below this, as virt-v2v takes it, and bytes from here
/// on: 4 TiB of memory are rarer than 4 MiB.
const UNITLESS_MEMORY_BYTES_MIN: u64 = 4 << 20;
/// Most processors that are believed.
const VCPUS_MAX: u64 = 4096;

/// Makes the machine of a system of a descriptor.
pub(super) fn machine(descriptor: &Descriptor, system: &VirtualSystem) -> Result<Machine> {
    let hardware = choose_hardware(system);
    let identifier = hardware.and_then(|hardware| hardware.identifier.as_deref());
    let names = [system.name.as_deref(), identifier, Some(system.id.as_str())];
    let name = names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or_default();
    let mut machine = Machine::new(name);
    machine.guest_os = system.guest_os.clone();
    machine.annotation.clone_from(&system.annotation);
    machine.facts.clone_from(&system.facts);
    match hardware {
        Some(hardware) => take_hardware(&mut machine, descriptor, system, hardware)?,
        None => machine.warn("the descriptor has no hardware for this machine: processors and memory are unknown"),
    }
    drives::take_orphans(&mut machine, descriptor);
    note_unused_files(&mut machine, descriptor);
    Ok(machine)
}

fn choose_hardware(system: &VirtualSystem) -> Option<&Hardware> {
    let is_vmware = |hardware: &&Hardware| hardware.system_type.as_deref().is_some_and(|kind| kind.contains("vmx-"));
    system.hardware.iter().find(is_vmware).or_else(|| system.hardware.first())
}

fn take_hardware(
    machine: &mut Machine,
    descriptor: &Descriptor,
    system: &VirtualSystem,
    hardware: &Hardware,
) -> Result<()> {
    if system.hardware.len() > 1 {
        let count = system.hardware.len();
        let kind = hardware.system_type.as_deref().unwrap_or("the first");
        machine.warn(format!("of {count} hardware sections {kind} is taken"));
    }
    machine.hardware_version.clone_from(&hardware.system_type);
    let items = items_that_count(machine, descriptor, hardware);
    take_processors(machine, &items)?;
    take_memory(machine, &items)?;
    drives::take(machine, descriptor, &items)?;
    others::take(machine, &items)?;
    take_settings(machine, descriptor, hardware)
}

fn items_that_count<'h>(machine: &mut Machine, descriptor: &Descriptor, hardware: &'h Hardware) -> Vec<&'h Item> {
    let chosen = descriptor.default_configuration().map(|configuration| configuration.id.as_str());
    if let Some(chosen) = chosen.filter(|_| descriptor.configurations.len() > 1) {
        machine.note("configuration", format!("{chosen}, of {}", descriptor.configurations.len()));
    }
    let items = || hardware.items.iter().filter(|item| !item.is_bound);
    let is_chosen = |item: &&Item| item.configurations.iter().any(|known| Some(known.as_str()) == chosen);
    let replaced: HashSet<&str> = items().filter(is_chosen).map(|item| item.instance_id.as_str()).collect();
    items()
        .filter(|item| {
            let is_general = item.configurations.is_empty() && !replaced.contains(item.instance_id.as_str());
            is_general || is_chosen(item)
        })
        .collect()
}

fn take_processors(machine: &mut Machine, items: &[&Item]) -> Result<()> {
    let Some(item) = items.iter().find(|item| item.resource_type == 3) else {
        machine.warn("the descriptor has no processors: one is assumed");
        return Ok(());
    };
    let count = item.quantity.unwrap_or(1);
    machine.vcpus = u32::try_from(count)
        .ok()
        .filter(|_| (1..=VCPUS_MAX).contains(&count))
        .ok_or_else(|| Error::corrupt("a machine has between 1 and 4096 processors").found(count.to_string()))?;
    if let Some(cores) = item.cores_per_socket {
        machine.take_cores_per_socket(u32::try_from(cores).unwrap_or(u32::MAX));
    }
    Ok(())
}

fn take_memory(machine: &mut Machine, items: &[&Item]) -> Result<()> {
    let Some((item, quantity)) =
        items.iter().filter(|item| item.resource_type == 4).find_map(|item| Some((item, item.quantity?)))
    else {
        machine.warn("the descriptor does not say how much memory the machine has");
        return Ok(());
    };
    let unit_bytes = match item.units.as_deref() {
        Some(units) => memory_bytes_per_unit(units)?,
        None => {
            let unit_bytes = if quantity < UNITLESS_MEMORY_BYTES_MIN { 1 << 20 } else { 1 };
            let word = if unit_bytes == 1 { "bytes" } else { "MiB" };
            machine.warn(format!("the memory of {quantity} has no unit, {word} are assumed"));
            unit_bytes
        }
    };
    machine.memory_bytes = quantity
        .checked_mul(unit_bytes)
        .ok_or_else(|| Error::limit("memory is below 2^64 bytes").found(quantity.to_string()))?;
    Ok(())
}

/// Takes firmware, identities and the firmware's variables out of VMware's settings.
fn take_settings(machine: &mut Machine, descriptor: &Descriptor, hardware: &Hardware) -> Result<()> {
    if let Some(word) = hardware.config("firmware").or_else(|| hardware.extra_config("firmware")) {
        machine.firmware = Firmware::from_word(word);
        if machine.firmware.is_none() {
            machine.warn(format!("the firmware {word:?} is unknown"));
        }
    }
    let secure = hardware.config("bootOptions.efiSecureBootEnabled");
    let secure = secure.or_else(|| hardware.extra_config("uefi.secureBoot.enabled"));
    machine.secure_boot = secure.map(super::parse::is_true);
    if let Some(nvram) = hardware.extra_config("nvram").filter(|nvram| !nvram.is_empty()) {
        take_nvram(machine, descriptor, nvram);
    }
    machine.bios_uuid = hardware.extra_config("uuid.bios").and_then(Uuid::parse);
    machine.instance_uuid = hardware.extra_config("vc.uuid").and_then(Uuid::parse);
    machine.generation_id = match (hardware.extra_config("vm.genid"), hardware.extra_config("vm.genidX")) {
        (Some(first), Some(second)) => vmx::generation_id(first, second),
        _ => None,
    };
    if let Some(text) = hardware.config("tools.toolsInstallType") {
        machine.note("tools", text);
    }
    Ok(())
}

fn take_nvram(machine: &mut Machine, descriptor: &Descriptor, nvram: &str) {
    let file = match drives::reference(nvram) {
        Some(drives::Reference::File(id)) => descriptor.file(id),
        _ => descriptor.file_by_href(nvram),
    };
    match file {
        Some(file) => machine.nvram = Some(file.href.clone()),
        None => machine.warn(format!("the firmware's variables {nvram:?} are not in the package")),
    }
}

fn note_unused_files(machine: &mut Machine, descriptor: &Descriptor) {
    let used = |href: &str| {
        machine.nvram.as_deref() == Some(href)
            || drives::disk_files(machine).any(|name| name == href)
            || machine.removables.iter().any(|drive| drive.medium.as_deref() == Some(href))
    };
    let unused: Vec<_> =
        descriptor.files.iter().filter(|file| !used(&file.href)).map(|file| file.href.clone()).collect();
    for href in unused {
        machine.note("unused file", href);
    }
}

#[cfg(test)]
mod tests;
