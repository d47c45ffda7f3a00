//! One call: who makes it, when, in which version, and what it may touch.

use std::sync::{Arc, MutexGuard};

use vsphere::wire::generated::ManagedEntityStatus;
use vsphere::wire::{ApiVersion, Encode, MoRef};

use super::browser;
use super::clock::Instant;
use super::fault::{self, Outcome};
use super::model::{Model, Node, NodeId, VmPlace};
use super::state::State;
use super::task::Subject;
use super::{SdkRequest, Soap};
use crate::world::World;

/// How healthy every object of this world is.
pub(crate) const HEALTH: ManagedEntityStatus = ManagedEntityStatus::Green;

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) world: &'a Arc<World>,
    pub(crate) soap: &'a Soap,
    pub(crate) request: SdkRequest<'a>,
    pub(crate) now: Instant,
    /// What `SOAPAction` asked for.
    pub(crate) version: ApiVersion,
    /// Nobody before a login.
    pub(crate) caller: Option<Caller>,
}

/// Who makes a call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Key of the session.
    pub(crate) session: String,
    pub(crate) user: String,
}

impl<'a> Call<'a> {
    /// Returns everything that changes. Nothing may wait while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'a, State> {
        self.soap.lock()
    }

    pub(crate) fn model(&self) -> &'a Model {
        &self.soap.model
    }

    pub(crate) fn encode(&self) -> Encode {
        Encode { version: self.version }
    }

    /// Returns the key of the caller's session.
    ///
    /// # Errors
    /// NotAuthenticated, about `object`.
    pub(crate) fn session(&self, object: &MoRef) -> Outcome<&str> {
        let caller = self.caller.as_ref().ok_or_else(|| fault::not_authenticated(object))?;
        Ok(&caller.session)
    }

    /// Returns the reference of a datastore by its number in [`crate::datastore`].
    pub(crate) fn datastore(&self, number: usize) -> MoRef {
        self.model().datastores().get(number).map(|&id| self.model().moref(id)).unwrap_or_default()
    }

    /// Returns the number of a datastore by its node.
    pub(crate) fn datastore_number(&self, id: NodeId) -> Option<usize> {
        self.model().datastores().iter().position(|&known| known == id)
    }

    /// Returns the number of the datastore that a path `[datastore] directory/name` of a VM names.
    pub(crate) fn datastore_of(&self, vm: &VmPlace, path: &str) -> Option<usize> {
        let (name, _) = browser::parse(path).ok()?;
        self.soap.datastore_near(vm, name)
    }

    /// Returns whether the caller's session is the one that made something.
    pub(crate) fn owns(&self, session: &str) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.session == session)
    }

    /// Makes the id of an object that lives as long as the caller's session.
    pub(crate) fn session_id(&self, object: &MoRef) -> Outcome<String> {
        Ok(format!("session[{}]{}", self.session(object)?, uuid::Uuid::new_v4()))
    }

    /// Returns the VM that `moref` names.
    pub(crate) fn subject(&self, _state: &State, moref: &MoRef) -> Outcome<Subject> {
        let node = self.node(moref)?;
        let id = self.model().find(moref).ok_or_else(|| fault::not_found(moref))?;
        let place = self.model().place(id).ok_or_else(|| fault::not_found(moref))?;
        let user = self.caller.as_ref().map(|caller| caller.user.clone()).unwrap_or_default();
        Ok(Subject { vm: place.index, moref: moref.clone(), name: node.name.clone(), user })
    }

    /// Returns the VM at a place of the inventory.
    pub(crate) fn subject_at(&self, state: &State, vm: usize) -> Outcome<Subject> {
        let unknown = || fault::system_error("a VM of the inventory has no object");
        let id = self.model().vms().iter().find(|&&id| self.model().place(id).is_some_and(|place| place.index == vm));
        self.subject(state, &self.model().moref(*id.ok_or_else(unknown)?))
    }

    /// Returns the node that `moref` names.
    pub(crate) fn node(&self, moref: &MoRef) -> Outcome<&'a Node> {
        let id = self.model().find(moref).ok_or_else(|| fault::not_found(moref))?;
        Ok(self.model().node(id))
    }
}

impl State {
    /// Refuses when a lease or a task holds the VM.
    pub(crate) fn check_free(&self, vm: usize) -> Outcome<()> {
        let Some(held) = self.vms.get(vm) else { return Ok(()) };
        let by_lease = held.leases.iter().find_map(|id| self.leases.get(id)).map(|lease| &lease.task);
        match by_lease.or(held.task.as_ref()) {
            Some(task) => Err(fault::task_in_progress(&MoRef::new("Task", task))),
            None => Ok(()),
        }
    }
}
