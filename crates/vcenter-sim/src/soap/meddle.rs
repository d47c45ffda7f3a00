//! What rules do to objects behind everybody's back, and what they want to know of a call.
//!
//! Nothing here is an answer to a call: `interfere` calls these functions beside the calls that come.

use vsphere::wire::{Element, MoRef, fault_xml};

use super::power::PowerChange;
use super::state::{Ending, State};
use super::{Soap, fault, parse};
use crate::faults::rule::{FaultSpec, LeaseState, LeaseUrl, MoveVm, Power, PowerState, TaskFate};
use crate::world::World;

/// References in a request are looked for this deep: a filter's objects lie three deep.
const DEPTH_MAX: usize = 4;

/// What a request is about, for rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// Method of the API, when it is a call.
    pub(crate) method: Option<String>,
    /// Object that is called.
    pub(crate) receiver: Option<MoRef>,
    /// Names of what it is about.
    pub(crate) objects: Vec<String>,
    /// Header `Cookie`.
    pub(crate) cookie: Option<String>,
}

impl Soap {
    /// Returns what a call is about: the ids of all objects that it names, and of those that are VMs or
    /// belong to one, the VM's id and path. What is no call is about nothing.
    pub(crate) fn about_call(&self, body: &[u8]) -> About {
        let Ok(element) = parse(body) else { return About::default() };
        let mut references = Vec::new();
        collect(&element, 0, &mut references);
        let state = self.lock();
        let mut objects = Vec::new();
        for reference in &references {
            objects.push(reference.id.clone());
            if let Some(vm) = self.vm_behind(&state, &reference.id) {
                objects.extend([self.paths[vm].clone(), self.model.moref(self.model.vms()[vm]).id]);
            }
        }
        objects.sort();
        objects.dedup();
        About { method: Some(element.name), receiver: references.into_iter().next(), objects, cookie: None }
    }

    /// Returns the id of the VM with this path.
    pub(crate) fn id_of_vm(&self, path: &str) -> Option<String> {
        let vm = self.paths.iter().position(|known| known == path)?;
        Some(self.model.moref(self.model.vms()[vm]).id)
    }

    /// Returns how many sessions there are.
    pub(crate) fn sessions(&self) -> u64 {
        u64::try_from(self.lock().sessions.all().count()).unwrap_or(u64::MAX)
    }

    /// Writes a fault as the answer to a call, and notes the call as refused.
    pub(crate) fn refusal(&self, spec: &FaultSpec, about: &About, soap_action: Option<&str>) -> String {
        if let Some(method) = &about.method {
            let object = about.receiver.as_ref().map_or("", |object| object.id.as_str());
            let session = self.described(about.cookie.as_deref()).map(|session| session.key);
            let number = self.lock_journal().begin(method, object, session.as_deref(), self.started.elapsed());
            self.end(number, method, (None, Some(spec.kind.clone()), 0));
        }
        // A rule's fault was made once when the rule was checked.
        let fault = spec.fault().unwrap_or_else(|why| fault::system_error(&why));
        fault_xml(&fault, self.versions.requested(soap_action))
    }

    /// Ends the session of a request; all of them when it has none. Returns whether there was one.
    pub(crate) fn kill_sessions(&self, world: &World, about: &About) -> bool {
        let mut state = self.lock();
        let named = state.sessions.find(about.cookie.as_deref()).map(|session| session.key.clone());
        let keys = match named {
            Some(key) => vec![key],
            None => state.sessions.all().map(|session| session.key.clone()).collect(),
        };
        let (mut leases, mut closed) = (Vec::new(), false);
        for key in keys {
            closed |= state.sessions.close(&key);
            leases.extend(state.end_session(&key));
        }
        drop(state);
        leases.iter().for_each(|lease| world.exports.close(lease));
        self.tell();
        closed
    }

    /// Makes the account's password another one, or what it was; returns whether that is a change.
    pub(crate) fn change_password(&self, changed: bool) -> bool {
        std::mem::replace(&mut self.lock().password_changed, changed) != changed
    }

    /// Moves a VM as a rule says, whoever holds it: to another host, unless only a datastore is named. Returns
    /// whether anything has moved.
    pub(crate) fn relocate_by_rule(&self, world: &World, about: &About, moved: &MoveVm) -> bool {
        let (vm, now_on) = {
            let state = self.lock();
            let Some(vm) = self.wanted(&state, about, moved.vm.as_deref()) else { return false };
            (vm, self.model.place(self.model.vms()[vm]).map(|place| state.host_of(place)))
        };
        let node = self.model.vms()[vm];
        let host = match (&moved.host, &moved.datastore) {
            (Some(name), _) => self.model.host_for(node, name),
            (None, Some(_)) => None,
            (None, None) => now_on.and_then(|host| self.other_host(host)),
        };
        let datastore = moved.datastore.as_ref().and_then(|name| self.datastore_near(self.model.place(node)?, name));
        if !self.force_move(world, vm, host, datastore) {
            return false;
        }
        if moved.lease_fails {
            let fault = FaultSpec::plain("SystemError", "The virtual machine was migrated while it was exported.");
            let about = About { objects: vec![self.paths[vm].clone()], ..About::default() };
            self.end_leases(world, &about, LeaseState::Error, Some(&fault));
        }
        true
    }

    /// Switches a VM on or off, whoever holds it; returns whether it was otherwise.
    pub(crate) fn set_power(&self, about: &About, power: &Power) -> bool {
        let mut state = self.lock();
        let Some(vm) = self.wanted(&state, about, power.vm.as_deref()) else { return false };
        let change = match power.state {
            PowerState::On => PowerChange::On,
            PowerState::Off => PowerChange::Off,
        };
        if state.vms[vm].power == change.target() {
            return false;
        }
        state.apply_power(vm, change);
        drop(state);
        self.tell();
        true
    }

    /// Ends the leases of the VM that a request is about; returns whether it has any.
    pub(crate) fn end_leases(
        &self,
        world: &World,
        about: &About,
        becomes: LeaseState,
        spec: Option<&FaultSpec>,
    ) -> bool {
        let mut state = self.lock();
        let Some(vm) = self.wanted(&state, about, None) else { return false };
        let leases = state.vms[vm].leases.clone();
        for id in &leases {
            match becomes {
                LeaseState::Gone => state.end_lease(id, Ending::Vanished),
                LeaseState::TimedOut => state.fail_lease(id, None),
                LeaseState::Error => {
                    let own = spec.and_then(|spec| spec.fault().ok());
                    let fault = own.unwrap_or_else(|| fault::system_error("the lease was told to fail"));
                    state.fail_lease(id, Some(fault));
                }
            }
        }
        drop(state);
        leases.iter().for_each(|lease| world.exports.close(lease));
        self.tell();
        !leases.is_empty()
    }

    /// Lets the URLs of a VM's leases point elsewhere; returns whether it has any.
    pub(crate) fn point_leases(&self, about: &About, url: &LeaseUrl) -> bool {
        let mut state = self.lock();
        let Some(vm) = self.wanted(&state, about, None) else { return false };
        let leases = state.vms[vm].leases.clone();
        for id in &leases {
            if let Some(lease) = state.leases.get_mut(id) {
                lease.meddled.url = Some(url.clone());
            }
        }
        !leases.is_empty()
    }

    /// Decides the end of the task that a call has just started, which is the newest of its VM; returns
    /// whether there is one that has not ended.
    pub(crate) fn decide_task(&self, about: &About, fate: &TaskFate) -> bool {
        let Some(method) = &about.method else { return false };
        let mut state = self.lock();
        let receiver = about.receiver.as_ref().and_then(|object| self.vm_behind(&state, &object.id));
        // A snapshot that is gone by now was known when the call came.
        let Some(vm) = receiver.or_else(|| self.wanted(&state, about, None)) else { return false };
        match fate {
            TaskFate::NeverEnds(_) => state.tasks.hold_newest(method, vm),
            TaskFate::Fails(spec) => spec.fault().is_ok_and(|fault| state.tasks.fail_newest(method, vm, fault)),
        }
    }

    /// Returns the VM that a rule names, or else the one that a request is about.
    fn wanted(&self, state: &State, about: &About, path: Option<&str>) -> Option<usize> {
        match path {
            Some(path) => self.vm_behind(state, path),
            None => about.objects.iter().find_map(|object| self.vm_behind(state, object)),
        }
    }

    /// Returns the VM that a name means: its path, its id, or the id of a lease or a snapshot of it.
    fn vm_behind(&self, state: &State, name: &str) -> Option<usize> {
        if let Some(lease) = state.leases.get(name) {
            return Some(lease.vm);
        }
        if let Ok((vm, _)) = state.snapshot(&MoRef::new("VirtualMachineSnapshot", name)) {
            return Some(vm);
        }
        let by_id = self.model.find(&MoRef::new("VirtualMachine", name));
        let by_id = by_id.and_then(|id| self.model.place(id)).map(|place| place.index);
        by_id.or_else(|| self.paths.iter().position(|path| path == name))
    }
}

fn collect(element: &Element, depth: usize, references: &mut Vec<MoRef>) {
    if depth > DEPTH_MAX {
        return;
    }
    for child in &element.children {
        match &child.managed_type {
            Some(kind) => references.push(MoRef::new(kind.clone(), child.text.trim())),
            None => collect(child, depth + 1, references),
        }
    }
}
