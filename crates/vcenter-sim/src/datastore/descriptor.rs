//! The text of a disk's descriptor, as hosts write theirs. Pure.

use std::fmt::Write as _;

use uuid::Uuid;

/// What a descriptor says.
#[derive(Clone, Debug)]
pub(super) struct DescriptorText<'a> {
    pub(super) cid: u32,
    /// None for a base.
    pub(super) parent_cid: Option<u32>,
    pub(super) create_type: &'a str,
    /// `parentFileNameHint`.
    pub(super) parent_hint: Option<&'a str>,
    /// `VMFS`, `FLAT`, `VMFSSPARSE` or `SESPARSE`.
    pub(super) extent_type: &'a str,
    /// Sectors and file name of each extent.
    pub(super) extents: Vec<(u64, &'a str)>,
    pub(super) adapter: &'a str,
    pub(super) uuid: &'a Uuid,
    pub(super) content_id: &'a str,
    pub(super) thin: bool,
    pub(super) capacity_bytes: u64,
}

/// The parent's id of a link that has no parent.
const NO_PARENT: u32 = u32::MAX;

/// Heads and sectors that hosts claim for a disk of any size beyond some MiB.
const HEADS: u64 = 255;
const SECTORS: u64 = 63;

/// Returns the text.
pub(super) fn text(from: &DescriptorText<'_>) -> String {
    let mut text = String::with_capacity(1024);
    let parent = from.parent_cid.unwrap_or(NO_PARENT);
    let hint = from.parent_hint.map_or_else(String::new, |hint| format!("parentFileNameHint=\"{hint}\"\n"));
    let cylinders = from.capacity_bytes / 512 / (HEADS * SECTORS);
    let mut write = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("a String takes everything");
    };
    write(format_args!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={:08x}\nparentCID={parent:08x}\n\
         createType=\"{}\"\n{hint}\n# Extent description\n",
        from.cid, from.create_type
    ));
    for (sectors, name) in &from.extents {
        // Flat extents of hosted products say where in the file they begin; those of hosts must not.
        let offset = if from.extent_type == "FLAT" { " 0" } else { "" };
        write(format_args!("RW {sectors} {} \"{name}\"{offset}\n", from.extent_type));
    }
    write(format_args!(
        "\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"{}\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{HEADS}\"\nddb.geometry.sectors = \"{SECTORS}\"\nddb.longContentID = \"{}\"\n",
        from.adapter, from.content_id
    ));
    if from.thin {
        write(format_args!("ddb.thinProvisioned = \"1\"\n"));
    }
    write(format_args!("ddb.uuid = \"{}\"\nddb.virtualHWVersion = \"19\"\n", spaced(from.uuid)));
    text
}

/// Writes an id as descriptors and configurations do: `60 00 c2 9a 11 22 33 44-55 66 77 88 99 aa bb cc`.
pub(super) fn spaced(uuid: &Uuid) -> String {
    let pairs: Vec<String> = uuid.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}", pairs[..8].join(" "), pairs[8..].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_parent_and_a_base_has_none() {
        let uuid = Uuid::from_bytes([0x60; 16]);
        let base = DescriptorText {
            cid: 0x1234,
            parent_cid: None,
            create_type: "vmfs",
            parent_hint: None,
            extent_type: "VMFS",
            extents: vec![(8, "a-flat.vmdk")],
            adapter: "lsilogic",
            uuid: &uuid,
            content_id: "00",
            thin: true,
            capacity_bytes: 4096,
        };
        let told = text(&base);
        assert!(told.contains("CID=00001234\nparentCID=ffffffff\ncreateType=\"vmfs\"\n"), "{told}");
        assert!(told.contains("\nRW 8 VMFS \"a-flat.vmdk\"\n") && told.contains("thinProvisioned = \"1\""), "{told}");
        assert!(told.contains("ddb.uuid = \"60 60 60 60 60 60 60 60-60"), "{told}");
        let link = DescriptorText { parent_cid: Some(0x1234), parent_hint: Some("a.vmdk"), thin: false, ..base };
        let told = text(&link);
        assert!(told.contains("parentCID=00001234\n") && told.contains("\nparentFileNameHint=\"a.vmdk\"\n"), "{told}");
        assert!(!told.contains("thin"), "{told}");
    }
}
