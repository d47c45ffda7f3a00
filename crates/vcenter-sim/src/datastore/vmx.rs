//! The small text files in a VM's directory: configuration and log. Pure. The list of snapshots is in
//! [`super::vmsd`].

use std::fmt::Write as _;

use super::VmNow;
use super::descriptor::spaced;
use crate::hardware::{ControllerKind, Layout, Place};
use crate::identity;
use crate::inventory::Vm;

/// Returns the configuration. `disk_files` has for each disk how the configuration names its highest link.
pub(super) fn config(vm: &Vm, now: &VmNow, directory: &str, layout: &Layout, disk_files: &[String]) -> String {
    let mut lines = Lines::new();
    lines.set("config.version", "8");
    lines.set("virtualHW.version", identity::HARDWARE_VERSION.trim_start_matches("vmx-"));
    if vm.nvram_bytes > 0 {
        lines.set("nvram", &format!("{directory}.nvram"));
    }
    lines.set("displayName", vm.name());
    lines.set("extendedConfigFile", &format!("{directory}.vmxf"));
    lines.set("guestOS", &guest_os(&vm.guest_id));
    lines.set("annotation", &now.annotation);
    lines.set("numvcpus", &vm.cpus.to_string());
    lines.set("cpuid.coresPerSocket", "1");
    lines.set("memSize", &vm.memory_mib.to_string());
    if vm.firmware == "efi" {
        lines.set("firmware", "efi");
    }
    let bios = spaced(&identity::bios_uuid(vm));
    lines.set("uuid.bios", &bios);
    lines.set("uuid.location", &bios);
    lines.set("vc.uuid", &spaced(&identity::instance_uuid(vm)));
    for controller in layout.controllers.iter().filter(|controller| controller.kind != ControllerKind::Ide) {
        let name = format!("{}{}", bus_word(controller.kind), controller.bus);
        lines.set(&format!("{name}.present"), "TRUE");
        if let Some(word) = virtual_device(controller.kind) {
            lines.set(&format!("{name}.virtualDev"), word);
        }
    }
    for (place, file) in layout.disks.iter().zip(disk_files) {
        let (name, kind) = slot(layout, place);
        lines.set(&format!("{name}.present"), "TRUE");
        lines.set(&format!("{name}.fileName"), file);
        if let Some(word) = device_type(kind) {
            lines.set(&format!("{name}.deviceType"), word);
        }
    }
    for (place, iso) in &now.images {
        let (name, _) = slot(layout, place);
        lines.set(&format!("{name}.present"), "TRUE");
        lines.set(&format!("{name}.deviceType"), "cdrom-image");
        lines.set(&format!("{name}.fileName"), iso);
    }
    if let Some(network) = &vm.network {
        lines.set("ethernet0.present", "TRUE");
        lines.set("ethernet0.virtualDev", "vmxnet3");
        lines.set("ethernet0.networkName", network);
        lines.set("ethernet0.addressType", "vpx");
        lines.set("ethernet0.generatedAddress", &identity::mac_address(vm));
    }
    lines.0
}

/// Returns the log.
pub(super) fn log(vm: &Vm) -> String {
    // A log is lines, whatever is in a name.
    let line = "2025-01-01T00:00:00.000Z| vmx| I005:";
    format!(
        "{line} Log for a SIMULATED virtual machine of vcenter-sim {}\n{line} displayName = {:?}\n{line} uuid = {}\n",
        env!("CARGO_PKG_VERSION"),
        vm.name(),
        identity::instance_uuid(vm)
    )
}

/// Lines `key = "value"`.
pub(super) struct Lines(pub(super) String);

impl Lines {
    /// Begins with the line that all such files begin with.
    pub(super) fn new() -> Self {
        Self(".encoding = \"UTF-8\"\n".to_owned())
    }

    pub(super) fn set(&mut self, key: &str, value: &str) {
        writeln!(self.0, "{key} = \"{}\"", escaped(value)).expect("a String takes everything");
    }
}

/// Writes quotes, bars and control characters as `|XX`.
fn escaped(value: &str) -> String {
    value.chars().fold(String::with_capacity(value.len()), |mut text, c| {
        if c == '"' || c == '|' || c.is_ascii_control() {
            write!(text, "|{:02X}", u32::from(c)).expect("a String takes everything");
        } else {
            text.push(c);
        }
        text
    })
}

/// Returns what a configuration calls a guest: `debian12-64` for `debian12_64Guest`.
fn guest_os(guest_id: &str) -> String {
    guest_id.trim_end_matches("Guest").replace('_', "-").to_lowercase()
}

fn bus_word(kind: ControllerKind) -> &'static str {
    match kind {
        ControllerKind::Ide => "ide",
        ControllerKind::Ahci => "sata",
        ControllerKind::Nvme => "nvme",
        _ => "scsi",
    }
}

fn virtual_device(kind: ControllerKind) -> Option<&'static str> {
    match kind {
        ControllerKind::ParaVirtual => Some("pvscsi"),
        ControllerKind::LsiLogic => Some("lsilogic"),
        ControllerKind::LsiLogicSas => Some("lsisas1068"),
        ControllerKind::BusLogic => Some("buslogic"),
        ControllerKind::Ide | ControllerKind::Ahci | ControllerKind::Nvme => None,
    }
}

fn device_type(kind: ControllerKind) -> Option<&'static str> {
    match kind {
        ControllerKind::Ide => Some("ata-hardDisk"),
        ControllerKind::Ahci | ControllerKind::Nvme => None,
        _ => Some("scsi-hardDisk"),
    }
}

/// Returns the name of a place, `scsi0:1`, and the kind of its controller.
pub(super) fn slot(layout: &Layout, place: &Place) -> (String, ControllerKind) {
    let controller = &layout.controllers[place.controller];
    (format!("{}{}:{}", bus_word(controller.kind), controller.bus, place.unit), controller.kind)
}

/// Returns `ddb.adapterType` of a disk.
pub(super) fn adapter(layout: &Layout, place: &Place) -> &'static str {
    match layout.controllers[place.controller].kind {
        ControllerKind::Ide => "ide",
        ControllerKind::BusLogic => "buslogic",
        _ => "lsilogic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_the_hardware_and_escapes_what_would_end_a_value() {
        let text = "path = \"DC0/vm/a\"\nannotation = \"say \\\"hi\\\" | bye\\nnext\"\nfirmware = \"efi\"\ncpus = 3\n\
                    isos = [\"[ds] iso/x.iso\"]\nnetwork = \"DMZ\"\n[[disk]]\nsize = 512\n\
                    [[disk]]\nsize = 512\ncontroller = \"nvme\"\n";
        let vm: Vm = toml::from_str(text).unwrap();
        let layout = Layout::of(&vm).unwrap();
        let files = ["a.vmdk".to_owned(), "/vmfs/volumes/x/a_1.vmdk".to_owned()];
        let images = vec![(layout.cdroms[0].clone(), vm.isos[0].clone())];
        let now = VmNow { annotation: vm.annotation.clone(), images, ..VmNow::default() };
        let told = config(&vm, &now, "a", &layout, &files);
        for line in [
            "annotation = \"say |22hi|22 |7C bye|0Anext\"",
            "firmware = \"efi\"",
            "numvcpus = \"3\"",
            "scsi0.virtualDev = \"pvscsi\"",
            "scsi0:0.fileName = \"a.vmdk\"",
            "nvme0:0.fileName = \"/vmfs/volumes/x/a_1.vmdk\"",
            "ide0:0.fileName = \"[ds] iso/x.iso\"",
            "guestOS = \"debian12-64\"",
            "nvram = \"a.nvram\"",
        ] {
            assert!(told.lines().any(|known| known == line), "{line} in {told}");
        }
        assert!(told.lines().all(|line| line.matches('"').count() == 2), "{told}");
    }
}
