//! Makes a [`Descriptor`] of the tree of an envelope and checks its references.

use std::collections::HashSet;
use std::num::ParseIntError;

use super::collect;
use super::units::bytes_per_unit;
use super::xml::{self, Node};
use super::{Compression, Configuration, DISKS_MAX, Descriptor, Disk, FILES_MAX, FileRef, Network};
use crate::package::machine::DeclaredFormat;
use crate::{Error, Result};

/// Parses a descriptor.
pub(super) fn parse(text: &[u8]) -> Result<Descriptor> {
    let root = xml::read(text)?;
    let properties = collect::properties(&root);
    let mut descriptor = Descriptor::default();
    for section in root.all_children() {
        let taken = match section.kind() {
            "References" => section.children("File").try_for_each(|file| {
                descriptor.files.push(read_file(file)?);
                Ok(())
            }),
            "DiskSection" => section.children("Disk").try_for_each(|disk| {
                descriptor.disks.push(read_disk(disk, &properties).map_err(|error| error.or_at(disk.offset))?);
                Ok(())
            }),
            "NetworkSection" => section.children("Network").try_for_each(|network| {
                descriptor.networks.push(read_network(network)?);
                Ok(())
            }),
            "DeploymentOptionSection" => section.children("Configuration").try_for_each(|configuration| {
                descriptor.configurations.push(read_configuration(configuration)?);
                Ok(())
            }),
            _ => Ok(()),
        };
        taken.map_err(|error: Error| error.or_at(section.offset))?;
    }
    collect::systems(&root, &mut descriptor.virtual_systems)?;
    check(&descriptor)?;
    Ok(descriptor)
}

fn check(descriptor: &Descriptor) -> Result<()> {
    if descriptor.files.len() > FILES_MAX {
        return Err(Error::limit("a package has at most 10000 files").found(descriptor.files.len().to_string()));
    }
    if descriptor.disks.len() > DISKS_MAX {
        return Err(Error::limit("a package has at most 1024 disks").found(descriptor.disks.len().to_string()));
    }
    check_unique("file", descriptor.files.iter().map(|file| &file.id))?;
    check_unique("disk", descriptor.disks.iter().map(|disk| &disk.disk_id))?;
    check_unique("configuration", descriptor.configurations.iter().map(|configuration| &configuration.id))?;
    for disk in &descriptor.disks {
        if disk.file_ref.is_some() && descriptor.file_of(disk).is_none() {
            return Err(
                Error::corrupt("a disk refers to a file that is listed").found(format!("disk {:?}", disk.disk_id))
            );
        }
    }
    Ok(())
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

fn read_file(element: &Node) -> Result<FileRef> {
    Ok(FileRef {
        id: required(element, "id")?.to_owned(),
        href: required(element, "href")?.to_owned(),
        size_bytes: number(element, "size")?,
        compression: match element.get("compression") {
            None | Some("" | "identity") => Compression::Identity,
            Some("gzip") => Compression::Gzip,
            Some(other) => {
                return Err(Error::unsupported("files are not compressed, or by gzip")
                    .found(format!("{other:?}"))
                    .at(element.offset));
            }
        },
        chunk_bytes: number(element, "chunkSize")?.filter(|&length| length > 0),
    })
}

fn read_disk(element: &Node, properties: &collect::Properties) -> Result<Disk> {
    let disk_id = required(element, "diskId")?.to_owned();
    if element.get("parentRef").is_some_and(|parent| !parent.is_empty()) {
        return Err(Error::unsupported("a disk has no parent").found(format!("disk {disk_id:?}")));
    }
    let written = required(element, "capacity")?;
    let capacity = properties.resolve(written).ok_or_else(|| {
        Error::unsupported("the capacity of a disk is a number or a property with a value")
            .found(format!("{written:?} of disk {disk_id:?}"))
    })?;
    let capacity = parse_number("capacity", capacity)?;
    let unit_bytes = bytes_per_unit(element.get("capacityAllocationUnits").unwrap_or_default())?;
    let capacity_bytes = capacity
        .checked_mul(unit_bytes)
        .ok_or_else(|| Error::limit("the capacity of a disk is below 2^64 bytes").found(format!("disk {disk_id:?}")))?;
    let format = element.get("format").map(str::to_owned);
    let declared = [element.get("volume-format"), format.as_deref()];
    let declared_format = declared
        .into_iter()
        .flatten()
        .map(DeclaredFormat::from_words)
        .find(|&format| format != DeclaredFormat::Unknown)
        .unwrap_or_default();
    Ok(Disk {
        disk_id,
        file_ref: element.get("fileRef").filter(|file| !file.is_empty()).map(str::to_owned),
        capacity_bytes,
        populated_bytes: number(element, "populatedSize")?,
        format,
        declared_format,
    })
}

fn read_network(element: &Node) -> Result<Network> {
    Ok(Network {
        name: required(element, "name")?.to_owned(),
        description: element.child_text("Description").map(str::to_owned),
    })
}

fn read_configuration(element: &Node) -> Result<Configuration> {
    Ok(Configuration {
        id: required(element, "id")?.to_owned(),
        is_default: element.get("default").is_some_and(is_true),
        label: element.child_text("Label").map(str::to_owned),
    })
}

/// Returns whether the text is a true boolean of XML.
pub(super) fn is_true(text: &str) -> bool {
    matches!(text.trim(), "1") || text.trim().eq_ignore_ascii_case("true")
}

pub(super) fn required<'e>(element: &'e Node, name: &'static str) -> Result<&'e str> {
    element.get(name).ok_or_else(|| {
        Error::corrupt("an element has its required attributes")
            .found(format!("{} lacks {name}", element.name))
            .at(element.offset)
    })
}

fn number(element: &Node, name: &'static str) -> Result<Option<u64>> {
    element.get(name).map(|text| parse_number(name, text)).transpose().map_err(|error| error.or_at(element.offset))
}

pub(super) fn parse_number(name: &str, text: &str) -> Result<u64> {
    text.trim().parse().map_err(|source: ParseIntError| {
        Error::corrupt("a size is a number of 64 bits").found(format!("{name} {text:?}")).caused_by(source)
    })
}

#[cfg(test)]
mod tests;
