//! The OVF descriptor that `CreateDescriptor` returns.
//!
//! Written as VMware's tools write theirs, for OVF 1.x: files and disks as the client describes
//! them, the hardware as the inventory has it. A pure function from values to text. Deliberately
//! absent: vApps, properties, and the `extraconfig` option, because the inventory has none.

mod items;
mod xml;

use crate::hardware::Layout;
use crate::identity;
use crate::inventory::Vm;
use items::Items;
use xml::Xml;

/// What all VMware tools write for a streamed disk.
const DISK_FORMAT: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

const NAMESPACES: [(&str, &str); 6] = [
    ("xmlns", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:rasd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"),
    ("xmlns:vssd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"),
    ("xmlns:vmw", "http://www.vmware.com/schema/ovf"),
    ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
];

/// The network of a VM that was not read from an inventory.
const DEFAULT_NETWORK: &str = "VM Network";

/// A file that the descriptor refers to, as the client describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescriptorFile {
    /// Key of the device, `/vm-62/ParaVirtualSCSIController0:0` or `/vm-62/nvram`.
    pub device_id: String,
    /// Path relative to the descriptor.
    pub path: String,
    /// Bytes of the file.
    pub size: i64,
    /// Bytes of the disk.
    pub capacity: Option<i64>,
    /// Bytes of the disk that hold data.
    pub populated: Option<i64>,
    /// `compressionMethod`, for example `gzip`.
    pub compression: Option<String>,
    /// `chunkSize`.
    pub chunk_size: Option<i64>,
}

/// What is described.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// The VM.
    pub vm: &'a Vm,
    /// Its reference.
    pub vm_moref: &'a str,
    /// Its name in the package.
    pub name: &'a str,
    /// The storage hardware that it has now.
    pub layout: &'a Layout,
}

/// Returns the descriptor of a VM.
///
/// Sizes are echoed. Images of CD-ROM drives are left out unless `include_image_files`; a disk without a
/// file becomes a blank one; a file that belongs to no device is referred to and not used. Of
/// `export_options`, `mac`, `uuid` and `nodevicesubtypes` have an effect.
#[must_use]
pub fn descriptor(
    machine: Machine<'_>,
    files: &[DescriptorFile],
    include_image_files: bool,
    export_options: &[String],
) -> String {
    let name = machine.name;
    let is_image = |file: &DescriptorFile| machine.cdrom_keys().any(|key| key == file.device_id);
    let files: Vec<_> = files.iter().filter(|file| include_image_files || !is_image(file)).collect();
    let option = |name: &str| export_options.iter().any(|option| option == name);
    let mut xml = Xml::new();
    xml.element("Envelope", &NAMESPACES, |xml| {
        references(xml, &files);
        machine.disk_section(xml, &files);
        machine.network_section(xml);
        xml.element("VirtualSystem", &[("ovf:id", name)], |xml| {
            xml.text("Info", &[], "A virtual machine");
            xml.text("Name", &[], name);
            machine.annotation_section(xml);
            machine.system_section(xml);
            machine.hardware_section(xml, &files, &option);
        });
    });
    xml.finish()
}

fn references(xml: &mut Xml, files: &[&DescriptorFile]) {
    xml.element("References", &[], |xml| {
        for (index, file) in files.iter().enumerate() {
            let (id, size) = (file_id(index), file.size.to_string());
            let chunk_size = file.chunk_size.map(|size| size.to_string());
            let mut attributes = vec![("ovf:href", file.path.as_str()), ("ovf:id", &id), ("ovf:size", &size)];
            attributes.extend(file.compression.as_deref().map(|method| ("ovf:compression", method)));
            attributes.extend(chunk_size.as_deref().map(|size| ("ovf:chunkSize", size)));
            xml.empty("File", &attributes);
        }
    });
}

impl Machine<'_> {
    fn disk_keys(&self) -> impl Iterator<Item = String> {
        self.layout.disks.iter().map(|place| self.layout.export_key(self.vm_moref, place))
    }

    fn cdrom_keys(&self) -> impl Iterator<Item = String> {
        self.layout.cdroms.iter().map(|place| self.layout.export_key(self.vm_moref, place))
    }

    fn network(&self) -> &str {
        self.vm.network.as_deref().unwrap_or(DEFAULT_NETWORK)
    }

    fn disk_section(&self, xml: &mut Xml, files: &[&DescriptorFile]) {
        xml.element("DiskSection", &[], |xml| {
            xml.text("Info", &[], "Virtual disk information");
            for (disk, (key, of_inventory)) in self.disk_keys().zip(&self.vm.disks).enumerate() {
                let file = find(files, &key);
                let said = file.and_then(|(_, file)| file.capacity).map(|bytes| bytes.to_string());
                let capacity = said.unwrap_or_else(|| of_inventory.size.0.to_string());
                let id = disk_id(disk);
                let mut attributes = vec![
                    ("ovf:capacity", capacity.as_str()),
                    ("ovf:capacityAllocationUnits", "byte"),
                    ("ovf:diskId", &id),
                ];
                let file_id = file.map(|(index, _)| file_id(index));
                let populated = file.and_then(|(_, file)| file.populated).map(|bytes| bytes.to_string());
                if let Some(file_id) = &file_id {
                    attributes.extend([("ovf:fileRef", file_id.as_str()), ("ovf:format", DISK_FORMAT)]);
                }
                attributes.extend(populated.as_deref().map(|bytes| ("ovf:populatedSize", bytes)));
                xml.empty("Disk", &attributes);
            }
        });
    }

    fn network_section(&self, xml: &mut Xml) {
        xml.element("NetworkSection", &[], |xml| {
            xml.text("Info", &[], "The list of logical networks");
            xml.element("Network", &[("ovf:name", self.network())], |xml| {
                xml.text("Description", &[], &format!("The {} network", self.network()));
            });
        });
    }

    fn annotation_section(&self, xml: &mut Xml) {
        if self.vm.annotation.is_empty() {
            return;
        }
        xml.element("AnnotationSection", &[], |xml| {
            xml.text("Info", &[], "A human-readable annotation");
            xml.text("Annotation", &[], &self.vm.annotation);
        });
    }

    fn system_section(&self, xml: &mut Xml) {
        let attributes = [("ovf:id", os_id(&self.vm.guest_id)), ("vmw:osType", self.vm.guest_id.as_str())];
        xml.element("OperatingSystemSection", &attributes, |xml| {
            xml.text("Info", &[], "The kind of installed guest operating system");
        });
    }

    fn hardware_section(&self, xml: &mut Xml, files: &[&DescriptorFile], option: &dyn Fn(&str) -> bool) {
        xml.element("VirtualHardwareSection", &[], |xml| {
            xml.text("Info", &[], "Virtual hardware requirements");
            xml.element("System", &[], |xml| {
                xml.text("vssd:ElementName", &[], "Virtual Hardware Family");
                xml.text("vssd:InstanceID", &[], "0");
                xml.text("vssd:VirtualSystemIdentifier", &[], self.name);
                xml.text("vssd:VirtualSystemType", &[], identity::HARDWARE_VERSION);
            });
            let mut items = Items::new(xml, !option("nodevicesubtypes"));
            items.cpu(self.vm);
            items.memory(self.vm);
            for controller in &self.layout.controllers {
                items.controller(controller);
            }
            for (disk, place) in self.layout.disks.iter().enumerate() {
                items.disk(place, &disk_id(disk));
            }
            for (key, place) in self.cdrom_keys().zip(&self.layout.cdroms) {
                let file_id = find(files, &key).map(|(index, _)| file_id(index));
                items.cdrom(place, file_id.as_deref());
            }
            items.network(self.vm, self.network(), option("mac"));
            self.config(xml, files, option("uuid"));
        });
    }

    fn config(&self, xml: &mut Xml, files: &[&DescriptorFile], with_uuid: bool) {
        let mut entry = |element: &str, key: &str, value: &str| {
            xml.empty(element, &[("ovf:required", "false"), ("vmw:key", key), ("vmw:value", value)]);
        };
        entry("vmw:Config", "firmware", &self.vm.firmware);
        if with_uuid {
            entry("vmw:Config", "uuid", &identity::bios_uuid(self.vm).to_string());
        }
        if let Some((index, _)) = find(files, &format!("/{}/nvram", self.vm_moref)) {
            entry("vmw:ExtraConfig", "nvram", &format!("ovf:/file/{}", file_id(index)));
        }
    }
}

fn find<'a>(files: &[&'a DescriptorFile], key: &str) -> Option<(usize, &'a DescriptorFile)> {
    let (index, file) = files.iter().enumerate().find(|(_, file)| file.device_id == key)?;
    Some((index, *file))
}

fn file_id(index: usize) -> String {
    format!("file{}", index + 1)
}

fn disk_id(index: usize) -> String {
    format!("vmdisk{}", index + 1)
}

/// Returns CIM's number for the common guests; readers go by `vmw:osType`.
fn os_id(guest_id: &str) -> &'static str {
    const OTHER: &str = "1";
    let known = [("debian", "96"), ("ubuntu", "94"), ("rhel", "80"), ("centos", "107")];
    let is_64_bit = guest_id.contains("64");
    known.iter().find(|(name, _)| is_64_bit && guest_id.starts_with(name)).map_or(OTHER, |(_, id)| id)
}

#[cfg(test)]
mod tests;
