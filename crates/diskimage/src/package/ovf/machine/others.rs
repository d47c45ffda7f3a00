//! Network adapters, display, sound, USB, trusted platform module, and what is not carried over.

use super::super::hardware::Item;
use crate::Result;
use crate::package::machine::{Display, MacAddress, Machine, Nic, NicModel, UsbController};

/// Takes the devices that are neither controllers nor drives.
pub(super) fn take(machine: &mut Machine, items: &[&Item]) -> Result<()> {
    for item in items {
        let words = item.sub_type.as_deref().unwrap_or_default().to_ascii_lowercase();
        match item.resource_type {
            3..=6 | 14..=17 => {}
            10 => take_nic(machine, item),
            20 if ["nvme", "ahci", "sata"].iter().any(|word| words.contains(word)) => {}
            23 => machine.usb.push(usb_controller(&words)),
            24 => take_display(machine, item),
            35 => machine.sound = Some(sound_model(&words)),
            _ if words.contains("soundcard") => machine.sound = Some(sound_model(&words)),
            _ if words.contains("tpm") => machine.has_tpm = true,
            // The interface between virtual machines has no counterpart and no user.
            _ if words.contains("vmci") => {}
            other => note(machine, item, other),
        }
    }
    Ok(())
}

fn take_nic(machine: &mut Machine, item: &Item) {
    let written = item.address.as_deref().unwrap_or_default();
    let mac = MacAddress::parse(written).filter(|mac| mac.is_of_one_adapter());
    if mac.is_none() && !written.is_empty() {
        machine.warn(format!("{written:?} is no address of a network adapter and is left out"));
    }
    machine.nics.push(Nic {
        model: NicModel::from_words(item.sub_type.as_deref().unwrap_or_default()),
        mac,
        network: item.connection.clone(),
        starts_connected: item.automatic_allocation,
    });
}

fn take_display(machine: &mut Machine, item: &Item) {
    let kib = item.config("videoRamSizeInKB").and_then(|text| text.trim().parse::<u64>().ok());
    machine.display = Some(Display {
        video_ram_bytes: kib.and_then(|kib| kib.checked_mul(1 << 10)),
        accelerates_3d: item.config("enable3DSupport").map(super::super::parse::is_true),
    });
}

fn usb_controller(words: &str) -> UsbController {
    if words.contains("xhci") {
        UsbController::Xhci
    } else if words.contains("ehci") || words.contains("usb2") {
        UsbController::Ehci
    } else {
        UsbController::Uhci
    }
}

/// Returns the last part of `vmware.soundcard.hdaudio` and the like.
fn sound_model(words: &str) -> String {
    words.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Keeps what has no place: for the report if the machine can do without, else as a warning.
fn note(machine: &mut Machine, item: &Item, resource_type: u32) {
    let label = item.element_name.as_deref().or(item.sub_type.as_deref()).unwrap_or("a device");
    let text = format!("{label} (resource type {resource_type}) is not carried over");
    if item.is_required {
        machine.warn(text);
    } else {
        machine.note("device", text);
    }
}
