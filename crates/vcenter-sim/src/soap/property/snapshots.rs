//! Snapshots as a VM tells of them, and what a snapshot says about itself.

use vsphere::wire::generated::{VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree};
use vsphere::wire::{Any, MoRef};

use super::super::call::Call;
use super::super::chain::Snapshot;
use super::super::fault::Outcome;
use super::super::state::{State, VmState};
use super::machine::Machine;
use super::{morefs, one};

/// Returns `snapshot` of a VM: the tree, which is a row, and its end. Unset without snapshots.
pub(super) fn info(vm: &VmState, moref: &MoRef) -> Option<VirtualMachineSnapshotInfo> {
    let current = vm.snapshots.last()?;
    let tree = vm.snapshots.iter().rev().fold(Vec::new(), |children, snapshot| vec![tree(snapshot, moref, children)]);
    Some(VirtualMachineSnapshotInfo { current_snapshot: Some(reference(current)), root_snapshot_list: tree })
}

/// Returns `rootSnapshot` of a VM.
pub(super) fn roots(vm: &VmState) -> Vec<MoRef> {
    vm.snapshots.first().map(reference).into_iter().collect()
}

/// Returns a property of a snapshot.
pub(super) fn property(call: &Call<'_>, state: &State, object: &MoRef, name: &str) -> Outcome<Option<Any>> {
    let (index, snapshot) = state.snapshot(object)?;
    let vm = &state.vms[index];
    let moref = call.subject_at(state, index)?.moref;
    Ok(match name {
        "vm" => one(call, &moref),
        "childSnapshot" => {
            let later = vm.snapshots.iter().skip_while(|other| other.id != snapshot.id).skip(1);
            morefs(call, &later.take(1).map(reference).collect::<Vec<_>>())
        }
        "config" => call
            .model()
            .find(&moref)
            .and_then(|id| Machine::at(call, state, id, (&snapshot.configured, &vm.deltas[..snapshot.frozen])))
            .and_then(|machine| one(call, &machine.config()?)),
        _ => None,
    })
}

fn tree(
    snapshot: &Snapshot,
    vm: &MoRef,
    child_snapshot_list: Vec<VirtualMachineSnapshotTree>,
) -> VirtualMachineSnapshotTree {
    VirtualMachineSnapshotTree {
        snapshot: reference(snapshot),
        vm: vm.clone(),
        name: snapshot.wish.name.clone(),
        description: snapshot.wish.description.clone(),
        id: snapshot.id,
        create_time: snapshot.created.clone(),
        state: snapshot.power.clone(),
        quiesced: snapshot.wish.quiesced,
        child_snapshot_list,
        replay_supported: Some(false),
        ..VirtualMachineSnapshotTree::default()
    }
}

fn reference(snapshot: &Snapshot) -> MoRef {
    MoRef::new("VirtualMachineSnapshot", &snapshot.moref)
}
