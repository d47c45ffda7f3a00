//! The tree of managed objects that an inventory becomes; fixed while the simulator runs.
//!
//! ```text
//!  group-d1 ─ folders ─ datacenter ─┬─ vm        ─ folders ─ VMs, vApps ─ VMs
//!                                   ├─ host      ─ ComputeResource (one per host, or a cluster) ─ hosts, "Resources" pool
//!                                   ├─ datastore ─ datastores
//!                                   └─ network   ─ networks
//! ```
//!
//! What changes (power, leases, tasks) is in [`super::state`]; what the objects say about themselves
//! is in [`super::property`]. Ids are numbered in the order of the inventory, so that the same
//! inventory has the same ids in every run.

mod build;
mod ids;

pub(crate) use build::directory_name;

use std::collections::HashMap;

use vsphere::wire::MoRef;

use crate::hardware::Layout;
use crate::inventory::Personality;

/// Index of a [`Node`] in its [`Model`].
pub(crate) type NodeId = usize;

/// All inventory objects.
#[derive(Debug)]
pub(crate) struct Model {
    personality: Personality,
    nodes: Vec<Node>,
    by_id: HashMap<String, NodeId>,
    /// Node of each VM of the inventory, in its order.
    vms: Vec<NodeId>,
    /// Node of each datastore, in the order of datacenters and of datastores within them.
    datastores: Vec<NodeId>,
}

/// A managed entity.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its reference.
    pub(crate) moref: MoRef,
    /// Name as stored, escaped.
    pub(crate) name: String,
    /// What its property `parent` says.
    pub(crate) parent: Option<NodeId>,
    /// What lies below it in inventory paths.
    pub(crate) children: Vec<NodeId>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is, with what only this kind has.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A folder and what it may hold.
    Folder {
        /// `childType`.
        child_type: &'static [&'static str],
    },
    /// A datacenter.
    Datacenter(Box<Datacenter>),
    /// The compute resource of one host, or a cluster.
    ComputeResource {
        /// The hosts; more than one in a cluster only.
        hosts: Vec<NodeId>,
        /// The root pool.
        pool: NodeId,
    },
    /// A host.
    Host {
        /// Its datacenter.
        datacenter: NodeId,
    },
    /// A resource pool.
    ResourcePool {
        /// The compute resource.
        owner: NodeId,
    },
    /// A vApp.
    VirtualApp {
        /// The folder that holds it.
        folder: NodeId,
        /// The compute resource.
        owner: NodeId,
    },
    /// A datastore.
    Datastore,
    /// A network.
    Network,
    /// A virtual machine or a template.
    Vm(Box<VmPlace>),
}

/// The parts of a datacenter.
#[derive(Debug, Default)]
pub(crate) struct Datacenter {
    pub(crate) vm_folder: NodeId,
    pub(crate) host_folder: NodeId,
    pub(crate) datastore_folder: NodeId,
    pub(crate) network_folder: NodeId,
    pub(crate) hosts: Vec<NodeId>,
    pub(crate) pools: Vec<NodeId>,
    pub(crate) datastores: Vec<NodeId>,
    pub(crate) networks: Vec<NodeId>,
}

/// Where a VM stands.
#[derive(Debug)]
pub(crate) struct VmPlace {
    /// Index in the inventory.
    pub(crate) index: usize,
    pub(crate) host: NodeId,
    /// The network of its card; without one it has no card.
    pub(crate) network: Option<NodeId>,
    pub(crate) datacenter: NodeId,
    /// The vApp that holds it.
    pub(crate) vapp: Option<NodeId>,
    /// Directory of its files on its first datastore.
    pub(crate) directory: String,
    /// Where its devices sit.
    pub(crate) layout: Layout,
}

impl Model {
    /// Returns a node.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// Returns what the server claims to be.
    pub(crate) fn personality(&self) -> Personality {
        self.personality
    }

    /// Returns the root folder.
    pub(crate) fn root(&self) -> NodeId {
        0
    }

    /// Finds a node by its reference.
    pub(crate) fn find(&self, moref: &MoRef) -> Option<NodeId> {
        let id = *self.by_id.get(&moref.id)?;
        (self.nodes[id].moref.kind == moref.kind).then_some(id)
    }

    /// Returns the reference of a node.
    pub(crate) fn moref(&self, id: NodeId) -> MoRef {
        self.nodes[id].moref.clone()
    }

    /// Returns the references of nodes.
    pub(crate) fn morefs(&self, ids: &[NodeId]) -> Vec<MoRef> {
        ids.iter().map(|&id| self.moref(id)).collect()
    }

    /// Returns all nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        0..self.nodes.len()
    }

    /// Returns the nodes of the VMs, in the order of the inventory.
    pub(crate) fn vms(&self) -> &[NodeId] {
        &self.vms
    }

    /// Returns the nodes of the datastores, in the order of the inventory.
    pub(crate) fn datastores(&self) -> &[NodeId] {
        &self.datastores
    }

    /// Returns where a VM stands.
    pub(crate) fn place(&self, id: NodeId) -> Option<&VmPlace> {
        match &self.nodes[id].kind {
            Kind::Vm(place) => Some(place),
            _ => None,
        }
    }

    /// Returns the VMs that `wanted` picks.
    pub(crate) fn vms_where(&self, wanted: impl Fn(&VmPlace) -> bool) -> Vec<MoRef> {
        let picked = self.vms.iter().filter(|&&id| self.place(id).is_some_and(&wanted));
        picked.map(|&id| self.moref(id)).collect()
    }

    /// Returns the first directory of each VM's files, in the order of the inventory.
    pub(crate) fn directories(&self) -> Vec<String> {
        self.vms.iter().filter_map(|&id| self.place(id)).map(|place| place.directory.clone()).collect()
    }

    /// Returns the host of this name in the datacenter of a VM.
    pub(crate) fn host_for(&self, vm: NodeId, name: &str) -> Option<NodeId> {
        let parts = self.datacenter(self.place(vm)?.datacenter)?;
        parts.hosts.iter().copied().find(|&host| self.nodes[host].name == name)
    }

    /// Returns the root pool of what runs on a host.
    pub(crate) fn pool_of(&self, host: NodeId) -> Option<NodeId> {
        match &self.nodes[self.nodes[host].parent?].kind {
            Kind::ComputeResource { pool, .. } => Some(*pool),
            _ => None,
        }
    }

    /// Returns the parts of a datacenter.
    pub(crate) fn datacenter(&self, id: NodeId) -> Option<&Datacenter> {
        match &self.nodes[id].kind {
            Kind::Datacenter(parts) => Some(parts),
            _ => None,
        }
    }

    /// Returns the node that an inventory path names; the root folder's own name is not part of it.
    pub(crate) fn find_path(&self, path: &str) -> Option<NodeId> {
        let path = path.trim_matches('/');
        let mut current = self.root();
        for name in path.split('/').filter(|_| !path.is_empty()) {
            current = self.find_child(current, name)?;
        }
        Some(current)
    }

    /// Returns the child of this name; escapes may be written in either case of hex digits.
    pub(crate) fn find_child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let wanted = fold_escapes(name);
        self.nodes[parent].children.iter().copied().find(|&id| fold_escapes(&self.nodes[id].name) == wanted)
    }
}

/// Writes the hex digits of `%2f`, `%5c`, `%25` in lower case.
fn fold_escapes(name: &str) -> String {
    ["%2F", "%5C"].iter().fold(name.to_owned(), |name, escape| name.replace(escape, &escape.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inventory::Inventory;

    fn model(text: &str) -> Model {
        Model::build(&Inventory::parse(text, Path::new(".")).unwrap())
    }

    const LAB: &str = r#"
        [[datacenter]]
        name = "DC0"
        folder = "Lab"
        hosts = ["esx1", "esx2"]
        [[vm]]
        path = "Lab/DC0/vm/web/web%2f01"
        host = "esx2"
        [[vm]]
        path = "Lab/DC0/vm/db/web%2f01"
        [[vm]]
        path = "Lab/DC0/vm/app/db01"
        vapp = "app"
    "#;

    #[test]
    fn a_vm_is_found_by_its_path_whatever_slashes_stand_around_it_and_however_escapes_are_written() {
        let model = model(LAB);
        let vm = model.vms()[0];
        for path in ["Lab/DC0/vm/web/web%2f01", "/Lab/DC0/vm/web/web%2f01/", "Lab/DC0/vm/web/web%2F01"] {
            assert_eq!(model.find_path(path), Some(vm), "{path}");
        }
        assert_eq!(model.find_path("/"), Some(model.root()));
        assert_eq!(model.find_path("Lab/DC0/vm/web/web"), None);
    }

    #[test]
    fn a_vm_in_a_vapp_has_no_parent_but_is_found_below_the_vapp() {
        let model = model(LAB);
        let vm = model.find_path("Lab/DC0/vm/app/db01").unwrap();
        assert_eq!(model.node(vm).parent, None);
        let vapp = model.place(vm).unwrap().vapp.unwrap();
        assert_eq!(model.node(vapp).moref.kind, "VirtualApp");
        assert_eq!(model.find_path("Lab/DC0/vm/app"), Some(vapp));
    }

    #[test]
    fn a_datacenter_shows_its_four_folders_and_hosts_stand_under_compute_resources() {
        let model = model(LAB);
        for path in ["vm", "host", "datastore", "network", "host/esx1/esx1", "host/esx2/Resources"] {
            assert!(model.find_path(&format!("Lab/DC0/{path}")).is_some(), "{path}");
        }
        let place = model.place(model.vms()[0]).unwrap();
        assert_eq!(model.node(place.host).name, "esx2");
    }

    #[test]
    fn two_vms_of_one_name_have_files_in_two_directories() {
        let model = model(LAB);
        let directories: Vec<_> = model.vms().iter().map(|&id| model.place(id).unwrap().directory.as_str()).collect();
        assert_eq!(directories, ["web_01", "web_01_1", "db01"]);
    }

    #[test]
    fn a_directory_with_a_number_is_never_that_of_a_vm_whose_name_ends_so() {
        for (paths, expected) in [
            (["f1/web", "f2/web", "f3/web_1"], ["web", "web_1", "web_1_1"]),
            (["f1/web", "f3/web_1", "f2/web"], ["web", "web_1", "web_2"]),
        ] {
            let vms = paths.map(|path| format!("[[vm]]\npath = \"DC0/vm/{path}\"\n")).concat();
            let model = model(&format!("[[datacenter]]\nname = \"DC0\"\n{vms}"));
            let places = model.vms().iter().map(|&id| model.place(id).unwrap().directory.as_str());
            assert_eq!(places.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_reference_of_another_type_with_the_same_id_is_no_object() {
        let model = model(LAB);
        assert!(model.find(&MoRef::new("Folder", "group-d1")).is_some());
        assert!(model.find(&MoRef::new("Datacenter", "group-d1")).is_none());
    }

    #[test]
    fn hosts_of_a_cluster_share_its_pool_and_the_others_have_their_own() {
        let model = model(
            "[[datacenter]]\nname = \"DC0\"\nhosts = [\"a\", \"b\", \"c\"]\n\
             [[datacenter.cluster]]\nname = \"C\"\nhosts = [\"a\", \"c\"]\n\
             [[vm]]\npath = \"DC0/vm/x\"\nhost = \"a\"\n[[vm]]\npath = \"DC0/vm/y\"\nhost = \"c\"\n\
             [[vm]]\npath = \"DC0/vm/z\"\nhost = \"b\"\n",
        );
        let cluster = model.find_path("DC0/host/C").unwrap();
        assert_eq!(model.node(cluster).moref.kind, "ClusterComputeResource");
        for path in ["DC0/host/C/a", "DC0/host/C/c", "DC0/host/C/Resources", "DC0/host/b/b"] {
            assert!(model.find_path(path).is_some(), "{path}");
        }
        assert_eq!(model.find_path("DC0/host/a"), None);
        let pools: Vec<_> = model.vms().iter().map(|&id| model.pool_of(model.place(id).unwrap().host)).collect();
        assert!(pools[0] == pools[1] && pools[0] != pools[2], "{pools:?}");
    }

    #[test]
    fn an_esxi_host_has_its_own_ids_and_numbers_its_vms() {
        let model = model(
            "[vcenter]\npersonality = \"esxi\"\n[[datacenter]]\nname = \"ha-datacenter\"\n\
             [[vm]]\npath = \"ha-datacenter/vm/x\"\n[[vm]]\npath = \"ha-datacenter/vm/y\"\n",
        );
        let id = |path: &str| model.node(model.find_path(path).unwrap()).moref.id.clone();
        assert_eq!(id("/"), "ha-folder-root");
        assert_eq!(id("ha-datacenter"), "ha-datacenter");
        assert_eq!(id("ha-datacenter/vm"), "ha-folder-vm");
        assert_eq!(id("ha-datacenter/host/esx1.sim.invalid"), "ha-compute-res");
        assert_eq!(id("ha-datacenter/host/esx1.sim.invalid/esx1.sim.invalid"), "ha-host");
        assert_eq!(id("ha-datacenter/host/esx1.sim.invalid/Resources"), "ha-root-pool");
        assert_eq!(id("ha-datacenter/network/VM Network"), "HaNetwork-VM Network");
        assert_eq!((id("ha-datacenter/vm/x"), id("ha-datacenter/vm/y")), ("1".to_owned(), "2".to_owned()));
    }
}
