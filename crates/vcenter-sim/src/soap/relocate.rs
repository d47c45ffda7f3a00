//! Moving a VM: to another host (vMotion), to another datastore (storage vMotion), or both.
//!
//! `RelocateVM_Task` does it as a vCenter: by a task, within a datacenter, and not while a lease or another
//! task holds the VM. Rules and the control endpoint do it behind everybody's back. Either way all files go
//! to one directory of the new datastore, named after the VM; whoever reads one of the old is cut off there,
//! and what a lease sends goes on, because a host keeps the disks of an open session open.
//!
//! Deliberately absent: disks that go to different datastores, other datacenters, parents that stay behind.

use vsphere::wire::generated::{RelocateVMTask, VirtualMachineRelocateSpec};
use vsphere::wire::{Any, Fault, MoRef};

use super::Soap;
use super::call::Call;
use super::fault::{self, Outcome};
use super::model::{Kind, NodeId, VmPlace, directory_name};
use super::power::usable;
use super::state::State;
use super::task::{self, Change, Work};
use crate::datastore::home::{Home, Moved, Spot};
use crate::inventory::Personality;
use crate::world::World;

/// Ways to move disks that end with all links on the new datastore.
const WHOLE_MOVES: [&str; 2] = ["moveAllDiskBackingsAndDisallowSharing", "moveAllDiskBackingsAndAllowSharing"];

/// Where a VM goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relocation {
    /// Another host.
    pub(crate) host: Option<NodeId>,
    /// Another datastore, by its number.
    pub(crate) datastore: Option<usize>,
    /// Name for the directory there, unless another VM has it.
    pub(crate) directory: String,
}

/// `RelocateVM_Task`.
pub(crate) fn relocate(call: &Call<'_>, request: RelocateVMTask) -> Outcome<MoRef> {
    if call.model().personality() == Personality::Esxi {
        return Err(fault::not_supported("a host alone moves no virtual machine"));
    }
    let mut state = call.lock();
    let subject = call.subject(&state, &request.this)?;
    state.check_free(subject.vm)?;
    let usable = usable(call, &subject)?;
    let relocation = wanted(call, &state, &request.this, request.spec)?;
    let end = usable.map(|()| Change::Relocate(relocation));
    let (method, description_id) = ("RelocateVM_Task", "VirtualMachine.relocate");
    let work = Work { method, description_id, takes: task::SHORT, end };
    Ok(task::start(call, &mut state, subject, work))
}

/// Returns what a specification asks for.
fn wanted(call: &Call<'_>, state: &State, vm: &MoRef, spec: VirtualMachineRelocateSpec) -> Outcome<Relocation> {
    let model = call.model();
    let place = model.find(vm).and_then(|id| model.place(id)).ok_or_else(|| fault::not_found(vm))?;
    let near = model.datacenter(place.datacenter).ok_or_else(|| fault::not_found(vm))?;
    let host = match &spec.host {
        None => None,
        Some(moref) => {
            let host = model.find(moref).filter(|host| near.hosts.contains(host));
            Some(host.ok_or_else(|| fault::invalid_argument("spec.host", &moref.id))?)
        }
    };
    let datastore = match &spec.datastore {
        None => None,
        Some(moref) => {
            let datastore = model.find(moref).filter(|datastore| near.datastores.contains(datastore));
            let number = datastore.and_then(|datastore| call.datastore_number(datastore));
            Some(number.ok_or_else(|| fault::invalid_datastore(&moref.id))?)
        }
    };
    if let Some(pool) = &spec.pool {
        let own = place.vapp.or_else(|| model.pool_of(host.unwrap_or_else(|| state.host_of(place))));
        if model.find(pool) != own {
            return Err(fault::invalid_argument("spec.pool", "it is not the root pool of the host"));
        }
    }
    if let Some(way) = spec.disk_move_type.as_deref().filter(|way| !WHOLE_MOVES.contains(way)) {
        return Err(fault::not_supported(&format!("this server does not move disks by {way}")));
    }
    refuse_the_rest(call, spec)?;
    Ok(Relocation { host, datastore, directory: directory_name(&model.node(model.vms()[place.index]).name) })
}

/// Refuses a specification that asks for more, and says for what.
fn refuse_the_rest(call: &Call<'_>, spec: VirtualMachineRelocateSpec) -> Result<(), Fault> {
    let rest = VirtualMachineRelocateSpec { host: None, datastore: None, pool: None, disk_move_type: None, ..spec };
    let rest = Any::new(&rest, call.encode());
    let names: Vec<&str> = rest.element().children.iter().map(|child| child.name.as_str()).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(fault::not_supported(&format!("this server does not move a VM by {}", names.join(", ")))),
    }
}

impl State {
    /// Moves a VM; returns what became of its files when they moved.
    pub(crate) fn relocate(&mut self, vm: usize, relocation: &Relocation) -> Option<Moved> {
        if let Some(host) = relocation.host {
            self.vms[vm].host = Some(host);
        }
        let datastore = relocation.datastore.filter(|&datastore| !self.vms[vm].home.is_gathered_on(datastore))?;
        let spot = if self.vms[vm].home.spot.datastore == datastore {
            self.vms[vm].home.spot.clone()
        } else {
            self.free_spot(vm, datastore, &relocation.directory)
        };
        let to = Home::at(spot);
        let from = std::mem::replace(&mut self.vms[vm].home, to.clone());
        self.vms[vm].configured.version += 1;
        Some(Moved { vm, from, to })
    }

    /// Returns a directory of a datastore in which no other VM has files.
    fn free_spot(&self, vm: usize, datastore: usize, directory: &str) -> Spot {
        let taken = |spot: &Spot| self.vms.iter().enumerate().any(|(other, there)| other != vm && there.home.has(spot));
        let mut spot = Spot { datastore, directory: directory.to_owned() };
        let mut number = 0u32;
        while taken(&spot) {
            number += 1;
            spot.directory = format!("{directory}_{number}");
        }
        spot
    }
}

impl Soap {
    /// Moves a VM to a host, a datastore, or both, by their names, whoever holds the VM, and tells those who
    /// wait. Returns whether that is a change.
    ///
    /// # Errors
    /// Says what is not there.
    pub fn move_vm(
        &self,
        world: &World,
        vm_path: &str,
        host: Option<&str>,
        datastore: Option<&str>,
    ) -> Result<bool, String> {
        let index = self.paths.iter().position(|path| path == vm_path);
        let index = index.ok_or_else(|| format!("VM `{vm_path}` is not in the inventory"))?;
        let missing = |what: &str, name: &str| format!("the datacenter of VM `{vm_path}` has no {what} `{name}`");
        let node = self.model.vms()[index];
        let host = match host {
            None => None,
            Some(name) => Some(self.model.host_for(node, name).ok_or_else(|| missing("host", name))?),
        };
        let datastore = match datastore {
            None => None,
            Some(name) => {
                let number = self.model.place(node).and_then(|place| self.datastore_near(place, name));
                Some(number.ok_or_else(|| missing("datastore", name))?)
            }
        };
        Ok(self.force_move(world, index, host, datastore))
    }

    /// Moves a VM; returns whether that is a change.
    pub(super) fn force_move(&self, world: &World, vm: usize, host: Option<NodeId>, datastore: Option<usize>) -> bool {
        let node = self.model.vms()[vm];
        let mut state = self.lock();
        let now_on = self.model.place(node).map(|place| state.host_of(place));
        let host = host.filter(|&host| Some(host) != now_on);
        let directory = directory_name(&self.model.node(node).name);
        let moved = state.relocate(vm, &Relocation { host, datastore, directory });
        world.datastores.follow(moved.as_slice());
        drop(state);
        let changed = host.is_some() || moved.is_some();
        if changed {
            self.tell();
        }
        changed
    }

    /// Returns the number of the datastore of this name in the datacenter of a VM.
    pub(super) fn datastore_near(&self, vm: &VmPlace, name: &str) -> Option<usize> {
        let near = &self.model.datacenter(vm.datacenter)?.datastores;
        let node = near.iter().find(|&&id| self.model.node(id).name == name)?;
        self.model.datastores().iter().position(|known| known == node)
    }

    /// Returns the host after this one in its datacenter.
    pub(super) fn other_host(&self, host: NodeId) -> Option<NodeId> {
        let Kind::Host { datacenter } = &self.model.node(host).kind else { return None };
        let hosts = &self.model.datacenter(*datacenter)?.hosts;
        let at = hosts.iter().position(|&id| id == host)?;
        let next = hosts[(at + 1) % hosts.len()];
        (next != host).then_some(next)
    }
}
