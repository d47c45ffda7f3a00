//! Container views: all objects of some types below a container.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{CreateContainerView, DestroyView};

use super::call::Call;
use super::fault::{self, Outcome};
use super::kinds::is_a;
use super::model::{Kind, Model, NodeId};

/// A container view; its members are found when somebody asks.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) session: String,
    pub(crate) container: MoRef,
    pub(crate) types: Vec<String>,
    pub(crate) recursive: bool,
}

impl View {
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
    call.node(&request.container)?;
    let id = call.session_id(&request.this)?;
    let session = call.session(&request.this)?.to_owned();
    let view = View { session, container: request.container, types: request.type_, recursive: request.recursive };
    call.lock().views.insert(id.clone(), view);
    Ok(MoRef::new("ContainerView", id))
}

/// `DestroyView`.
pub(crate) fn destroy(call: &Call<'_>, request: DestroyView) -> Outcome<()> {
    call.lock().views.remove(&request.this.id).map(drop).ok_or_else(|| fault::not_found(&request.this))
}
