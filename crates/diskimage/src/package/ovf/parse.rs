//! Collects what a descriptor says while its elements pass, then checks the references.

use std::collections::HashSet;
use std::num::ParseIntError;

use super::units::bytes_per_unit;
use super::xml::{Element, Visitor, walk};
use super::{Compression, Descriptor, Disk, FileRef, VirtualSystem};
use crate::{Error, Result};

/// Parses a descriptor.
pub(super) fn parse(text: &[u8]) -> Result<Descriptor> {
    let mut collector = Collector::default();
    walk(text, &mut collector)?;
    let descriptor = collector.descriptor;
    check_unique("file", descriptor.files.iter().map(|file| &file.id))?;
    check_unique("disk", descriptor.disks.iter().map(|disk| &disk.disk_id))?;
    for disk in &descriptor.disks {
        if disk.file_ref.is_some() && descriptor.file_of(disk).is_none() {
            return Err(
                Error::corrupt("a disk refers to a file that is listed").found(format!("disk {:?}", disk.disk_id))
            );
        }
    }
    Ok(descriptor)
}

fn check_unique<'a>(what: &str, ids: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(Error::corrupt("an identifier is used once").found(format!("{what} {id:?}")));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Collector {
    descriptor: Descriptor,
    /// The depth of the machine that is passing, whose `Name` is the next element inward.
    system_depth: Option<usize>,
}

impl Visitor for Collector {
    fn start(&mut self, path: &[String], element: &Element) -> Result<()> {
        let parent = path.last().map_or("", String::as_str);
        match (parent, element.name.as_str()) {
            ("", name) if path.is_empty() && name != "Envelope" => {
                Err(Error::corrupt("the outermost element of an OVF descriptor is an envelope"))
            }
            ("References", "File") => {
                self.descriptor.files.push(read_file(element)?);
                Ok(())
            }
            ("DiskSection" | "Section", "Disk") => {
                self.descriptor.disks.push(read_disk(element)?);
                Ok(())
            }
            (_, _) if is_system(element) => {
                self.system_depth = Some(path.len());
                self.descriptor
                    .virtual_systems
                    .push(VirtualSystem { id: element.get("id").unwrap_or_default().to_owned(), name: None });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, path: &[String], element: &Element, text: &str) -> Result<()> {
        let directly_inside = self.system_depth.is_some_and(|depth| path.len() == depth + 1);
        if is_system(element) {
            self.system_depth = None;
        } else if element.name == "Name"
            && directly_inside
            && let Some(system) = self.descriptor.virtual_systems.last_mut()
        {
            system.name = Some(text.trim().to_owned());
        }
        Ok(())
    }
}

/// Returns whether an element is a machine, by name or, in OVF 0.9, by type.
fn is_system(element: &Element) -> bool {
    element.name == "VirtualSystem"
        || (element.name == "Content" && element.xsi_type.as_deref() == Some("VirtualSystem_Type"))
}

fn read_file(element: &Element) -> Result<FileRef> {
    Ok(FileRef {
        id: required(element, "id")?.to_owned(),
        href: required(element, "href")?.to_owned(),
        size_bytes: number(element, "size")?,
        compression: match element.get("compression") {
            None | Some("" | "identity") => Compression::Identity,
            Some("gzip") => Compression::Gzip,
            Some(other) => {
                return Err(Error::unsupported("files are not compressed, or by gzip").found(format!("{other:?}")));
            }
        },
        chunk_bytes: number(element, "chunkSize")?,
    })
}

fn read_disk(element: &Element) -> Result<Disk> {
    let disk_id = required(element, "diskId")?.to_owned();
    if element.get("parentRef").is_some() {
        return Err(Error::unsupported("a disk has no parent").found(format!("disk {disk_id:?}")));
    }
    let capacity = required(element, "capacity")?;
    if capacity.trim_start().starts_with("${") {
        return Err(
            Error::unsupported("the capacity of a disk is a number").found(format!("{capacity:?} of disk {disk_id:?}"))
        );
    }
    let capacity = parse_number("capacity", capacity)?;
    let unit_bytes = bytes_per_unit(element.get("capacityAllocationUnits").unwrap_or_default())?;
    let capacity_bytes = capacity
        .checked_mul(unit_bytes)
        .ok_or_else(|| Error::limit("the capacity of a disk is below 2^64 bytes").found(format!("disk {disk_id:?}")))?;
    Ok(Disk {
        disk_id,
        file_ref: element.get("fileRef").filter(|file| !file.is_empty()).map(str::to_owned),
        capacity_bytes,
        populated_bytes: number(element, "populatedSize")?,
        format: element.get("format").map(str::to_owned),
    })
}

fn required<'e>(element: &'e Element, name: &'static str) -> Result<&'e str> {
    element.get(name).ok_or_else(|| {
        Error::corrupt("an element has its required attributes").found(format!("{} lacks {name}", element.name))
    })
}

fn number(element: &Element, name: &'static str) -> Result<Option<u64>> {
    element.get(name).map(|text| parse_number(name, text)).transpose()
}

fn parse_number(name: &str, text: &str) -> Result<u64> {
    text.trim().parse().map_err(|source: ParseIntError| {
        Error::corrupt("a size is a number of 64 bits").found(format!("{name} {text:?}")).caused_by(source)
    })
}

#[cfg(test)]
mod tests;
