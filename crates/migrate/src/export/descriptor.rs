//! Checks the descriptor that the server made against the files that were written.
//!
//! Importers abort on a wrong `ovf:size` and make disks of the wrong size from a wrong
//! `ovf:capacity`; the server only repeats what it was told, so a difference means that one of us has
//! misunderstood the other.

use diskimage::package::href::safe_href;
use diskimage::package::ovf::{self, Descriptor, Disk, Unwanted, add_nvram};
use vsphere::ovf::DescribedFile;

use super::FileReport;
use crate::{Error, ErrorKind, Result};

/// Returns the descriptor's text with the signature behind it, and what is odd about it.
///
/// # Errors
/// [`ErrorKind::Server`] naming the file and both values.
pub(super) fn check(xml: &str, files: &[DescribedFile], signature: &str) -> Result<(String, Vec<String>)> {
    let unreadable =
        |error| Error::new(ErrorKind::Server, "read the descriptor that the server made").with_source(error);
    let descriptor = Descriptor::parse(xml.as_bytes()).map_err(unreadable)?;
    let mut warnings = Vec::new();
    for file in files {
        check_file(&descriptor, file, &mut warnings)?;
    }
    for named in &descriptor.files {
        if !files.iter().any(|file| names(&named.href, &file.path)) {
            return Err(wrong(format!("it names {}, which is not exported", named.href)));
        }
    }
    Ok((format!("{}\n{signature}\n", xml.trim_end()), warnings))
}

/// Returns the descriptor without what the package does not have.
///
/// # Errors
/// [`ErrorKind::Server`] when it cannot be read.
pub(super) fn without(xml: &str, unwanted: Unwanted) -> Result<String> {
    ovf::without(xml, unwanted)
        .map_err(|error| Error::new(ErrorKind::Server, "read the descriptor that the server made").with_source(error))
}

/// Returns the descriptor with an nvram file that the server does not know of.
///
/// # Errors
/// [`ErrorKind::Server`] when it has no place for one.
pub(super) fn with_nvram(xml: &str, nvram: &FileReport) -> Result<String> {
    add_nvram(xml, &nvram.name, nvram.size_bytes)
        .map_err(|error| wrong(format!("it has no place for {}", nvram.name)).with_source(error))
}

fn check_file(descriptor: &Descriptor, file: &DescribedFile, warnings: &mut Vec<String>) -> Result<()> {
    let path = &file.path;
    let Some(named) = descriptor.files.iter().find(|named| names(&named.href, path)) else {
        return Err(wrong(format!("it does not name {path}")));
    };
    if named.size_bytes != Some(file.size_bytes) {
        let said = named.size_bytes.map_or_else(|| "no size".to_owned(), |size| format!("{size} bytes"));
        return Err(wrong(format!("it gives {path} {said}, the file has {}", file.size_bytes)));
    }
    let Some(capacity) = file.capacity_bytes else { return Ok(()) };
    let is_its = |disk: &&Disk| disk.file_ref.as_deref() == Some(named.id.as_str());
    let Some(disk) = descriptor.disks.iter().find(is_its) else {
        return Err(wrong(format!("it has no disk in {path}")));
    };
    if disk.capacity_bytes != capacity {
        let said = disk.capacity_bytes;
        return Err(wrong(format!("it gives the disk in {path} {said} bytes, the disk has {capacity}")));
    }
    match (disk.populated_bytes, file.populated_bytes) {
        (Some(said), Some(populated)) if said != populated => {
            Err(wrong(format!("it says that {said} bytes of the disk in {path} are in use, not {populated}")))
        }
        (None, Some(_)) => {
            warnings.push(format!("the descriptor does not say how much of the disk in {path} is in use"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Returns true when `href`, as it stands or with its percent escapes undone, is `path`.
fn names(href: &str, path: &str) -> bool {
    safe_href(href).is_ok_and(|safe| safe.literal() == path || safe.decoded() == Some(path))
}

fn wrong(reason: String) -> Error {
    Error::new(ErrorKind::Server, format!("check the descriptor that the server made: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(href: &str, size: &str, capacity: &str, populated: &str) -> String {
        format!(
            "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
             xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>\
             <File ovf:id=\"file1\" ovf:href=\"{href}\" {size}/></References>\
             <DiskSection><Info/><Disk ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\" {capacity} {populated}/></DiskSection>\
             <VirtualSystem ovf:id=\"vm\"><Info/></VirtualSystem></Envelope>"
        )
    }

    fn checked(text: &str) -> Result<(String, Vec<String>)> {
        let file = DescribedFile {
            device_key: "/vm-1/x0:0".into(),
            path: "my vm-disk-0.vmdk".into(),
            size_bytes: 100,
            capacity_bytes: Some(2 << 20),
            populated_bytes: Some(70_000),
        };
        check(text, &[file], "<!-- signed -->")
    }

    const SIZE: &str = "ovf:size=\"100\"";
    const CAPACITY: &str = "ovf:capacity=\"2\" ovf:capacityAllocationUnits=\"byte * 2^20\"";
    const POPULATED: &str = "ovf:populatedSize=\"70000\"";

    #[test]
    fn a_right_descriptor_is_signed_behind_its_root() {
        for href in ["my vm-disk-0.vmdk", "my%20vm-disk-0.vmdk"] {
            let (text, warnings) = checked(&xml(href, SIZE, CAPACITY, POPULATED)).unwrap();
            assert!(text.ends_with("</Envelope>\n<!-- signed -->\n") && warnings.is_empty());
        }
    }

    #[test]
    fn every_wrong_value_is_an_error() {
        let href = "my vm-disk-0.vmdk";
        for text in [
            xml("other.vmdk", SIZE, CAPACITY, POPULATED),
            xml(href, "", CAPACITY, POPULATED),
            xml(href, "ovf:size=\"101\"", CAPACITY, POPULATED),
            xml(href, SIZE, "ovf:capacity=\"2\"", POPULATED),
            xml(href, SIZE, CAPACITY, "ovf:populatedSize=\"1\""),
            "<html>502 Bad Gateway</html>".to_owned(),
        ] {
            assert_eq!(checked(&text).unwrap_err().kind(), ErrorKind::Server, "{text}");
        }
    }

    #[test]
    fn a_missing_estimate_is_only_a_warning() {
        assert_eq!(checked(&xml("my vm-disk-0.vmdk", SIZE, CAPACITY, "")).unwrap().1.len(), 1);
    }
}
