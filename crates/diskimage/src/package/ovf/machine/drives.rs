//! Controllers, and the disks and drives that hang on them.

use std::collections::{HashMap, HashSet};

use super::super::hardware::Item;
use super::super::{Descriptor, Disk as DescribedDisk, FileRef};
use crate::package::machine::{
    Bus, Controller, ControllerModel, DeclaredFormat, Disk, DiskBacking, FileBacking, Machine, Place, Removable,
    RemovableKind,
};
use crate::{Error, Result};

/// The unit at which a SCSI controller itself sits.
const SCSI_OWN_UNIT: u32 = 7;

/// What a `HostResource` refers to, by identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::package::ovf) enum Reference<'a> {
    /// A disk of the disk section.
    Disk(&'a str),
    /// A file of the references.
    File(&'a str),
}

/// Parses `ovf:/disk/ID` and `ovf:/file/ID`, with or without the scheme, with one slash or two.
pub(in crate::package::ovf) fn reference(text: &str) -> Option<Reference<'_>> {
    let text = text.trim();
    let path = text.strip_prefix("ovf:").unwrap_or(text);
    let path = path.strip_prefix("//").or_else(|| path.strip_prefix('/'))?;
    let (kind, id) = path.split_once('/')?;
    match kind {
        "disk" if !id.is_empty() => Some(Reference::Disk(id)),
        "file" if !id.is_empty() => Some(Reference::File(id)),
        _ => None,
    }
}

/// Takes controllers, disks and drives.
pub(super) fn take(machine: &mut Machine, descriptor: &Descriptor, items: &[&Item]) -> Result<()> {
    let mut shelves = Shelves::default();
    for item in items {
        shelves.take_controller(machine, item);
    }
    for item in items {
        match item.resource_type {
            14..=16 => take_drive(machine, descriptor, &mut shelves, item)?,
            17 => take_disk(machine, descriptor, &mut shelves, item)?,
            _ => {}
        }
    }
    machine.controllers.sort_by_key(|controller| (controller.bus(), controller.number));
    let order = |place: Place| (shelves.rank(place.bus), place.controller, place.unit);
    // Stable, so that disks without a place stay in the order of the descriptor, at the end.
    machine.disks.sort_by_key(|disk| (disk.place.is_none(), disk.place.map(order)));
    Ok(())
}

/// Adds the disks that no item mentions, so that no data are left behind unsaid.
pub(super) fn take_orphans(machine: &mut Machine, descriptor: &Descriptor) {
    for disk in &descriptor.disks {
        let Some(file) = descriptor.file_of(disk) else { continue };
        if !disk_files(machine).any(|name| name == file.href) {
            // With several machines it may be another one's.
            if descriptor.virtual_systems.len() == 1 {
                machine.warn(format!("the disk {:?} hangs on no device; it is put behind the others", disk.disk_id));
                machine.disks.push(neutral_disk(disk, Some(file), None));
            }
        }
    }
}

/// Iterates over the names of the files that back disks.
pub(super) fn disk_files(machine: &Machine) -> impl Iterator<Item = &str> {
    machine.disks.iter().filter_map(|disk| match &disk.backing {
        DiskBacking::File(file) => Some(file.name.as_str()),
        DiskBacking::Blank => None,
    })
}

/// The controllers by instance, and which places are taken.
#[derive(Default)]
struct Shelves {
    by_instance: HashMap<String, (Bus, u32)>,
    buses: Vec<Bus>,
    taken: HashSet<Place>,
}

impl Shelves {
    fn take_controller(&mut self, machine: &mut Machine, item: &Item) {
        let words = item.sub_type.as_deref().unwrap_or_default();
        let Some(model) = controller_model(item.resource_type, words) else { return };
        if model == ControllerModel::Scsi && !words.is_empty() {
            machine.warn(format!("the SCSI controller {words:?} is of an unknown model"));
        }
        let bus = model.bus();
        let used: HashSet<u32> =
            machine.controllers.iter().filter(|known| known.bus() == bus).map(|known| known.number).collect();
        let written = item.address.as_deref().and_then(|address| address.parse().ok());
        let number = written.filter(|number| !used.contains(number)).unwrap_or_else(|| first_free(&used));
        machine.controllers.push(Controller { model, number });
        if !self.buses.contains(&bus) {
            self.buses.push(bus);
        }
        if self.by_instance.insert(item.instance_id.clone(), (bus, number)).is_some() {
            machine.warn(format!("the instance {:?} is there twice; the later controller counts", item.instance_id));
        }
    }

    /// Returns the place of a device, and remembers that it is taken.
    fn place(&mut self, machine: &mut Machine, item: &Item) -> Option<Place> {
        let label = item.element_name.as_deref().unwrap_or(&item.instance_id);
        let parent = item.parent.as_deref()?;
        let Some(&(bus, controller)) = self.by_instance.get(parent) else {
            machine.warn(format!("{label:?} hangs on {parent:?}, which is no controller known here"));
            return None;
        };
        let units_taken = || -> HashSet<u32> {
            let own = (bus == Bus::Scsi).then_some(SCSI_OWN_UNIT);
            let here = self.taken.iter().filter(|place| (place.bus, place.controller) == (bus, controller));
            here.map(|place| place.unit).chain(own).collect()
        };
        let written = item.address_on_parent.as_deref().and_then(|unit| unit.parse().ok());
        let unit = written.unwrap_or_else(|| first_free(&units_taken()));
        let place = Place { bus, controller, unit };
        if !self.taken.insert(place) {
            machine.warn(format!("{label:?} sits where another device sits: {}{controller}:{unit}", bus.word()));
        }
        Some(place)
    }

    /// Returns the position of a bus by first appearance.
    fn rank(&self, bus: Bus) -> usize {
        self.buses.iter().position(|&known| known == bus).unwrap_or(self.buses.len())
    }
}

/// Returns the lowest number that is not used.
fn first_free(used: &HashSet<u32>) -> u32 {
    (0..=u32::MAX).find(|number| !used.contains(number)).unwrap_or(u32::MAX)
}

fn controller_model(resource_type: u32, words: &str) -> Option<ControllerModel> {
    match resource_type {
        5 => Some(ControllerModel::Ide),
        6 => Some(ControllerModel::scsi_from_words(words).unwrap_or(ControllerModel::Scsi)),
        20 => {
            let words = words.to_ascii_lowercase();
            if words.contains("nvme") {
                Some(ControllerModel::Nvme)
            } else if words.contains("ahci") || words.contains("sata") {
                Some(ControllerModel::Ahci)
            } else {
                None
            }
        }
        _ => None,
    }
}

fn take_disk(machine: &mut Machine, descriptor: &Descriptor, shelves: &mut Shelves, item: &Item) -> Result<()> {
    let place = shelves.place(machine, item);
    let Some(resource) = item.host_resource.as_deref() else {
        machine.warn(format!("the disk {:?} has neither contents nor size and is left out", item.instance_id));
        return Ok(());
    };
    let missing = |rule: &'static str| Error::corrupt(rule).found(format!("{resource:?}"));
    let disk = match reference(resource) {
        Some(Reference::File(id)) => {
            let file = descriptor.file(id).ok_or_else(|| missing("a device refers to a file that is listed"))?;
            Disk { place, capacity_bytes: None, populated_bytes: None, backing: backing(file, DeclaredFormat::Unknown) }
        }
        Some(Reference::Disk(id)) => {
            let disk = disk_by_id(descriptor, id).ok_or_else(|| missing("a device refers to a disk that is listed"))?;
            neutral_disk(disk, descriptor.file_of(disk), place)
        }
        // oVirt writes `IMAGE-GROUP/IMAGE`.
        None => {
            let id = resource.trim().rsplit('/').next().unwrap_or_default();
            let disk = disk_by_id(descriptor, id)
                .or_else(|| descriptor.disks.iter().find(|disk| disk.file_ref.as_deref() == Some(resource.trim())))
                .ok_or_else(|| missing("a device refers to a disk or file of the descriptor"))?;
            neutral_disk(disk, descriptor.file_of(disk), place)
        }
    };
    machine.disks.push(disk);
    Ok(())
}

fn disk_by_id<'d>(descriptor: &'d Descriptor, id: &str) -> Option<&'d DescribedDisk> {
    descriptor.disks.iter().find(|disk| disk.disk_id == id)
}

fn neutral_disk(disk: &DescribedDisk, file: Option<&FileRef>, place: Option<Place>) -> Disk {
    Disk {
        place,
        capacity_bytes: Some(disk.capacity_bytes),
        populated_bytes: disk.populated_bytes,
        backing: file.map_or(DiskBacking::Blank, |file| backing(file, disk.declared_format)),
    }
}

fn backing(file: &FileRef, format: DeclaredFormat) -> DiskBacking {
    DiskBacking::File(FileBacking {
        name: file.href.clone(),
        format,
        compression: file.compression,
        chunk_bytes: file.chunk_bytes,
        size_bytes: file.size_bytes,
    })
}

fn take_drive(machine: &mut Machine, descriptor: &Descriptor, shelves: &mut Shelves, item: &Item) -> Result<()> {
    let kind = if item.resource_type == 14 { RemovableKind::Floppy } else { RemovableKind::Cdrom };
    let place = shelves.place(machine, item);
    let medium = match item.host_resource.as_deref().and_then(reference) {
        Some(Reference::File(id)) => {
            let file = descriptor
                .file(id)
                .ok_or_else(|| Error::corrupt("a device refers to a file that is listed").found(format!("{id:?}")))?;
            Some(file.href.clone())
        }
        Some(Reference::Disk(id)) => {
            disk_by_id(descriptor, id).and_then(|disk| descriptor.file_of(disk)).map(|file| file.href.clone())
        }
        None => None,
    };
    machine.removables.push(Removable { kind, place, medium });
    Ok(())
}
