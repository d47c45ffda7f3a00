//! From what `migrate` found in a disk image or a package to the types of the wire. Only names change here.

use std::path::PathBuf;

use hyper_api as wire;
use migrate::inspect::machine::{
    Bus, Controller, ControllerModel, Machine, Nic, NicModel, Place, Removable, RemovableKind,
};
use migrate::inspect::{Description, DiskReport, ImageReport, LinkDescription, PartDescription, Report};

use crate::problems;

/// Returns what was found at `path` as it stands on the wire.
pub fn on_wire(path: PathBuf, report: Report) -> wire::Inspection {
    wire::Inspection {
        path,
        kind: report.kind.to_owned(),
        package: report.package.map(|package| wire::PackageSummary {
            container: package.container.to_owned(),
            descriptor: package.descriptor,
            manifest_files: package.manifest_files,
        }),
        machine: report.machine.as_ref().map(machine),
        disks: report.disks.into_iter().map(disk).collect(),
        warnings: report.warnings,
    }
}

fn machine(machine: &Machine) -> wire::Machine {
    wire::Machine {
        name: machine.name.clone(),
        annotation: machine.annotation.clone(),
        guest_id: machine.guest_os.vmware_id.clone(),
        guest: machine.guest_os.description.clone(),
        hardware_version: machine.hardware_version.clone(),
        firmware: machine.firmware.map(|firmware| firmware.word().to_owned()),
        secure_boot: machine.secure_boot,
        tpm: machine.has_tpm,
        vcpus: machine.vcpus,
        cores_per_socket: machine.cores_per_socket,
        memory_bytes: machine.memory_bytes,
        controllers: machine.controllers.iter().map(controller).collect(),
        nics: machine.nics.iter().map(nic).collect(),
        removables: machine.removables.iter().map(removable).collect(),
        nvram: machine.nvram.clone(),
        bios_uuid: machine.bios_uuid.map(|uuid| uuid.to_string()),
        instance_uuid: machine.instance_uuid.map(|uuid| uuid.to_string()),
        facts: machine
            .facts
            .iter()
            .map(|fact| wire::Fact { subject: fact.subject.clone(), text: fact.text.clone() })
            .collect(),
        warnings: machine.warnings.clone(),
    }
}

fn controller(controller: &Controller) -> wire::Controller {
    let model = match controller.model {
        ControllerModel::Scsi => "scsi",
        ControllerModel::BusLogic => "buslogic",
        ControllerModel::LsiLogic => "lsilogic",
        ControllerModel::LsiLogicSas => "lsisas1068",
        ControllerModel::Pvscsi => "pvscsi",
        ControllerModel::VirtioScsi => "virtio-scsi",
        ControllerModel::Ahci => "ahci",
        ControllerModel::Nvme => "nvme",
        ControllerModel::Ide => "ide",
    };
    let address = format!("{}{}", controller.bus().word(), controller.number);
    wire::Controller { address, model: model.to_owned() }
}

fn nic(nic: &Nic) -> wire::Nic {
    let model = match &nic.model {
        NicModel::Unknown => "unknown",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Vmxnet => "vmxnet",
        NicModel::Vmxnet3 => "vmxnet3",
        NicModel::Pcnet32 => "pcnet32",
        NicModel::Virtio => "virtio",
        NicModel::Other(words) => words,
    };
    wire::Nic { model: model.to_owned(), mac: nic.mac.map(|mac| mac.to_string()), network: nic.network.clone() }
}

fn removable(removable: &Removable) -> wire::Removable {
    let kind = match removable.kind {
        RemovableKind::Cdrom => "cdrom",
        RemovableKind::Floppy => "floppy",
    };
    wire::Removable { kind: kind.to_owned(), address: removable.place.map(address), medium: removable.medium.clone() }
}

/// Returns a place as VMX keys write it: `scsi0:1`. An IDE controller has two units there, as it has here.
fn address(place: Place) -> String {
    let Place { bus, controller, unit } = place;
    match bus {
        Bus::Floppy => format!("floppy{unit}"),
        _ => format!("{}{controller}:{unit}", bus.word()),
    }
}

fn disk(disk: DiskReport) -> wire::InspectedDisk {
    let (state, image, problem) = match disk.image {
        ImageReport::Known(description) => ("known", Some(image(description)), None),
        ImageReport::Blank => ("blank", None, None),
        ImageReport::Packed => ("packed", None, None),
        ImageReport::Unreadable(error) => ("unreadable", None, Some(problems::from_migrate(&error))),
    };
    wire::InspectedDisk {
        name: disk.name,
        address: disk.place.map(address),
        declared_bytes: disk.declared_bytes,
        state: state.to_owned(),
        image,
        problem,
    }
}

fn image(description: Description) -> wire::Image {
    wire::Image {
        capacity_bytes: description.capacity_bytes,
        allocated_bytes: description.allocated_bytes,
        links: description.links.into_iter().map(link).collect(),
        warnings: description.warnings,
    }
}

fn link(link: LinkDescription) -> wire::Link {
    wire::Link {
        file: link.name,
        format: link.format.to_owned(),
        variant: (!link.variant.is_empty()).then_some(link.variant),
        capacity_bytes: link.capacity_bytes,
        allocated_bytes: link.allocated_bytes,
        extents: link.parts.into_iter().map(part).collect(),
        parent: link.parent,
        content_id: link.content_id,
        parent_content_id: link.parent_content_id,
    }
}

fn part(part: PartDescription) -> wire::Part {
    let has_file = !part.name.is_empty();
    wire::Part {
        kind: part.kind.to_owned(),
        start_bytes: part.guest.start,
        len_bytes: part.guest.end - part.guest.start,
        file_bytes: has_file.then_some(part.file_bytes),
        file: has_file.then_some(part.name),
    }
}
