//! Views, and those of a container: all objects of some types below it.

use vsphere::wire::generated::{CreateContainerView, DestroyView};
use vsphere::wire::{MoRef, managed_type};

use super::call::Call;
use super::fault::{self, Outcome};
use super::kinds::is_a;
use super::model::{Kind, Model, NodeId};

/// What a view can look into.
const CONTAINERS: [&str; 5] = ["ComputeResource", "Datacenter", "Folder", "HostSystem", "ResourcePool"];

/// A view of the objects that a session is interested in.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) session: String,
    pub(crate) members: Members,
}

/// What is in a view.
#[derive(Debug)]
pub(crate) enum Members {
    /// All objects of some types below a container; found when somebody asks.
    Below(Container),
    /// Those that were named ([`super::list_view`]).
    Listed(Vec<MoRef>),
}

/// What a container view looks for, and where.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) container: MoRef,
    pub(crate) types: Vec<String>,
    pub(crate) recursive: bool,
}

impl View {
    /// Returns the managed type of the view.
    pub(crate) fn kind(&self) -> &'static str {
        match self.members {
            Members::Below(_) => "ContainerView",
            Members::Listed(_) => "ListView",
        }
    }
}

impl Container {
    /// Returns the objects in it.
    pub(crate) fn members(&self, model: &Model) -> Vec<MoRef> {
        let mut members = Vec::new();
        if let Some(container) = model.find(&self.container) {
            self.descend(model, container, &mut members);
        }
        members
    }

    fn descend(&self, model: &Model, parent: NodeId, members: &mut Vec<MoRef>) {
        for &child in &model.node(parent).children {
            let node = model.node(child);
            if self.types.is_empty() || self.types.iter().any(|wanted| is_a(&node.moref.kind, wanted)) {
                members.push(node.moref.clone());
            }
            // A vApp stands below its folder and below its pool; it is entered from the folder.
            let from_pool = matches!(model.node(parent).kind, Kind::ResourcePool { .. });
            if self.recursive && !from_pool {
                self.descend(model, child, members);
            }
        }
    }
}

/// `CreateContainerView`.
pub(crate) fn create(call: &Call<'_>, request: CreateContainerView) -> Outcome<MoRef> {
    let kind = &call.node(&request.container)?.moref.kind;
    if !CONTAINERS.iter().any(|container| is_a(kind, container)) {
        return Err(fault::invalid_argument("container", "it contains nothing"));
    }
    if let Some(unknown) = request.type_.iter().find(|name| managed_type(name).is_none()) {
        return Err(fault::invalid_type(unknown));
    }
    let id = call.session_id(&request.this)?;
    let session = call.session(&request.this)?.to_owned();
    let below = Container { container: request.container, types: request.type_, recursive: request.recursive };
    call.lock().views.insert(id.clone(), View { session, members: Members::Below(below) });
    Ok(MoRef::new("ContainerView", id))
}

/// `DestroyView`.
pub(crate) fn destroy(call: &Call<'_>, request: DestroyView) -> Outcome<()> {
    let mut state = call.lock();
    if !state.views.get(&request.this.id).is_some_and(|view| call.owns(&view.session)) {
        return Err(fault::not_found(&request.this));
    }
    state.views.remove(&request.this.id);
    Ok(())
}
