//! `CreateDescriptor`: what the caller says of its files, checked, and the OVF descriptor of them.
//!
//! What is wrong with one file goes into the answer's `error` list and leaves the rest to be
//! described; what was left out on purpose goes into `warning`. The text itself is [`crate::ovf`].

use vsphere::wire::generated::{
    ConnectedIso, CreateDescriptor, LocalizedMethodFault, OvfCreateDescriptorParams, OvfCreateDescriptorResult,
    OvfFile, OvfHardwareExport, OvfUnableToExportDisk, VirtualCdrom, VirtualDevice,
};
use vsphere::wire::{Fault, MoRef};

use super::call::Call;
use super::configured::Configured;
use super::fault::{self, Outcome};
use super::model::VmPlace;
use super::state::State;
use super::task::Subject;
use crate::hardware::Layout;
use crate::inventory::Vm;
use crate::ovf::{self, DescriptorFile, Machine};

/// `CreateDescriptor`.
pub(crate) fn create(call: &Call<'_>, request: CreateDescriptor) -> Outcome<OvfCreateDescriptorResult> {
    if call.world.faults.now().create_descriptor_fault {
        call.world.faults.note("create_descriptor_fault");
        return Err(fault::system_error("CreateDescriptor was told to fail"));
    }
    let state = call.lock();
    let subject = call.subject(&state, &request.obj)?;
    let configured = configured(&state, &subject, request.cdp.snapshot.as_ref())?;
    drop(state);
    let layout = configured.layout(&place(call, &request.obj)?.layout);
    let OvfCreateDescriptorParams { ovf_files, name, description, include_image_files, export_option, .. } =
        request.cdp;
    let images = include_image_files.unwrap_or(false);
    let mut vm = call.world.inventory.vms[subject.vm].clone();
    let keys = keys(&vm, &request.obj.id, &layout);
    let error = ovf_files.iter().filter(|file| !keys.contains(&file.device_id)).map(|f| unknown_device(&vm, f));
    let error: Vec<LocalizedMethodFault> = error.collect();
    let left_out = configured.images().filter(|_| !images);
    let warning = left_out.map(|(drive, iso)| image_left_out(drive.key, iso)).collect();
    let files = ovf_files.into_iter().filter(|file| keys.contains(&file.device_id)).map(described);
    let files = files.collect::<Outcome<Vec<_>>>()?;
    vm.annotation = description.unwrap_or(configured.annotation);
    let name = name.unwrap_or(subject.name);
    let machine = Machine { vm: &vm, vm_moref: &request.obj.id, name: &name, layout: &layout };
    Ok(OvfCreateDescriptorResult {
        ovf_descriptor: ovf::descriptor(machine, &files, images, &export_option),
        error,
        warning,
        include_image_files: Some(images),
    })
}

/// Returns the configuration of a VM, now or as one of its snapshots keeps it.
fn configured(state: &State, subject: &Subject, snapshot: Option<&MoRef>) -> Outcome<Configured> {
    let Some(snapshot) = snapshot else { return Ok(state.vms[subject.vm].configured.clone()) };
    let (vm, kept) = state.snapshot(snapshot)?;
    if vm != subject.vm {
        return Err(fault::invalid_argument("cdp.snapshot", &format!("{} is of another VM", snapshot.id)));
    }
    Ok(kept.configured.clone())
}

fn place<'a>(call: &Call<'a>, vm: &MoRef) -> Outcome<&'a VmPlace> {
    let found = call.model().find(vm).and_then(|id| call.model().place(id));
    found.ok_or_else(|| fault::not_found(vm))
}

/// Returns the keys that the files of a VM have in a lease.
fn keys(vm: &Vm, moref: &str, layout: &Layout) -> Vec<String> {
    let devices = layout.disks.iter().chain(&layout.cdroms);
    let mut keys: Vec<String> = devices.map(|device| layout.export_key(moref, device)).collect();
    keys.extend((vm.nvram_bytes > 0).then(|| format!("/{moref}/nvram")));
    keys
}

/// Takes over what the caller says of a file. Its path is relative to the descriptor.
fn described(file: OvfFile) -> Outcome<DescriptorFile> {
    if file.path.is_empty() || file.path.starts_with('/') || file.path.split('/').any(|part| part == "..") {
        return Err(fault::invalid_argument("cdp.ovfFiles.path", &format!("`{}` is no relative path", file.path)));
    }
    Ok(DescriptorFile {
        device_id: file.device_id,
        path: file.path,
        size: file.size,
        capacity: file.capacity,
        populated: file.populated_size,
        compression: file.compression_method,
        chunk_size: file.chunk_size,
    })
}

fn unknown_device(vm: &Vm, file: &OvfFile) -> LocalizedMethodFault {
    let base = OvfHardwareExport { vm_path: vm.path.clone(), ..OvfHardwareExport::default() };
    let text = format!("the virtual machine has no device {}, to which {} belongs", file.device_id, file.path);
    fault::localized(Fault::new(text, OvfUnableToExportDisk { base, disk_name: file.path.clone() }))
}

fn image_left_out(drive: i32, iso: &str) -> LocalizedMethodFault {
    let device = VirtualDevice { key: drive, ..VirtualDevice::default() };
    let cdrom = VirtualCdrom { base: device };
    let text = format!("the image {iso} is not in the package");
    fault::localized(Fault::new(text, ConnectedIso { cdrom, filename: iso.to_owned(), ..ConnectedIso::default() }))
}
