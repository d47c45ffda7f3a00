//! Power: of the VM, by tasks, and of the guest, which takes its time and may not listen.
//!
//! ```text
//!  PowerOn, PowerOff, Suspend, Reset          ── a task ──►  the VM's power state
//!  ShutdownGuest, RebootGuest, StandbyGuest   ── Tools ──►  the guest ── after a while ──►  the same
//! ```

use std::time::Duration;

use vsphere::wire::generated::{
    PowerOffVMTask, PowerOnVMTask, RebootGuest, ResetVMTask, ShutdownGuest, StandbyGuest, SuspendVMTask,
    VirtualMachinePowerState as Power,
};
use vsphere::wire::{Fault, MoRef};

use super::call::Call;
use super::clock::{Instant, civil_now};
use super::fault::{self, Outcome};
use super::state::{State, VmState};
use super::task::{self, Change, Subject, Work};
use crate::inventory::{Tools, Vm};

/// What a task does to the power of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerChange {
    On,
    Off,
    Suspend,
    Reset,
}

/// What a guest does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestChange {
    Shutdown,
    Reboot,
    Standby,
}

/// A guest that is about to do something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestPlan {
    pub(crate) change: GuestChange,
    pub(crate) due: Instant,
}

impl PowerChange {
    /// Returns the method and its key among descriptions of tasks.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::On => ("PowerOnVM_Task", "VirtualMachine.powerOn"),
            Self::Off => ("PowerOffVM_Task", "VirtualMachine.powerOff"),
            Self::Suspend => ("SuspendVM_Task", "VirtualMachine.suspend"),
            Self::Reset => ("ResetVM_Task", "VirtualMachine.reset"),
        }
    }

    /// Returns the power state to which it leads.
    pub(crate) fn target(self) -> Power {
        match self {
            Self::On | Self::Reset => Power::PoweredOn,
            Self::Off => Power::PoweredOff,
            Self::Suspend => Power::Suspended,
        }
    }

    /// Returns whether a VM in this power state can do it. One that is suspended may go either way.
    fn is_possible(self, now: &Power) -> bool {
        match self {
            Self::On => *now != Power::PoweredOn,
            Self::Off => *now != Power::PoweredOff,
            Self::Suspend | Self::Reset => *now == Power::PoweredOn,
        }
    }
}

impl GuestChange {
    fn method(self) -> &'static str {
        match self {
            Self::Shutdown => "ShutdownGuest",
            Self::Reboot => "RebootGuest",
            Self::Standby => "StandbyGuest",
        }
    }

    /// Returns what `guest.guestState` says meanwhile.
    pub(crate) fn guest_state(self) -> &'static str {
        match self {
            Self::Shutdown => "shuttingDown",
            Self::Reboot => "resetting",
            Self::Standby => "standby",
        }
    }

    fn effect(self) -> PowerChange {
        match self {
            Self::Shutdown => PowerChange::Off,
            Self::Reboot => PowerChange::Reset,
            Self::Standby => PowerChange::Suspend,
        }
    }
}

/// `PowerOnVM_Task`.
pub(crate) fn power_on(call: &Call<'_>, request: PowerOnVMTask) -> Outcome<MoRef> {
    change(call, &request.this, PowerChange::On)
}

/// `PowerOffVM_Task`.
pub(crate) fn power_off(call: &Call<'_>, request: PowerOffVMTask) -> Outcome<MoRef> {
    change(call, &request.this, PowerChange::Off)
}

/// `SuspendVM_Task`.
pub(crate) fn suspend(call: &Call<'_>, request: SuspendVMTask) -> Outcome<MoRef> {
    change(call, &request.this, PowerChange::Suspend)
}

/// `ResetVM_Task`.
pub(crate) fn reset(call: &Call<'_>, request: ResetVMTask) -> Outcome<MoRef> {
    change(call, &request.this, PowerChange::Reset)
}

/// `ShutdownGuest`.
pub(crate) fn shutdown_guest(call: &Call<'_>, request: ShutdownGuest) -> Outcome<()> {
    ask_guest(call, &request.this, GuestChange::Shutdown)
}

/// `RebootGuest`.
pub(crate) fn reboot_guest(call: &Call<'_>, request: RebootGuest) -> Outcome<()> {
    ask_guest(call, &request.this, GuestChange::Reboot)
}

/// `StandbyGuest`: the VM is suspended, as its standby action says by default.
pub(crate) fn standby_guest(call: &Call<'_>, request: StandbyGuest) -> Outcome<()> {
    ask_guest(call, &request.this, GuestChange::Standby)
}

fn change(call: &Call<'_>, vm: &MoRef, change: PowerChange) -> Outcome<MoRef> {
    let mut state = call.lock();
    let subject = call.subject(&state, vm)?;
    state.check_free(subject.vm)?;
    let now = &state.vms[subject.vm].power;
    if !change.is_possible(now) {
        return Err(fault::invalid_power_state(change.target(), now.clone()));
    }
    let (method, description_id) = change.names();
    let end = usable(call, &subject)?.map(|()| Change::Power(change));
    let work = Work { method, description_id, takes: task::SHORT, end };
    Ok(task::start(call, &mut state, subject, work))
}

/// Refuses work on a template at once, and on a VM that is lost while the task runs, when a real server
/// finds it out.
pub(crate) fn usable(call: &Call<'_>, subject: &Subject) -> Outcome<Result<(), Fault>> {
    let vm = &call.world.inventory.vms[subject.vm];
    if vm.template {
        return Err(fault::not_supported("it is a template"));
    }
    Ok(match vm.connection.as_str() {
        "connected" => Ok(()),
        connection => Err(fault::invalid_state(&format!("the virtual machine is {connection}"))),
    })
}

/// Asks the guest. A lease does not keep it from listening, as nobody can keep a guest from it.
fn ask_guest(call: &Call<'_>, vm: &MoRef, change: GuestChange) -> Outcome<()> {
    let mut state = call.lock();
    let subject = call.subject(&state, vm)?;
    let inventory = &call.world.inventory.vms[subject.vm];
    usable(call, &subject)??;
    let now = &state.vms[subject.vm].power;
    if *now != Power::PoweredOn {
        return Err(fault::invalid_power_state(Power::PoweredOn, now.clone()));
    }
    if !tools_run(inventory, now) {
        return Err(fault::tools_unavailable());
    }
    if change == GuestChange::Shutdown && call.world.faults.now().shutdown_ignored {
        call.world.faults.note("shutdown_ignored");
        return Ok(());
    }
    let due = call.now + Duration::try_from_secs_f64(inventory.shutdown_s).unwrap_or_default();
    // Who is on the way already stays on it.
    state.guest_plans.entry(subject.vm).or_insert(GuestPlan { change, due });
    drop(state);
    call.soap.tell();
    Ok(())
}

/// Returns whether VMware Tools run in a guest.
pub(crate) fn tools_run(vm: &Vm, power: &Power) -> bool {
    *power == Power::PoweredOn && vm.tools == Tools::Running && vm.connection == "connected"
}

/// Methods that are refused while a lease or a task holds a VM.
const HELD: [&str; 10] = [
    "PowerOnVM_Task",
    "PowerOffVM_Task",
    "SuspendVM_Task",
    "ResetVM_Task",
    "ReconfigVM_Task",
    "CreateSnapshot_Task",
    "RemoveAllSnapshots_Task",
    "MigrateVM_Task",
    "RelocateVM_Task",
    "Destroy_Task",
];

/// Returns `disabledMethod`: what would be refused now, because of the power state or because the VM is held.
pub(crate) fn disabled_methods(state: &State, index: usize) -> Vec<String> {
    let Some(vm) = state.vms.get(index) else { return Vec::new() };
    let held = state.check_free(index).is_err();
    let changes = [PowerChange::On, PowerChange::Off, PowerChange::Suspend, PowerChange::Reset];
    let impossible = changes.into_iter().filter(|change| !change.is_possible(&vm.power)).map(|change| change.names().0);
    let asleep = vm.power != Power::PoweredOn;
    let guests = [GuestChange::Shutdown, GuestChange::Reboot, GuestChange::Standby].into_iter().filter(|_| asleep);
    let mut methods: Vec<&str> = impossible.chain(guests.map(GuestChange::method)).collect();
    methods.extend(HELD.iter().filter(|_| held));
    methods.sort_unstable();
    methods.dedup();
    methods.into_iter().map(str::to_owned).collect()
}

impl State {
    /// Lets guests do what they were asked to; returns whether any did.
    pub(crate) fn tick_guests(&mut self, now: Instant) -> bool {
        let due: Vec<_> =
            self.guest_plans.iter().filter(|(_, plan)| plan.due <= now).map(|(&vm, p)| (vm, *p)).collect();
        for (vm, plan) in &due {
            self.apply_power(*vm, plan.change.effect());
        }
        !due.is_empty()
    }

    /// Changes the power of a VM. Whatever its guest was about to do is over.
    pub(crate) fn apply_power(&mut self, index: usize, change: PowerChange) {
        self.guest_plans.remove(&index);
        let Some(vm) = self.vms.get_mut(index) else { return };
        vm.apply_power(change);
    }
}

impl VmState {
    fn apply_power(&mut self, change: PowerChange) {
        let was = std::mem::replace(&mut self.power, change.target());
        match change {
            // Who wakes up has not booted.
            PowerChange::On if was == Power::Suspended => {}
            PowerChange::On | PowerChange::Reset => self.boot_time = Some(civil_now()),
            PowerChange::Off => self.boot_time = None,
            PowerChange::Suspend => {}
        }
        // A guest that runs writes to the link above the newest snapshot, also one made before it ran.
        if self.power == Power::PoweredOn
            && let Some(top) = self.deltas.last_mut()
            && top.number > 0
            && top.share == 0
        {
            top.share = self.guest_writes;
        }
    }
}
