//! Network adapters, display, sound and USB of a `.vmx` file, and what is not carried over.

use std::collections::BTreeSet;

use super::drives::index;
use super::number;
use crate::Result;
use crate::package::machine::{Display, MacAddress, Machine, Nic, NicModel, UsbController};
use crate::package::vmx::Vmx;

/// Devices that have no place in the neutral machine.
const NOT_CARRIED: [&str; 4] = ["serial", "parallel", "pcipassthru", "vnvdimm"];

/// Takes the devices that are neither controllers nor drives.
pub(super) fn take(vmx: &Vmx, machine: &mut Machine) -> Result<()> {
    for number in numbered(vmx, "ethernet") {
        take_nic(vmx, machine, number);
    }
    let video_ram_bytes = number(vmx, "svga.vramsize")?;
    let accelerates_3d = vmx.truth("mks.enable3d");
    if vmx.truth("svga.present") == Some(true) || video_ram_bytes.is_some() || accelerates_3d.is_some() {
        machine.display = Some(Display { video_ram_bytes, accelerates_3d });
    }
    if vmx.truth("sound.present") == Some(true) {
        machine.sound = Some(vmx.text("sound.virtualdev").unwrap_or_default().to_owned());
    }
    let usb = [
        ("usb.present", UsbController::Uhci),
        ("ehci.present", UsbController::Ehci),
        ("usb_xhci.present", UsbController::Xhci),
    ];
    machine.usb = usb.into_iter().filter(|(key, _)| vmx.truth(key) == Some(true)).map(|(_, kind)| kind).collect();
    for kind in NOT_CARRIED {
        for number in numbered(vmx, kind) {
            machine.warn(format!("{kind}{number} is not carried over"));
        }
    }
    Ok(())
}

/// Returns the numbers of the devices of a kind, in their order.
fn numbered(vmx: &Vmx, kind: &str) -> BTreeSet<u32> {
    vmx.keys().filter_map(|key| index(key.split_once('.')?.0.strip_prefix(kind)?)).collect()
}

fn take_nic(vmx: &Vmx, machine: &mut Machine, number: u32) {
    let get = |word: &str| vmx.text(&format!("ethernet{number}.{word}"));
    if get("present").is_none() {
        machine.warn(format!("ethernet{number} is not declared present; it is taken all the same"));
    }
    let is_static = get("addresstype").is_some_and(|kind| kind.eq_ignore_ascii_case("static"));
    let [first, second] = if is_static { ["address", "generatedaddress"] } else { ["generatedaddress", "address"] };
    let written = get(first).or_else(|| get(second));
    let mac = written.and_then(MacAddress::parse).filter(|mac| mac.is_of_one_adapter());
    if let Some(written) = written.filter(|_| mac.is_none()) {
        machine.warn(format!("the address {written:?} of ethernet{number} is none of a network adapter"));
    }
    machine.nics.push(Nic {
        model: NicModel::from_words(get("virtualdev").unwrap_or_default()),
        mac,
        network: get("networkname").or_else(|| get("connectiontype")).map(str::to_owned),
        starts_connected: vmx.truth(&format!("ethernet{number}.startconnected")),
    });
}
