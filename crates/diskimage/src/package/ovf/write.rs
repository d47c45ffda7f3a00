//! Renders a descriptor of OVF 1.1.
//!
//! The rules are those of the strictest importers: elements of an item in alphabetical order,
//! memory in MiB, capacities in bytes, one disk section, a network for every adapter, and nothing
//! that must be understood beyond the standard.
//!
//! Identities (UUIDs, the generation identifier) are not written: an import makes a new machine.

mod items;
mod xml;

use std::collections::BTreeSet;

use self::items::Items;
use self::xml::Xml;
use crate::package::machine::{DeclaredFormat, Machine};
use crate::{Error, Result};

/// The identifier of the file with the firmware's variables.
const NVRAM_ID: &str = "nvram";
/// The network of an adapter that is connected to none.
const NETWORK_DEFAULT: &str = "default";
/// The virtual hardware of a machine that came from elsewhere: the first with NVMe.
const HARDWARE_DEFAULT: &str = "vmx-13";
/// CIM's number for an operating system that is not in its list.
const OS_OTHER: u32 = 1;

/// A file of the package that is being described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A disk of the package that is being described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedDisk {
    /// Its file; `None` for a blank disk.
    pub file: Option<DescribedFile>,
    /// The format of the file.
    pub format: DeclaredFormat,
    /// The size that the guest sees.
    pub capacity_bytes: u64,
    /// The bytes in use.
    pub populated_bytes: Option<u64>,
}

/// The files that a descriptor describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// One for each disk of the machine, in the same order.
    pub disks: Vec<DescribedDisk>,
    /// The firmware's variables.
    pub nvram: Option<DescribedFile>,
}

impl Contents {
    /// Iterates over all files in the order of the descriptor.
    pub fn files(&self) -> impl Iterator<Item = &DescribedFile> {
        self.disks.iter().filter_map(|disk| disk.file.as_ref()).chain(&self.nvram)
    }
}

/// Renders the descriptor of a machine.
///
/// # Errors
///
/// `Misuse` when the contents have not as many disks as the machine, a file is there twice, or a
/// file's name cannot be a reference.
pub fn write(machine: &Machine, contents: &Contents) -> Result<String> {
    check(machine, contents)?;
    let mut xml = Xml::new();
    xml.element("Envelope", &xml::NAMESPACES, |xml| {
        write_references(xml, contents);
        write_disks(xml, contents);
        write_networks(xml, machine);
        write_system(xml, machine, contents);
    });
    Ok(xml.finish())
}

/// Returns the length that a descriptor has at most, whatever sizes its files will have.
///
/// # Errors
///
/// As [`write()`].
pub fn longest_bytes(machine: &Machine, contents: &Contents) -> Result<usize> {
    let mut longest = contents.clone();
    for disk in &mut longest.disks {
        disk.populated_bytes = Some(u64::MAX);
    }
    let files = longest.disks.iter_mut().filter_map(|disk| disk.file.as_mut()).chain(&mut longest.nvram);
    files.for_each(|file| file.size_bytes = u64::MAX);
    Ok(write(machine, &longest)?.len())
}

fn check(machine: &Machine, contents: &Contents) -> Result<()> {
    if machine.disks.len() != contents.disks.len() {
        let found = format!("{} and {}", contents.disks.len(), machine.disks.len());
        return Err(Error::misuse("a descriptor describes as many disks as its machine has").found(found));
    }
    let mut names = BTreeSet::new();
    for file in contents.files() {
        let found = || format!("{:?}", file.name);
        if !names.insert(&file.name) {
            return Err(Error::misuse("a file is in a package once").found(found()));
        }
        // A percent sign would be read as the start of an escape by those who know that a reference
        // is a URI, and as itself by the others.
        let is_ambiguous = file.name.contains('%');
        if is_ambiguous || crate::package::href::safe_href(&file.name).is_err() {
            return Err(Error::misuse("a file name can be a reference").found(found()));
        }
    }
    Ok(())
}

fn write_references(xml: &mut Xml, contents: &Contents) {
    xml.element("References", &[], |xml| {
        for (index, disk) in contents.disks.iter().enumerate() {
            if let Some(file) = &disk.file {
                write_file(xml, &file_id(index), file);
            }
        }
        if let Some(nvram) = &contents.nvram {
            write_file(xml, NVRAM_ID, nvram);
        }
    });
}

fn write_file(xml: &mut Xml, id: &str, file: &DescribedFile) {
    let size = file.size_bytes.to_string();
    xml.empty("File", &[("ovf:href", &file.name), ("ovf:id", id), ("ovf:size", &size)]);
}

fn write_disks(xml: &mut Xml, contents: &Contents) {
    xml.element("DiskSection", &[], |xml| {
        xml.text("Info", "Virtual disks");
        for (index, disk) in contents.disks.iter().enumerate() {
            let (capacity, disk_id, file_id) = (disk.capacity_bytes.to_string(), disk_id(index), file_id(index));
            let populated = disk.populated_bytes.map(|populated| populated.to_string());
            let mut attributes = vec![
                ("ovf:capacity", capacity.as_str()),
                ("ovf:capacityAllocationUnits", "byte"),
                ("ovf:diskId", &disk_id),
                ("ovf:format", format_uri(disk.format)),
            ];
            attributes.extend(disk.file.as_ref().map(|_| ("ovf:fileRef", file_id.as_str())));
            attributes.extend(populated.as_deref().map(|populated| ("ovf:populatedSize", populated)));
            xml.empty("Disk", &attributes);
        }
    });
}

fn write_networks(xml: &mut Xml, machine: &Machine) {
    let names: BTreeSet<&str> = machine.nics.iter().map(network_name).collect();
    if names.is_empty() {
        return;
    }
    xml.element("NetworkSection", &[], |xml| {
        xml.text("Info", "Networks");
        for name in names {
            xml.element("Network", &[("ovf:name", name)], |xml| xml.text("Description", name));
        }
    });
}

fn network_name(nic: &crate::package::machine::Nic) -> &str {
    nic.network.as_deref().unwrap_or(NETWORK_DEFAULT)
}

fn write_system(xml: &mut Xml, machine: &Machine, contents: &Contents) {
    xml.element("VirtualSystem", &[("ovf:id", &machine.name)], |xml| {
        xml.text("Info", "A virtual machine");
        xml.text("Name", &machine.name);
        write_guest_os(xml, machine);
        if let Some(annotation) = &machine.annotation {
            xml.element("AnnotationSection", &[("ovf:required", "false")], |xml| {
                xml.text("Info", "Notes");
                xml.text("Annotation", annotation);
            });
        }
        xml.element("VirtualHardwareSection", &[], |xml| {
            xml.text("Info", "Virtual hardware");
            write_hardware_family(xml, machine);
            Items::new(xml).write_all(machine);
            write_settings(xml, machine, contents);
        });
    });
}

fn write_guest_os(xml: &mut Xml, machine: &Machine) {
    let id = machine.guest_os.cim_id.unwrap_or(OS_OTHER).to_string();
    let mut attributes = vec![("ovf:id", id.as_str())];
    // In a `.vmx` the words are other ones, which importers of OVF refuse.
    let vmware = machine.guest_os.vmware_id.as_deref().filter(|id| id.ends_with("Guest"));
    attributes.extend(vmware.map(|id| ("vmw:osType", id)));
    xml.element("OperatingSystemSection", &attributes, |xml| {
        xml.text("Info", "The guest operating system");
        if let Some(description) = &machine.guest_os.description {
            xml.text("Description", description);
        }
    });
}

fn write_hardware_family(xml: &mut Xml, machine: &Machine) {
    let version = machine.hardware_version.as_deref().filter(|version| version.starts_with("vmx-"));
    xml.element("System", &[], |xml| {
        xml.text("vssd:ElementName", "Virtual Hardware Family");
        xml.text("vssd:InstanceID", "0");
        xml.text("vssd:VirtualSystemIdentifier", &machine.name);
        xml.text("vssd:VirtualSystemType", version.unwrap_or(HARDWARE_DEFAULT));
    });
}

fn write_settings(xml: &mut Xml, machine: &Machine, contents: &Contents) {
    let mut setting = |name, key: &str, value: &str| {
        xml.empty(name, &[("ovf:required", "false"), ("vmw:key", key), ("vmw:value", value)]);
    };
    if let Some(firmware) = machine.firmware {
        setting("vmw:Config", "firmware", firmware.word());
    }
    if let Some(secure_boot) = machine.secure_boot {
        setting("vmw:Config", "bootOptions.efiSecureBootEnabled", &secure_boot.to_string());
    }
    if contents.nvram.is_some() {
        setting("vmw:ExtraConfig", "nvram", &format!("ovf:/file/{NVRAM_ID}"));
    }
}

fn file_id(index: usize) -> String {
    format!("file{}", index + 1)
}

fn disk_id(index: usize) -> String {
    format!("vmdisk{}", index + 1)
}

fn format_uri(format: DeclaredFormat) -> &'static str {
    match format {
        DeclaredFormat::Vmdk | DeclaredFormat::Unknown => {
            "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
        }
        DeclaredFormat::Qcow2 => "http://www.gnome.org/~markmc/qcow-image-format.html",
        DeclaredFormat::Raw => "http://www.vmware.com/interfaces/specifications/raw.html#raw",
    }
}

#[cfg(test)]
mod tests;
