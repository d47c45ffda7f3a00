//! The list of a VM's snapshots as its directory has it. Pure.

use jiff::Timestamp;

use super::SnapshotNow;
use super::vmx::Lines;

/// What the list says of one snapshot.
#[derive(Clone, Debug)]
pub(super) struct Listed<'a> {
    pub(super) snapshot: &'a SnapshotNow,
    /// Name of the file with its state.
    pub(super) file: String,
    /// For each disk the link that was the highest, and where the disk sits, `scsi0:0`.
    pub(super) disks: Vec<(String, String)>,
}

/// Returns the list. The snapshots are a row, oldest first.
pub(super) fn text(snapshots: &[Listed<'_>]) -> String {
    let mut lines = Lines::new();
    let Some(current) = snapshots.last() else { return lines.0 };
    lines.set("snapshot.lastUID", &current.snapshot.id.to_string());
    lines.set("snapshot.current", &current.snapshot.id.to_string());
    for (index, listed) in snapshots.iter().enumerate() {
        let key = |name: &str| format!("snapshot{index}.{name}");
        let from = listed.snapshot;
        lines.set(&key("uid"), &from.id.to_string());
        lines.set(&key("filename"), &listed.file);
        if let Some(parent) = index.checked_sub(1).and_then(|parent| snapshots.get(parent)) {
            lines.set(&key("parent"), &parent.snapshot.id.to_string());
        }
        lines.set(&key("displayName"), &from.name);
        lines.set(&key("description"), &from.description);
        if from.has_memory {
            lines.set(&key("type"), "1");
        }
        let (high, low) = halves(from.created.0.parse::<Timestamp>().unwrap_or_default());
        lines.set(&key("createTimeHigh"), &high.to_string());
        lines.set(&key("createTimeLow"), &low.to_string());
        lines.set(&key("numDisks"), &listed.disks.len().to_string());
        for (disk, (file, node)) in listed.disks.iter().enumerate() {
            lines.set(&key(&format!("disk{disk}.fileName")), file);
            lines.set(&key(&format!("disk{disk}.node")), node);
        }
    }
    lines.set("snapshot.numSnapshots", &snapshots.len().to_string());
    lines.0
}

/// Returns the halves of a time in microseconds, each written as a signed number, as such files have it.
fn halves(time: Timestamp) -> (i32, i32) {
    let bytes = time.as_microsecond().to_be_bytes();
    let half = |at: usize| i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (half(0), half(4))
}

#[cfg(test)]
mod tests {
    use vsphere::wire::DateTime;

    use super::*;

    #[test]
    fn a_row_of_snapshots_names_parents_links_and_times() {
        let snapshot = |id: i32, name: &str| SnapshotNow {
            moref: format!("snapshot-{id}"),
            id,
            name: name.to_owned(),
            description: String::new(),
            created: DateTime("2025-01-01T00:00:00.000000Z".to_owned()),
            has_memory: false,
            frozen: 0,
        };
        let (first, second) = (snapshot(4, "say \"a\""), snapshot(7, "b"));
        let listed = |snapshot, link: &str| Listed {
            snapshot,
            file: "x.vmsn".to_owned(),
            disks: vec![(link.to_owned(), "scsi0:0".to_owned())],
        };
        let told = text(&[listed(&first, "x.vmdk"), listed(&second, "x-000001.vmdk")]);
        for line in [
            "snapshot.current = \"7\"",
            "snapshot0.displayName = \"say |22a|22\"",
            "snapshot1.parent = \"4\"",
            "snapshot1.disk0.fileName = \"x-000001.vmdk\"",
            "snapshot.numSnapshots = \"2\"",
        ] {
            assert!(told.lines().any(|known| known == line), "{line} in {told}");
        }
        assert!(!told.contains("snapshot0.parent"), "{told}");
        let (high, low) = halves("2025-01-01T00:00:00Z".parse().unwrap());
        assert_eq!((i64::from(high) << 32) + i64::from(low.cast_unsigned()), 1_735_689_600_000_000);
        assert_eq!(text(&[]), ".encoding = \"UTF-8\"\n");
    }
}
