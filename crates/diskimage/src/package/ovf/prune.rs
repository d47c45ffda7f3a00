//! Takes devices out of a descriptor that somebody else has made.
//!
//! A server describes the whole VM. What a package does not have goes out of the text again: the item of the
//! hardware, the disk in the list of disks, and a place in the boot order that named it. Controllers stay, for
//! other devices may sit there and the numbers of places count from them. The text is otherwise left as it is,
//! byte for byte.

use std::ops::Range;

use super::machine::{Reference, reference};
use super::xml::{self, Node};
use super::{Descriptor, FileRef};
use crate::{Error, Result};

/// CIM's numbers for drives of CDs and of DVDs.
const CDROM: &str = "15";
const DVD: &str = "16";

/// What goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwanted {
    /// All CD and DVD drives, with the images in them.
    pub cdroms: bool,
    /// Disks without a file.
    pub blank_disks: bool,
}

/// Returns the descriptor without what is unwanted.
///
/// # Errors
///
/// As [`Descriptor::parse`].
pub fn without(text: &str, unwanted: Unwanted) -> Result<String> {
    let text = text.trim_start_matches('\u{feff}');
    let descriptor = Descriptor::parse(text.as_bytes())?;
    let root = xml::read(text.as_bytes())?;
    let blank = |id: &str| descriptor.disks.iter().any(|disk| disk.disk_id == id && disk.file_ref.is_none());
    let mut cuts = Cuts::default();
    if unwanted.blank_disks {
        let disks = root.children("DiskSection").flat_map(|section| section.children("Disk"));
        disks.filter(|disk| disk.get("diskId").is_some_and(blank)).for_each(|disk| cuts.element(disk));
    }
    let is_unwanted = |item: &Node| match item.cim(&["ResourceType"]) {
        Some(CDROM | DVD) => unwanted.cdroms,
        _ => match item.cim(&["HostResource"]).and_then(reference) {
            Some(Reference::Disk(id)) => unwanted.blank_disks && blank(id),
            _ => false,
        },
    };
    systems(&root, &mut |system| cuts.system(system, &is_unwanted));
    for image in cuts.images(&descriptor.files) {
        let files = root.children("References").flat_map(|section| section.children("File"));
        files.filter(|file| file.get("id") == Some(&image)).for_each(|file| cuts.element(file));
    }
    cuts.apply(text)
}

/// Visits the machines of an envelope or of a collection.
fn systems(node: &Node, visit: &mut impl FnMut(&Node)) {
    for child in node.all_children() {
        match child.kind() {
            "VirtualSystem" => visit(child),
            // Nesting is bounded by the reader.
            "VirtualSystemCollection" => systems(child, visit),
            _ => {}
        }
    }
}

/// The parts of the text that go.
#[derive(Debug, Default)]
struct Cuts {
    parts: Vec<Range<u64>>,
    /// Identifiers of files in drives that go.
    images: Vec<String>,
    /// Identifiers of files in items that stay.
    used: Vec<String>,
}

impl Cuts {
    fn element(&mut self, node: &Node) {
        self.parts.push(node.offset..node.end);
    }

    fn system(&mut self, system: &Node, is_unwanted: &impl Fn(&Node) -> bool) {
        let mut gone = Vec::new();
        for item in system.children("VirtualHardwareSection").flat_map(Node::all_children) {
            let file = match item.cim(&["HostResource"]).and_then(reference) {
                Some(Reference::File(id)) => Some(id.to_owned()),
                _ => None,
            };
            if !matches!(item.kind(), "Item" | "StorageItem") || !is_unwanted(item) {
                self.used.extend(file);
                continue;
            }
            self.images.extend(file);
            gone.extend(item.cim(&["InstanceID", "InstanceId"]));
            self.element(item);
        }
        let order = system.vmware_children("BootOrderSection");
        let named = order.filter(|place| place.get_vmware("instanceId").is_some_and(|id| gone.contains(&id)));
        named.for_each(|place| self.element(place));
    }

    /// Returns the files that nothing uses any more.
    fn images(&mut self, files: &[FileRef]) -> Vec<String> {
        let is_free = |id: &String| files.iter().any(|file| file.id == *id) && !self.used.contains(id);
        std::mem::take(&mut self.images).into_iter().filter(is_free).collect()
    }

    fn apply(mut self, text: &str) -> Result<String> {
        self.parts.sort_by_key(|part| part.start);
        let mut rest = String::with_capacity(text.len());
        let mut copied = 0;
        for part in &self.parts {
            let place = |at: u64| usize::try_from(at).ok().filter(|at| *at >= copied && text.is_char_boundary(*at));
            let (Some(start), Some(end)) = (place(part.start), place(part.end)) else {
                return Err(Error::corrupt("elements of an OVF descriptor lie behind each other"));
            };
            // With the blanks in front of it, so that no empty line is left.
            rest.push_str(text[copied..start].trim_end());
            copied = end;
        }
        rest.push_str(&text[copied..]);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="a.vmdk"/>
    <File ovf:id="file2" ovf:href="a.iso"/>
  </References>
  <DiskSection>
    <Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="1"/>
    <Disk ovf:diskId="vmdisk2" ovf:capacity="2"/>
  </DiskSection>
  <VirtualSystem ovf:id="vm">
    <VirtualHardwareSection>
      <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>5</rasd:ResourceType></Item>
      <Item><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item>
        <rasd:HostResource>ovf:/disk/vmdisk2</rasd:HostResource>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item><rasd:HostResource>ovf:/file/file2</rasd:HostResource><rasd:InstanceID>6</rasd:InstanceID><rasd:ResourceType>15</rasd:ResourceType></Item>
      <Item><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceType>16</rasd:ResourceType></Item>
    </VirtualHardwareSection>
    <vmw:BootOrderSection vmw:instanceId="4" vmw:type="disk"/>
    <vmw:BootOrderSection vmw:instanceId="6" vmw:type="cdrom"/>
  </VirtualSystem>
</Envelope>
"#;

    fn lines(text: &str) -> usize {
        text.lines().filter(|line| !line.trim().is_empty()).count()
    }

    #[test]
    fn drives_go_with_their_images_and_their_place_in_the_boot_order() {
        let text = without(TEXT, Unwanted { cdroms: true, blank_disks: false }).unwrap();
        let read = Descriptor::parse(text.as_bytes()).unwrap();
        let items = &read.virtual_systems[0].hardware[0].items;
        assert_eq!(items.iter().map(|item| item.resource_type).collect::<Vec<_>>(), [5, 17, 17]);
        assert_eq!((read.files.len(), read.disks.len()), (1, 2));
        assert!(text.contains("instanceId=\"4\"") && !text.contains("instanceId=\"6\""), "{text}");
        assert_eq!(lines(&text), text.lines().count(), "no line is left empty");
    }

    #[test]
    fn disks_without_a_file_go_and_others_stay() {
        let text = without(TEXT, Unwanted { cdroms: false, blank_disks: true }).unwrap();
        let read = Descriptor::parse(text.as_bytes()).unwrap();
        assert_eq!(read.disks.iter().map(|disk| disk.disk_id.as_str()).collect::<Vec<_>>(), ["vmdisk1"]);
        let items = &read.virtual_systems[0].hardware[0].items;
        assert_eq!(items.iter().map(|item| item.instance_id.as_str()).collect::<Vec<_>>(), ["3", "4", "6", "7"]);
        assert_eq!(read.files.len(), 2);
    }

    #[test]
    fn nothing_unwanted_leaves_every_byte() {
        assert_eq!(without(TEXT, Unwanted::default()).unwrap(), TEXT);
        let bare = TEXT.replace("15</rasd:ResourceType>", "17</rasd:ResourceType>");
        let bare = bare.replace("16</rasd:ResourceType>", "17</rasd:ResourceType>");
        assert_eq!(without(&bare, Unwanted { cdroms: true, blank_disks: false }).unwrap(), bare);
    }

    #[test]
    fn what_is_no_descriptor_is_an_error() {
        assert!(without("<html/>", Unwanted { cdroms: true, blank_disks: true }).is_err());
    }
}
