//! Everything that changes: sessions and their objects, leases, tasks, what is done to VMs.
//!
//! One [`State`] stands behind one lock; nothing waits while it holds that lock. [`State::tick`]
//! lets time pass: it is called before every call and by a timer that sleeps until
//! [`State::next_deadline`], so that a lease times out even when nobody asks.

use std::collections::BTreeMap;
use std::time::Duration;

use vsphere::wire::MoRef;
use vsphere::wire::generated::VirtualMachinePowerState;

use super::chain::{NewSnapshot, Snapshot, share};
use super::clock::{Instant, civil_now, civil_of};
use super::configured::Configured;
use super::fault;
use super::filter::{Collector, Filter};
use super::lease::{Event, Lease, Phase};
use super::model::{NodeId, VmPlace};
use super::power::GuestPlan;
use super::retrieve::Pages;
use super::session::Sessions;
use super::task::{Change, Ended, Tasks, reference};
use super::view::View;
use crate::content::Delta;
use crate::datastore::home::{Home, Moved};
use crate::datastore::{SnapshotNow, VmNow};
use crate::identity;
use crate::inventory::{Inventory, Vm};

/// All that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) started: Instant,
    pub(crate) sessions: Sessions,
    /// By id.
    pub(crate) leases: BTreeMap<String, Lease>,
    /// Leases that are gone, oldest first.
    pub(crate) past_leases: Vec<PastLease>,
    /// By id.
    pub(crate) views: BTreeMap<String, View>,
    /// By session and id; a session's own collector is made when it is first used.
    pub(crate) collectors: BTreeMap<(String, String), Collector>,
    /// By id.
    pub(crate) filters: BTreeMap<String, Filter>,
    /// By token.
    pub(crate) pages: BTreeMap<String, Pages>,
    /// How many tokens were made, ever.
    pub(crate) pages_made: u64,
    pub(crate) tasks: Tasks,
    /// One for each VM of the inventory.
    pub(crate) vms: Vec<VmState>,
    /// Guests that are about to do something, by VM.
    pub(crate) guest_plans: BTreeMap<usize, GuestPlan>,
    /// How many snapshots there ever were.
    snapshots_made: u64,
    /// True when the account's password is another one than the inventory says.
    pub(crate) password_changed: bool,
    /// How often each method was called, and how often it was refused.
    pub(crate) calls: BTreeMap<String, CallStats>,
}

/// What changes about a VM.
#[derive(Debug)]
pub(crate) struct VmState {
    pub(crate) power: VirtualMachinePowerState,
    /// Leases that hold it.
    pub(crate) leases: Vec<String>,
    /// Task that works on it.
    pub(crate) task: Option<String>,
    /// Its latest tasks, oldest first.
    pub(crate) recent_tasks: Vec<String>,
    pub(crate) boot_time: Option<vsphere::wire::DateTime>,
    /// Links above the disks that snapshots have made, oldest first; the last is written to. Several
    /// that were merged have one number.
    pub(crate) deltas: Vec<Delta>,
    /// Its snapshots, oldest first, each the child of the one before.
    pub(crate) snapshots: Vec<Snapshot>,
    /// How many it ever had.
    pub(crate) snapshots_made: u64,
    /// What a reconfiguration has made of it.
    pub(crate) configured: Configured,
    /// What its guest writes follows from this.
    pub(crate) seed: u64,
    /// Part of the grains that its guest writes above a snapshot while it runs, in 1/65536.
    pub(crate) guest_writes: u16,
    /// Where it runs since it was moved.
    pub(crate) host: Option<NodeId>,
    /// Where its files are.
    pub(crate) home: Home,
}

impl VmState {
    /// Returns that on which the VM's files depend.
    pub(crate) fn now(&self) -> VmNow {
        let images = self.configured.images().map(|(place, image)| (place.clone(), image.to_owned()));
        let snapshots = self.snapshots.iter().map(|snapshot| SnapshotNow {
            moref: snapshot.moref.clone(),
            id: snapshot.id,
            name: snapshot.wish.name.clone(),
            description: snapshot.wish.description.clone(),
            created: snapshot.created.clone(),
            has_memory: snapshot.wish.memory,
            frozen: snapshot.frozen,
        });
        VmNow {
            home: self.home.clone(),
            running: self.power == VirtualMachinePowerState::PoweredOn,
            deltas: self.deltas.clone(),
            annotation: self.configured.annotation.clone(),
            images: images.collect(),
            snapshots: snapshots.collect(),
        }
    }
}

/// How often a method was called.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallStats {
    pub(crate) calls: u64,
    pub(crate) faults: u64,
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Completed,
    Aborted,
    TimedOut,
    /// Its session ended first.
    SessionEnded,
    /// A rule has removed it.
    Vanished,
}

/// A lease that is gone.
#[derive(Debug)]
pub(crate) struct PastLease {
    pub(crate) lease: Lease,
    pub(crate) ending: Ending,
}

/// The newest tasks of an object that its `recentTask` shows.
const RECENT_TASKS_MAX: usize = 5;
/// Ended leases that the report still lists; a soak makes many thousands.
const PAST_LEASES_MAX: usize = 10_000;

/// When VMs that run from the start on were booted: the epoch of this simulated world.
pub(crate) const EPOCH: i64 = crate::datastore::EPOCH;

/// Time between the snapshots of an inventory.
const DAY_S: usize = 86_400;

impl State {
    /// Starts with what the inventory says of VMs, whose files are at `homes`.
    pub(crate) fn new(inventory: &Inventory, homes: Vec<Home>, now: Instant) -> Self {
        let mut snapshots_made = 0;
        let settled = |(vm, home)| VmState { home, ..VmState::of(vm, &mut snapshots_made) };
        let vms: Vec<_> = inventory.vms.iter().zip(homes).map(settled).collect();
        Self {
            started: now,
            sessions: Sessions::default(),
            leases: BTreeMap::new(),
            past_leases: Vec::new(),
            views: BTreeMap::new(),
            collectors: BTreeMap::new(),
            filters: BTreeMap::new(),
            pages: BTreeMap::new(),
            pages_made: 0,
            tasks: Tasks::default(),
            vms,
            guest_plans: BTreeMap::new(),
            snapshots_made,
            password_changed: false,
            calls: BTreeMap::new(),
        }
    }

    /// Lets time pass up to `now`. Returns the leases whose files must be closed, and whether
    /// anything changed.
    pub(crate) fn tick(&mut self, now: Instant, session_idle: Duration) -> Ticked {
        let mut ticked = Ticked::default();
        for session in self.sessions.expire(now, session_idle) {
            ticked.closed.extend(self.end_session(&session));
            ticked.changed = true;
        }
        for ended in self.tasks.tick(now) {
            ticked.moved.extend(self.finish_work(ended));
        }
        ticked.changed |= self.tasks.take_changed() | self.tick_guests(now);
        let ids: Vec<String> = self.leases.keys().cloned().collect();
        for id in ids {
            let Some(lease) = self.leases.get_mut(&id) else { continue };
            let before = lease.phase;
            // Time is never refused.
            if lease.apply(Event::Tick, now).is_err() || lease.phase == before {
                continue;
            }
            ticked.changed = true;
            if lease.phase == Phase::TimedOut {
                self.free_vm(&id, Some(fault::timed_out()));
                ticked.closed.push(id);
            }
        }
        ticked
    }

    /// Returns when something happens by itself.
    pub(crate) fn next_deadline(&self, session_idle: Duration) -> Option<Instant> {
        let leases = self.leases.values().filter_map(|lease| lease.phase.deadline());
        let guests = self.guest_plans.values().map(|plan| plan.due);
        let others = self.sessions.next_deadline(session_idle).into_iter().chain(self.tasks.next_deadline());
        leases.chain(guests).chain(others).min()
    }

    /// Ends everything that hangs on a session; returns the leases whose files must be closed.
    pub(crate) fn end_session(&mut self, session: &str) -> Vec<String> {
        self.views.retain(|_, view| view.session != session);
        self.pages.retain(|_, pages| pages.session != session);
        self.filters.retain(|_, filter| filter.session != session);
        self.collectors.retain(|(owner, _), _| owner != session);
        let dead: Vec<String> = self.leases.values().filter(|l| l.session == session).map(|l| l.id.clone()).collect();
        for id in &dead {
            self.end_lease(id, Ending::SessionEnded);
        }
        dead
    }

    /// Removes a lease and frees its VM.
    pub(crate) fn end_lease(&mut self, id: &str, ending: Ending) {
        let error = (ending != Ending::Completed).then(fault::request_canceled);
        self.free_vm(id, error);
        let Some(lease) = self.leases.remove(id) else { return };
        // The first ending counts: an abort after a timeout only tidies up.
        let ending = if lease.phase == Phase::TimedOut || lease.seen.timed_out { Ending::TimedOut } else { ending };
        self.past_leases.push(PastLease { lease, ending });
        if self.past_leases.len() > PAST_LEASES_MAX {
            self.past_leases.remove(0);
        }
    }

    /// Puts a lease into state `error`, with a fault or as if it had timed out, and frees its VM.
    pub(crate) fn fail_lease(&mut self, id: &str, fault: Option<vsphere::wire::Fault>) {
        let Some(lease) = self.leases.get_mut(id).filter(|lease| lease.phase.holds_vm()) else { return };
        lease.phase = if fault.is_some() { Phase::Failed } else { Phase::TimedOut };
        lease.meddled.error.clone_from(&fault);
        self.free_vm(id, Some(fault.unwrap_or_else(fault::timed_out)));
    }

    /// Returns the host that runs a VM now.
    pub(crate) fn host_of(&self, place: &VmPlace) -> NodeId {
        self.vms.get(place.index).and_then(|vm| vm.host).unwrap_or(place.host)
    }

    /// Frees the VM of a lease and ends its task.
    fn free_vm(&mut self, id: &str, error: Option<vsphere::wire::Fault>) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        if lease.phase == Phase::TimedOut {
            lease.seen.timed_out = true;
        }
        self.tasks.finish(&lease.task, error);
        if let Some(vm) = self.vms.get_mut(lease.vm) {
            vm.leases.retain(|held| held != id);
        }
    }

    /// Frees the VM of a task that has ended, and lets the task do to it what it was to do. Returns the VM when
    /// its files have moved.
    fn finish_work(&mut self, ended: Ended) -> Option<Moved> {
        let vm = self.vms.get_mut(ended.vm)?;
        vm.task = None;
        match ended.change {
            Some(Change::Relocate(relocation)) => return self.relocate(ended.vm, &relocation),
            Some(Change::Power(change)) => self.apply_power(ended.vm, change),
            Some(Change::Snapshot(wish)) => {
                let moref = snapshot_id(&mut self.snapshots_made);
                self.tasks.set_result(&ended.task, reference(&MoRef::new("VirtualMachineSnapshot", &moref)));
                // Who does not run writes nothing.
                let runs = vm.power == VirtualMachinePowerState::PoweredOn;
                let share = if runs { vm.guest_writes } else { 0 };
                vm.take_snapshot(*wish, moref, civil_now(), share);
                vm.configured.version += 1;
            }
            Some(Change::Remove(removal)) => {
                vm.remove_snapshots(&removal);
                vm.configured.version += 1;
            }
            Some(Change::Configure(configured)) => vm.configured = *configured,
            None => {}
        }
        None
    }

    /// Notes a task of a VM as its newest.
    pub(crate) fn note_task(&mut self, vm: usize, task: &str) {
        if let Some(vm) = self.vms.get_mut(vm) {
            vm.recent_tasks.push(task.to_owned());
            if vm.recent_tasks.len() > RECENT_TASKS_MAX {
                vm.recent_tasks.remove(0);
            }
        }
    }
}

impl VmState {
    /// Returns a VM as the inventory has it. Its guest ran while its snapshots were made.
    pub(crate) fn of(vm: &Vm, snapshots_made: &mut u64) -> Self {
        let power = match vm.power.as_str() {
            "poweredOn" => VirtualMachinePowerState::PoweredOn,
            "suspended" => VirtualMachinePowerState::Suspended,
            _ => VirtualMachinePowerState::PoweredOff,
        };
        let boot_time = (power == VirtualMachinePowerState::PoweredOn).then(|| civil_of(EPOCH));
        let mut state = Self {
            power,
            leases: Vec::new(),
            task: None,
            recent_tasks: Vec::new(),
            boot_time,
            deltas: Vec::new(),
            snapshots: Vec::new(),
            snapshots_made: 0,
            configured: Configured::of(vm),
            seed: identity::path_hash(vm, identity::GUEST_WRITES),
            guest_writes: share(vm.guest_writes),
            host: None,
            home: Home::default(),
        };
        for (created, declared) in (EPOCH..).step_by(DAY_S).zip(&vm.snapshots) {
            let wish = NewSnapshot {
                name: declared.name.clone(),
                description: declared.description.clone(),
                memory: false,
                quiesced: declared.quiesced,
                declared: true,
            };
            let share = state.guest_writes;
            state.take_snapshot(wish, snapshot_id(snapshots_made), civil_of(created), share);
        }
        state
    }
}

/// Returns the id of one more snapshot.
fn snapshot_id(made: &mut u64) -> String {
    *made += 1;
    format!("snapshot-{made}")
}

/// What passing time did.
#[derive(Debug, Default)]
pub(crate) struct Ticked {
    /// Leases whose files must be closed.
    pub(crate) closed: Vec<String>,
    /// VMs whose files have moved.
    pub(crate) moved: Vec<Moved>,
    /// True when a waiter may have something to see.
    pub(crate) changed: bool,
}
