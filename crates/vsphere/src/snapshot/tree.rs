//! The snapshots that a VM has.

use crate::error::Result;
use crate::properties;
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::{VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree};

/// A snapshot in the tree of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The object.
    pub moref: MoRef,
    /// Its name; several may have the same.
    pub name: String,
    /// Its description.
    pub description: String,
    /// True when the guest was brought to rest for it.
    pub quiesced: bool,
    /// True when other snapshots build on it.
    pub has_children: bool,
}

/// Lists all snapshots of a VM, parents before their children.
///
/// # Errors
/// What the server says.
pub async fn list(session: &Session, vm: &MoRef) -> Result<Vec<Found>> {
    let object = properties::read(session, vm, &["snapshot"]).await?;
    let info: Option<VirtualMachineSnapshotInfo> = object.get("snapshot")?;
    Ok(info.map(|info| flatten(&info.root_snapshot_list)).unwrap_or_default())
}

/// A list of work in place of recursion; the depth of what a server sends is bounded by the decoder.
fn flatten(roots: &[VirtualMachineSnapshotTree]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut work: Vec<&VirtualMachineSnapshotTree> = roots.iter().rev().collect();
    while let Some(node) = work.pop() {
        found.push(Found {
            moref: node.snapshot.clone(),
            name: node.name.clone(),
            description: node.description.clone(),
            quiesced: node.quiesced,
            has_children: !node.child_snapshot_list.is_empty(),
        });
        work.extend(node.child_snapshot_list.iter().rev());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, children: Vec<VirtualMachineSnapshotTree>) -> VirtualMachineSnapshotTree {
        VirtualMachineSnapshotTree {
            name: name.into(),
            snapshot: MoRef::new("VirtualMachineSnapshot", name),
            child_snapshot_list: children,
            ..VirtualMachineSnapshotTree::default()
        }
    }

    #[test]
    fn every_snapshot_of_a_tree_is_found_parents_first() {
        let tree = [node("a", vec![node("b", vec![node("c", vec![])]), node("d", vec![])]), node("e", vec![])];
        let found = flatten(&tree);
        let shown: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.has_children)).collect();
        assert_eq!(shown, [("a", true), ("b", true), ("c", false), ("d", false), ("e", false)]);
    }
}
