//! Tasks: work that goes on after the call that started it.
//!
//! A task on a VM is queued, runs with progress and ends by the clock; until then it holds its VM. What
//! it does is a [`Change`], which [`super::state`] applies when the task has succeeded. The task of a
//! lease runs until the lease ends; it is what `TaskInProgress` points at. Tasks that ended are
//! forgotten after a while, as on real servers.

use std::collections::BTreeMap;
use std::time::Duration;

use vsphere::wire::generated::{TaskInfo, TaskInfoState, TaskReasonUser};
use vsphere::wire::{Any, ApiVersion, DateTime, Encode, Fault, MoRef};

use super::call::Call;
use super::chain::{NewSnapshot, Removal};
use super::clock::{Instant, civil_now};
use super::configured::Configured;
use super::fault::{self, Outcome};
use super::power::PowerChange;
use super::relocate::Relocation;
use super::state::State;

/// Time that most tasks take.
pub(crate) const SHORT: Duration = Duration::from_millis(40);
/// Time in the queue before it.
const QUEUE: Duration = Duration::from_millis(10);
/// Tasks that are remembered after their end; real servers forget them after some minutes.
const ENDED_MAX: usize = 1000;

/// Tasks that `TaskManager.recentTask` shows.
const RECENT_MAX: usize = 100;

/// What a task does to its VM when it succeeds.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Switches it on, off or in between.
    Power(PowerChange),
    /// Takes a snapshot, which is the result of the task.
    Snapshot(Box<NewSnapshot>),
    /// Removes snapshots and merges links.
    Remove(Removal),
    /// Gives it another configuration.
    Configure(Box<Configured>),
    /// Moves it.
    Relocate(Relocation),
}

/// Work on a VM that is about to begin.
#[derive(Debug)]
pub(crate) struct Work {
    /// Name of the method, for example `PowerOnVM_Task`.
    pub(crate) method: &'static str,
    pub(crate) description_id: &'static str,
    /// Time that it takes once it runs.
    pub(crate) takes: Duration,
    /// Success, or what goes wrong at the end.
    pub(crate) end: Result<Change, Fault>,
}

/// A task that has ended by the clock.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) task: String,
    pub(crate) vm: usize,
    /// Nothing after an error.
    pub(crate) change: Option<Change>,
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
    result: Option<Any>,
    queued: DateTime,
    started: Option<DateTime>,
    ended: Option<DateTime>,
    plan: Option<Plan>,
}

/// What the clock will do to a task.
#[derive(Debug)]
struct Plan {
    queued: Instant,
    takes: Duration,
    /// Never ends.
    endless: bool,
    end: Result<Change, Fault>,
}

impl Plan {
    /// Returns what the progress is after `passed`; `None` in the queue, 100 at the end.
    fn progress(&self, passed: Duration) -> Option<i32> {
        match passed.checked_sub(QUEUE)? {
            running if running < self.takes / 2 => Some(0),
            running if running < self.takes || self.endless => Some(50),
            _ => Some(100),
        }
    }

    /// Returns when the progress changes next.
    fn next(&self, progress: Option<i32>) -> Option<Instant> {
        match progress {
            None => Some(self.queued + QUEUE),
            Some(0) => Some(self.queued + QUEUE + self.takes / 2),
            Some(_) => (!self.endless).then(|| self.queued + QUEUE + self.takes),
        }
    }
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
    pub(crate) fn add_export(&mut self, subject: Subject, method: &'static str) -> String {
        let description_id = match method {
            "ExportSnapshot" => "vm.Snapshot.exportSnapshot",
            _ => "VirtualMachine.exportVm",
        };
        let id = self.add(subject, method, description_id, None);
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
            result: None,
            queued: civil_now(),
            started: None,
            ended: None,
            plan,
        };
        self.by_id.insert(id.clone(), task);
        id
    }

    /// Adds the task of work that is done when its call returns, or that has failed.
    pub(crate) fn add_done(
        &mut self,
        (entity, user): (&MoRef, &str),
        method: &'static str,
        description_id: &'static str,
        outcome: Result<Any, Fault>,
    ) -> String {
        // No VM has this number, so the end of the task changes none.
        let subject = Subject { vm: usize::MAX, moref: entity.clone(), name: String::new(), user: user.to_owned() };
        let id = self.add(subject, method, description_id, None);
        if let Some(task) = self.by_id.get_mut(&id) {
            task.started = Some(task.queued.clone());
        }
        let error = match outcome {
            Ok(result) => {
                self.set_result(&id, result);
                None
            }
            Err(fault) => Some(fault),
        };
        self.finish(&id, error);
        id
    }

    /// Returns a task.
    pub(crate) fn get(&self, id: &str) -> Option<&Task> {
        self.by_id.get(id)
    }

    /// Returns the tasks that are remembered, oldest first, at most the newest hundred.
    pub(crate) fn recent(&self) -> Vec<MoRef> {
        let number = |id: &str| id.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
        let mut ids: Vec<(Option<u64>, &String)> = self.by_id.keys().map(|id| (number(id), id)).collect();
        ids.sort_unstable();
        let newest = ids.len().saturating_sub(RECENT_MAX);
        ids[newest..].iter().map(|(_, id)| MoRef::new("Task", *id)).collect()
    }

    /// Sets the progress of a running task.
    pub(crate) fn set_progress(&mut self, id: &str, percent: i32) {
        if let Some(task) = self.by_id.get_mut(id) {
            task.progress = Some(percent);
        }
    }

    /// Sets what a task returns.
    pub(crate) fn set_result(&mut self, id: &str, result: Any) {
        if let Some(task) = self.by_id.get_mut(id) {
            task.result = Some(result);
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

    /// Lets time pass. Returns the tasks that have ended, with what they do to their VMs.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Ended> {
        let mut over = Vec::new();
        for task in self.by_id.values_mut() {
            let Some(plan) = &task.plan else { continue };
            let progress = plan.progress(now.saturating_duration_since(plan.queued));
            if progress == task.progress {
                continue;
            }
            task.state = TaskInfoState::Running;
            task.started.get_or_insert_with(civil_now);
            task.progress = progress;
            self.changed = true;
            if progress == Some(100) {
                over.push((task.id.clone(), task.vm, plan.end.clone()));
            }
        }
        let mut ended = Vec::with_capacity(over.len());
        for (task, vm, end) in over {
            self.finish(&task, end.as_ref().err().cloned());
            ended.push(Ended { task, vm, change: end.ok() });
        }
        ended
    }

    /// Lets the newest task of this name on a VM end in an error; returns whether it has not ended.
    pub(crate) fn fail_newest(&mut self, name: &str, vm: usize, fault: Fault) -> bool {
        let Some(plan) = self.newest_plan(name, vm) else { return false };
        plan.end = Err(fault);
        true
    }

    /// Lets the newest task of this name on a VM run for ever; returns whether it has not ended.
    pub(crate) fn hold_newest(&mut self, name: &str, vm: usize) -> bool {
        let Some(plan) = self.newest_plan(name, vm) else { return false };
        plan.endless = true;
        true
    }

    fn newest_plan(&mut self, name: &str, vm: usize) -> Option<&mut Plan> {
        let is = |task: &Task| task.name == name && task.vm == vm;
        let mut ids = (1..=self.count).rev().map(|number| format!("task-{number}"));
        let id = ids.find(|id| self.by_id.get(id).is_some_and(is))?;
        self.by_id.get_mut(&id)?.plan.as_mut()
    }

    /// Returns when a task changes by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_id.values().filter_map(|task| task.plan.as_ref()?.next(task.progress)).min()
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
            result: self.result.clone(),
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

/// Begins work on a VM that nothing holds, and holds it until the work has ended.
pub(crate) fn start(call: &Call<'_>, state: &mut State, subject: Subject, work: Work) -> MoRef {
    let index = subject.vm;
    let endless = call.world.faults.now().endless_task.as_deref() == Some(work.method);
    if endless {
        call.world.faults.note("endless_task");
    }
    let plan = Plan { queued: call.now, takes: work.takes, endless, end: work.end };
    let id = state.tasks.add(subject, work.method, work.description_id, Some(plan));
    if let Some(vm) = state.vms.get_mut(index) {
        vm.task = Some(id.clone());
    }
    state.note_task(index, &id);
    call.soap.tell();
    MoRef::new("Task", id)
}

/// Wraps a reference that a task returns; references look the same in all versions.
pub(crate) fn reference(moref: &MoRef) -> Any {
    Any::new(moref, Encode { version: ApiVersion::NEWEST })
}

/// `CancelTask`: no task here can be cancelled.
pub(crate) fn cancel(_call: &Call<'_>, request: vsphere::wire::generated::CancelTask) -> Outcome<()> {
    Err(fault::not_supported(&format!("{} cannot be cancelled", request.this.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject { vm: 0, moref: MoRef::new("VirtualMachine", "vm-1"), name: "web".into(), user: "u".into() }
    }

    fn start(tasks: &mut Tasks, queued: Instant, endless: bool, end: Result<Change, Fault>) -> String {
        let plan = Plan { queued, takes: SHORT, endless, end };
        tasks.add(subject(), "PowerOnVM_Task", "VirtualMachine.powerOn", Some(plan))
    }

    #[test]
    fn a_task_is_queued_runs_with_progress_and_succeeds() {
        let (mut tasks, start_time) = (Tasks::default(), Instant::now());
        let id = start(&mut tasks, start_time, false, Ok(Change::Power(PowerChange::On)));
        let mut seen = vec![tasks.get(&id).unwrap().info()];
        let mut ended = Vec::new();
        while let Some(next) = tasks.next_deadline() {
            ended.extend(tasks.tick(next));
            seen.push(tasks.get(&id).unwrap().info());
        }
        let states: Vec<_> = seen.iter().map(|info| (info.state.as_str(), info.progress)).collect();
        assert_eq!(states, [("queued", None), ("running", Some(0)), ("running", Some(50)), ("success", None)]);
        assert!(seen[3].complete_time.is_some() && seen[3].start_time.is_some());
        assert!(matches!(ended[..], [Ended { vm: 0, change: Some(Change::Power(PowerChange::On)), .. }]), "{ended:?}");
    }

    #[test]
    fn a_late_error_ends_a_task_without_a_change() {
        let (mut tasks, start_time) = (Tasks::default(), Instant::now());
        let id = start(&mut tasks, start_time, false, Err(fault::invalid_state("it is orphaned")));
        let ended = tasks.tick(start_time + QUEUE + SHORT);
        assert!(matches!(ended[..], [Ended { vm: 0, change: None, .. }]), "{ended:?}");
        let info = tasks.get(&id).unwrap().info();
        assert_eq!(info.state, TaskInfoState::Error);
        assert_eq!(info.error.unwrap().fault.type_name(), "InvalidState");
    }

    #[test]
    fn an_endless_task_stays_half_done() {
        let (mut tasks, start_time) = (Tasks::default(), Instant::now());
        let id = start(&mut tasks, start_time, true, Ok(Change::Power(PowerChange::On)));
        while let Some(next) = tasks.next_deadline() {
            tasks.tick(next);
        }
        assert!(tasks.tick(start_time + Duration::from_secs(3600)).is_empty());
        let info = tasks.get(&id).unwrap().info();
        assert_eq!((info.state, info.progress), (TaskInfoState::Running, Some(50)));
        assert_eq!(tasks.running(), 1);
    }

    #[test]
    fn a_rule_decides_the_newest_task_of_its_own_vm_while_that_runs() {
        let (mut tasks, start_time) = (Tasks::default(), Instant::now());
        let own = start(&mut tasks, start_time, false, Ok(Change::Power(PowerChange::On)));
        let plan = Plan { queued: start_time, takes: SHORT, endless: false, end: Ok(Change::Power(PowerChange::On)) };
        let other = tasks.add(Subject { vm: 1, ..subject() }, "PowerOnVM_Task", "VirtualMachine.powerOn", Some(plan));
        assert!(tasks.fail_newest("PowerOnVM_Task", 0, fault::invalid_state("so it is")));
        assert!(!tasks.hold_newest("PowerOffVM_Task", 0) && !tasks.hold_newest("PowerOnVM_Task", 2));
        tasks.tick(start_time + QUEUE + SHORT);
        let states = [own, other].map(|id| tasks.get(&id).unwrap().info().state);
        assert_eq!(states, [TaskInfoState::Error, TaskInfoState::Success]);
        assert!(!tasks.hold_newest("PowerOnVM_Task", 0), "it has ended");
    }

    #[test]
    fn old_tasks_are_forgotten() {
        let mut tasks = Tasks::default();
        let first = tasks.add_export(subject(), "ExportVm");
        tasks.finish(&first, None);
        for _ in 0..ENDED_MAX {
            let id = tasks.add_export(subject(), "ExportVm");
            tasks.finish(&id, None);
        }
        assert!(tasks.get(&first).is_none());
        assert_eq!(tasks.running(), 0);
    }
}
