//! Tasks: work that goes on after the call that started it.
//!
//! A power task is queued, runs with progress and ends by the clock. The task of a lease runs until
//! the lease ends; it is what `TaskInProgress` points at. Tasks that ended are forgotten after a
//! while, as on real servers.

use std::collections::BTreeMap;
use std::time::Duration;

use vsphere::wire::generated::{
    PowerOffVMTask, PowerOnVMTask, TaskInfo, TaskInfoState, TaskReasonUser, VirtualMachinePowerState as Power,
};
use vsphere::wire::{DateTime, Fault, MoRef};

use super::call::Call;
use super::clock::{Instant, civil_now};
use super::fault::{self, Outcome};

/// Time that a power task takes, half of it after its progress shows 50.
const POWER: Duration = Duration::from_millis(40);
/// Time in the queue before it.
const QUEUE: Duration = Duration::from_millis(10);
/// Tasks that are remembered after their end; real servers forget them after some minutes.
const ENDED_MAX: usize = 1000;

/// What a task does to its VM when it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    PowerOn,
    PowerOff,
}

/// All tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    by_id: BTreeMap<String, Task>,
    ended: Vec<String>,
    count: u64,
    changed: bool,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    id: String,
    vm: usize,
    entity: MoRef,
    entity_name: String,
    /// Name of the method, for example `PowerOnVM_Task`.
    name: &'static str,
    description_id: &'static str,
    user: String,
    state: TaskInfoState,
    progress: Option<i32>,
    error: Option<Fault>,
    queued: DateTime,
    started: Option<DateTime>,
    ended: Option<DateTime>,
    plan: Option<Plan>,
}

/// What the clock will do to a task.
#[derive(Debug)]
struct Plan {
    queued: Instant,
    /// Success, or what goes wrong at the end.
    end: Result<Change, Fault>,
}

/// The VM that a task works on and who asked.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) vm: usize,
    pub(crate) moref: MoRef,
    pub(crate) name: String,
    pub(crate) user: String,
}

impl Tasks {
    /// Adds the task of a lease, which runs until [`Self::finish`].
    pub(crate) fn add_export(&mut self, subject: Subject) -> String {
        let id = self.add(subject, "ExportVm", "VirtualMachine.exportVm", None);
        if let Some(task) = self.by_id.get_mut(&id) {
            task.state = TaskInfoState::Running;
            task.started = Some(civil_now());
            task.progress = Some(0);
        }
        id
    }

    fn add(
        &mut self,
        subject: Subject,
        name: &'static str,
        description_id: &'static str,
        plan: Option<Plan>,
    ) -> String {
        self.count += 1;
        self.changed = true;
        let id = format!("task-{}", self.count);
        let task = Task {
            id: id.clone(),
            vm: subject.vm,
            entity: subject.moref,
            entity_name: subject.name,
            name,
            description_id,
            user: subject.user,
            state: TaskInfoState::Queued,
            progress: None,
            error: None,
            queued: civil_now(),
            started: None,
            ended: None,
            plan,
        };
        self.by_id.insert(id.clone(), task);
        id
    }

    /// Returns a task.
    pub(crate) fn get(&self, id: &str) -> Option<&Task> {
        self.by_id.get(id)
    }

    /// Sets the progress of a running task.
    pub(crate) fn set_progress(&mut self, id: &str, percent: i32) {
        if let Some(task) = self.by_id.get_mut(id) {
            task.progress = Some(percent);
        }
    }

    /// Ends a task that has not ended.
    pub(crate) fn finish(&mut self, id: &str, error: Option<Fault>) {
        let Some(task) = self.by_id.get_mut(id).filter(|task| task.ended.is_none()) else { return };
        task.state = if error.is_some() { TaskInfoState::Error } else { TaskInfoState::Success };
        task.progress = None;
        task.error = error;
        task.ended = Some(civil_now());
        task.plan = None;
        self.changed = true;
        self.ended.push(id.to_owned());
        if self.ended.len() > ENDED_MAX {
            let oldest = self.ended.remove(0);
            self.by_id.remove(&oldest);
        }
    }

    /// Lets time pass. Returns the VMs whose task has ended, with what it did to them.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<(usize, Option<Change>)> {
        let mut over = Vec::new();
        for task in self.by_id.values_mut() {
            let Some(plan) = &task.plan else { continue };
            let progress = match now.saturating_duration_since(plan.queued) {
                passed if passed < QUEUE => continue,
                passed if passed < QUEUE + POWER / 2 => 0,
                passed if passed < QUEUE + POWER => 50,
                _ => {
                    over.push((task.id.clone(), task.vm, plan.end.clone()));
                    continue;
                }
            };
            if task.progress != Some(progress) {
                task.state = TaskInfoState::Running;
                task.started.get_or_insert_with(civil_now);
                task.progress = Some(progress);
                self.changed = true;
            }
        }
        let mut changes = Vec::new();
        for (id, vm, end) in over {
            if let Some(task) = self.by_id.get_mut(&id) {
                task.started.get_or_insert_with(civil_now);
            }
            changes.push((vm, end.as_ref().ok().copied()));
            self.finish(&id, end.err());
        }
        changes
    }

    /// Returns when a task changes by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let plans = self.by_id.values().filter_map(|task| Some((task.plan.as_ref()?.queued, task.progress)));
        let next = plans.map(|(queued, progress)| match progress {
            None => queued + QUEUE,
            Some(0) => queued + QUEUE + POWER / 2,
            Some(_) => queued + QUEUE + POWER,
        });
        next.min()
    }

    /// Returns whether anything changed since the last question.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Returns how many have not ended.
    pub(crate) fn running(&self) -> usize {
        self.by_id.values().filter(|task| task.ended.is_none()).count()
    }
}

impl Task {
    /// Returns `Task.info`.
    pub(crate) fn info(&self) -> TaskInfo {
        TaskInfo {
            key: self.id.clone(),
            task: MoRef::new("Task", &self.id),
            name: Some(self.name.to_owned()),
            description_id: self.description_id.to_owned(),
            entity: Some(self.entity.clone()),
            entity_name: Some(self.entity_name.clone()),
            state: self.state.clone(),
            cancelled: false,
            cancelable: false,
            error: self.error.clone().map(fault::localized),
            progress: self.progress,
            reason: TaskReasonUser { user_name: self.user.clone(), ..TaskReasonUser::default() }.into(),
            queue_time: self.queued.clone(),
            start_time: self.started.clone(),
            complete_time: self.ended.clone(),
            event_chain_id: 1,
            ..TaskInfo::default()
        }
    }
}

/// `PowerOnVM_Task`.
pub(crate) fn power_on(call: &Call<'_>, request: PowerOnVMTask) -> Outcome<MoRef> {
    power(call, &request.this, Change::PowerOn)
}

/// `PowerOffVM_Task`.
pub(crate) fn power_off(call: &Call<'_>, request: PowerOffVMTask) -> Outcome<MoRef> {
    power(call, &request.this, Change::PowerOff)
}

/// `CancelTask`: no task here can be cancelled.
pub(crate) fn cancel(_call: &Call<'_>, request: vsphere::wire::generated::CancelTask) -> Outcome<()> {
    Err(fault::not_supported(&format!("{} cannot be cancelled", request.this.id)))
}

fn power(call: &Call<'_>, vm: &MoRef, change: Change) -> Outcome<MoRef> {
    let mut state = call.lock();
    let subject = call.subject(&state, vm)?;
    let inventory = &call.world.inventory.vms[subject.vm];
    let (wanted, name, description) = match change {
        Change::PowerOn => (Power::PoweredOn, "PowerOnVM_Task", "VirtualMachine.powerOn"),
        Change::PowerOff => (Power::PoweredOff, "PowerOffVM_Task", "VirtualMachine.powerOff"),
    };
    state.check_free(subject.vm)?;
    let now_is = state.vms[subject.vm].power.clone();
    if now_is == wanted {
        return Err(fault::invalid_power_state(wanted, now_is));
    }
    if inventory.template {
        return Err(fault::not_supported("a template has no power"));
    }
    // A real server finds this out while the task runs, so the refusal is a late one.
    let end = match inventory.connection.as_str() {
        "connected" => Ok(change),
        connection => Err(fault::invalid_state(&format!("the virtual machine is {connection}"))),
    };
    let index = subject.vm;
    let id = state.tasks.add(subject, name, description, Some(Plan { queued: call.now, end }));
    state.vms[index].task = Some(id.clone());
    state.note_task(index, &id);
    Ok(MoRef::new("Task", id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject { vm: 0, moref: MoRef::new("VirtualMachine", "vm-1"), name: "web".into(), user: "u".into() }
    }

    fn start(tasks: &mut Tasks, now: Instant, end: Result<Change, Fault>) -> String {
        tasks.add(subject(), "PowerOnVM_Task", "VirtualMachine.powerOn", Some(Plan { queued: now, end }))
    }

    #[test]
    fn a_task_is_queued_runs_with_progress_and_succeeds() {
        let (mut tasks, start_time) = (Tasks::default(), Instant::now());
        let id = start(&mut tasks, start_time, Ok(Change::PowerOn));
        let mut seen = vec![tasks.get(&id).unwrap().info()];
        while let Some(next) = tasks.next_deadline() {
            tasks.tick(next);
            seen.push(tasks.get(&id).unwrap().info());
        }
        let states: Vec<_> = seen.iter().map(|info| (info.state.as_str(), info.progress)).collect();
        assert_eq!(states, [("queued", None), ("running", Some(0)), ("running", Some(50)), ("success", None)]);
        assert!(seen[3].complete_time.is_some() && seen[3].start_time.is_some());
    }

    #[test]
    fn a_late_error_ends_a_task_without_a_change() {
        let (mut tasks, start_time) = (Tasks::default(), Instant::now());
        let id = start(&mut tasks, start_time, Err(fault::invalid_state("it is orphaned")));
        assert_eq!(tasks.tick(start_time + QUEUE + POWER), [(0, None)]);
        let info = tasks.get(&id).unwrap().info();
        assert_eq!(info.state, TaskInfoState::Error);
        assert_eq!(info.error.unwrap().fault.type_name(), "InvalidState");
    }

    #[test]
    fn old_tasks_are_forgotten() {
        let mut tasks = Tasks::default();
        let first = tasks.add_export(subject());
        tasks.finish(&first, None);
        for _ in 0..ENDED_MAX {
            let id = tasks.add_export(subject());
            tasks.finish(&id, None);
        }
        assert!(tasks.get(&first).is_none());
        assert_eq!(tasks.running(), 0);
    }
}
