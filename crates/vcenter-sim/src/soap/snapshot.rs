//! The calls about snapshots: each is a task, whose work [`super::chain`] does.
//!
//! A wish to quiesce is ignored, and the snapshot says so, where Tools do not run or the VM does not:
//! the API has it so. Independent of the caller's wish, a snapshot of memory is not quiesced.

use std::time::Duration;

use vsphere::wire::generated::{
    ConsolidateVMDisksTask, CreateSnapshotExTask, CreateSnapshotTask, RemoveAllSnapshotsTask, RemoveSnapshotTask,
    VirtualMachinePowerState as Power,
};
use vsphere::wire::{Fault, MoRef};

use super::call::Call;
use super::chain::{NewSnapshot, Removal, Snapshot, Which};
use super::fault::{self, Outcome};
use super::power::{tools_run, usable};
use super::state::State;
use super::task::{self, Change, Subject, Work};
use crate::inventory::{Disk, SNAPSHOTS_MAX};

/// `CreateSnapshot_Task`.
pub(crate) fn create(call: &Call<'_>, request: CreateSnapshotTask) -> Outcome<MoRef> {
    let description = request.description.unwrap_or_default();
    let wish = NewSnapshot {
        name: request.name,
        description,
        memory: request.memory,
        quiesced: request.quiesce,
        declared: false,
    };
    take(call, &request.this, "CreateSnapshot_Task", wish)
}

/// `CreateSnapshotEx_Task`: whoever says how to quiesce wants it.
pub(crate) fn create_ex(call: &Call<'_>, request: CreateSnapshotExTask) -> Outcome<MoRef> {
    let description = request.description.unwrap_or_default();
    let quiesced = request.quiesce_spec.is_some();
    let wish = NewSnapshot { name: request.name, description, memory: request.memory, quiesced, declared: false };
    take(call, &request.this, "CreateSnapshotEx_Task", wish)
}

/// `RemoveSnapshot_Task`.
pub(crate) fn remove(call: &Call<'_>, request: RemoveSnapshotTask) -> Outcome<MoRef> {
    let mut state = call.lock();
    let (vm, _) = state.snapshot(&request.this)?;
    let id = request.this.id;
    let which = if request.remove_children { Which::From(id) } else { Which::One(id) };
    let subject = call.subject_at(&state, vm)?;
    let names = ("RemoveSnapshot_Task", "vm.Snapshot.remove");
    removal(call, &mut state, subject, names, which, request.consolidate)
}

/// `RemoveAllSnapshots_Task`.
pub(crate) fn remove_all(call: &Call<'_>, request: RemoveAllSnapshotsTask) -> Outcome<MoRef> {
    if request.spec.is_some_and(|spec| spec.retention_days.is_some()) {
        return Err(fault::not_supported("snapshots cannot be chosen by their age"));
    }
    let mut state = call.lock();
    let subject = call.subject(&state, &request.this)?;
    let names = ("RemoveAllSnapshots_Task", "VirtualMachine.removeAllSnapshots");
    removal(call, &mut state, subject, names, Which::All, request.consolidate)
}

/// `ConsolidateVMDisks_Task`: without anything to merge it succeeds, too.
pub(crate) fn consolidate(call: &Call<'_>, request: ConsolidateVMDisksTask) -> Outcome<MoRef> {
    let mut state = call.lock();
    let subject = call.subject(&state, &request.this)?;
    state.check_free(subject.vm)?;
    let change = Change::Remove(Removal { which: Which::Nothing, merge: true });
    let end = usable(call, &subject)?.map(|()| change);
    let takes = Duration::from_millis(call.world.faults.now().snapshot_remove_ms);
    let description_id = "VirtualMachine.consolidateDisks";
    let work = Work { method: "ConsolidateVMDisks_Task", description_id, takes, end };
    Ok(task::start(call, &mut state, subject, work))
}

fn removal(
    call: &Call<'_>,
    state: &mut State,
    subject: Subject,
    (method, description_id): (&'static str, &'static str),
    which: Which,
    consolidate: Option<bool>,
) -> Outcome<MoRef> {
    state.check_free(subject.vm)?;
    let settings = call.world.faults.now();
    if settings.consolidation_needed_after_remove {
        call.world.faults.note("consolidation_needed_after_remove");
    }
    let merge = consolidate.unwrap_or(true) && !settings.consolidation_needed_after_remove;
    let end = usable(call, &subject)?.map(|()| Change::Remove(Removal { which, merge }));
    let takes = Duration::from_millis(settings.snapshot_remove_ms);
    Ok(task::start(call, state, subject, Work { method, description_id, takes, end }))
}

fn take(call: &Call<'_>, vm: &MoRef, method: &'static str, wish: NewSnapshot) -> Outcome<MoRef> {
    if wish.name.is_empty() {
        return Err(fault::invalid_name(&wish.name, Some(vm)));
    }
    let mut state = call.lock();
    let subject = call.subject(&state, vm)?;
    state.check_free(subject.vm)?;
    let end = usable(call, &subject)?.and_then(|()| possible(call, &state, &subject, wish));
    let end = end.map(|wish| Change::Snapshot(Box::new(wish)));
    let work = Work { method, description_id: "VirtualMachine.createSnapshot", takes: task::SHORT, end };
    Ok(task::start(call, &mut state, subject, work))
}

/// Returns the snapshot that can be taken of a VM, or what goes wrong while the server tries.
fn possible(call: &Call<'_>, state: &State, subject: &Subject, mut wish: NewSnapshot) -> Result<NewSnapshot, Fault> {
    let (settings, vm) = (call.world.faults.now(), &state.vms[subject.vm]);
    let inventory = &call.world.inventory.vms[subject.vm];
    if vm.links() >= SNAPSHOTS_MAX {
        return Err(fault::too_many_snapshot_levels());
    }
    wish.memory &= vm.power == Power::PoweredOn;
    if wish.memory && !inventory.disks.iter().all(Disk::is_in_snapshots) {
        return Err(fault::memory_snapshot_on_independent_disk());
    }
    wish.quiesced &= !wish.memory && tools_run(inventory, &vm.power);
    if wish.quiesced && settings.quiesce_fault {
        call.world.faults.note("quiesce_fault");
        return Err(fault::application_quiesce_fault());
    }
    if settings.snapshot_no_space {
        call.world.faults.note("snapshot_no_space");
        return Err(fault::no_disk_space(&call.world.datastores.get(vm.home.spot.datastore).name));
    }
    Ok(wish)
}

impl State {
    /// Returns a snapshot and the index of its VM.
    ///
    /// # Errors
    /// ManagedObjectNotFound.
    pub(crate) fn snapshot(&self, moref: &MoRef) -> Outcome<(usize, &Snapshot)> {
        let of = |vm: usize| Some((vm, self.vms[vm].snapshots.iter().find(|snapshot| snapshot.moref == moref.id)?));
        let found = (0..self.vms.len()).find_map(of).filter(|_| moref.kind == "VirtualMachineSnapshot");
        found.ok_or_else(|| fault::not_found(moref))
    }
}
