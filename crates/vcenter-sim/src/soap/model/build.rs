//! Makes the tree from an inventory: one pass over datacenters, one over VMs.

use std::collections::{HashMap, HashSet};

use vsphere::wire::MoRef;

use super::{Datacenter, Kind, Model, Node, NodeId, VmPlace, ids};
use crate::hardware::Layout;
use crate::inventory::{self, Inventory, Personality, Vm};

/// What the folders of each tree may hold, as vCenter says it.
const DATACENTER_CHILDREN: &[&str] = &["Folder", "Datacenter"];
const VM_CHILDREN: &[&str] = &["Folder", "VirtualMachine", "VirtualApp"];
const HOST_CHILDREN: &[&str] = &["Folder", "ComputeResource"];
const DATASTORE_CHILDREN: &[&str] = &["Folder", "Datastore", "StoragePod"];
const NETWORK_CHILDREN: &[&str] = &["Folder", "Network", "DistributedVirtualSwitch"];

impl Model {
    /// Makes the tree. The inventory is a valid one: every VM has a datacenter and a host.
    pub(crate) fn build(inventory: &Inventory) -> Self {
        let mut builder = Builder {
            model: Self {
                personality: inventory.vcenter.personality,
                nodes: Vec::new(),
                by_id: HashMap::new(),
                vms: Vec::new(),
                datastores: Vec::new(),
            },
            datacenters: Vec::new(),
            folders: HashMap::new(),
            wishes: HashMap::new(),
            directories: HashSet::new(),
        };
        let root = Kind::Folder { child_type: DATACENTER_CHILDREN };
        let (id, name) = ids::root(inventory.vcenter.personality);
        builder.insert(MoRef::new("Folder", id), name, None, root);
        for datacenter in &inventory.datacenters {
            builder.datacenter(datacenter);
        }
        for (index, vm) in inventory.vms.iter().enumerate() {
            builder.vm(inventory, index, vm);
        }
        builder.model
    }
}

struct Builder {
    model: Model,
    /// Path and node of each datacenter.
    datacenters: Vec<(String, NodeId)>,
    /// Folders and vApps by parent and name: looking among 10,000 children for each would be slow.
    folders: HashMap<(NodeId, String), NodeId>,
    /// How many VMs wanted a directory of this name on a datastore.
    wishes: HashMap<(NodeId, String), usize>,
    /// Directories that were given out, by their datastores.
    directories: HashSet<(NodeId, String)>,
}

impl Builder {
    /// Adds a node whose id is `prefix` and the next number; on a host as hosts name their objects.
    fn add(&mut self, managed: &str, prefix: &str, name: &str, parent: Option<NodeId>, kind: Kind) -> NodeId {
        let number = self.model.nodes.len() + 1;
        let id = match self.model.personality {
            Personality::VCenter => format!("{prefix}{number}"),
            Personality::Esxi => ids::on_host(managed, name, self.model.vms.len() + 1),
        };
        self.insert(MoRef::new(managed, id), name, parent, kind)
    }

    fn insert(&mut self, moref: MoRef, name: &str, parent: Option<NodeId>, kind: Kind) -> NodeId {
        let id = self.model.nodes.len();
        self.model.by_id.insert(moref.id.clone(), id);
        let name = name.to_owned();
        self.model.nodes.push(Node { moref, name, parent, children: Vec::new(), kind });
        id
    }

    /// Makes `child` appear below `parent` in inventory paths.
    fn show(&mut self, parent: NodeId, child: NodeId) {
        self.model.nodes[parent].children.push(child);
    }

    /// Returns the folder at `path` below `top`, whose missing parts are made.
    fn folder(&mut self, top: NodeId, path: &str, prefix: &str, child_type: &'static [&'static str]) -> NodeId {
        path.split('/').filter(|name| !name.is_empty()).fold(top, |parent, name| {
            if let Some(&there) = self.folders.get(&(parent, name.to_owned())) {
                return there;
            }
            let id = self.add("Folder", prefix, name, Some(parent), Kind::Folder { child_type });
            self.show(parent, id);
            self.folders.insert((parent, name.to_owned()), id);
            id
        })
    }

    fn datacenter(&mut self, from: &inventory::Datacenter) {
        let root = self.model.root();
        let parent = self.folder(root, &from.folder, "group-d", DATACENTER_CHILDREN);
        let id = self.add("Datacenter", "datacenter-", &from.name, Some(parent), Kind::Datacenter(Box::default()));
        self.show(parent, id);
        let mut folder = |name, prefix, child_type| {
            let folder = self.add("Folder", prefix, name, Some(id), Kind::Folder { child_type });
            self.show(id, folder);
            folder
        };
        let mut parts = Datacenter {
            vm_folder: folder("vm", "group-v", VM_CHILDREN),
            host_folder: folder("host", "group-h", HOST_CHILDREN),
            datastore_folder: folder("datastore", "group-s", DATASTORE_CHILDREN),
            network_folder: folder("network", "group-n", NETWORK_CHILDREN),
            ..Datacenter::default()
        };
        for name in &from.datastores {
            let datastore = self.add("Datastore", "datastore-", name, Some(parts.datastore_folder), Kind::Datastore);
            self.show(parts.datastore_folder, datastore);
            parts.datastores.push(datastore);
            self.model.datastores.push(datastore);
        }
        for name in &from.networks {
            let network = self.add("Network", "network-", name, Some(parts.network_folder), Kind::Network);
            self.show(parts.network_folder, network);
            parts.networks.push(network);
        }
        let in_cluster = |host: &String| from.clusters.iter().any(|cluster| cluster.hosts.contains(host));
        for name in from.hosts.iter().filter(|host| !in_cluster(host)) {
            self.compute(id, &mut parts, ("ComputeResource", "domain-s", name), std::slice::from_ref(name));
        }
        for cluster in &from.clusters {
            self.compute(id, &mut parts, ("ClusterComputeResource", "domain-c", &cluster.name), &cluster.hosts);
        }
        self.model.nodes[id].kind = Kind::Datacenter(Box::new(parts));
        self.datacenters.push((from.path(), id));
    }

    /// Adds a compute resource with its hosts and its root pool; `what` is its type, prefix and name.
    fn compute(
        &mut self,
        datacenter: NodeId,
        parts: &mut Datacenter,
        (managed, prefix, name): (&str, &str, &str),
        hosts: &[String],
    ) {
        let compute = self.model.nodes.len();
        let first = compute + 1;
        let pool = first + hosts.len();
        let kind = Kind::ComputeResource { hosts: (first..pool).collect(), pool };
        self.add(managed, prefix, name, Some(parts.host_folder), kind);
        self.show(parts.host_folder, compute);
        for (host, name) in (first..pool).zip(hosts) {
            self.add("HostSystem", "host-", name, Some(compute), Kind::Host { datacenter });
            self.show(compute, host);
            parts.hosts.push(host);
            parts.pools.push(pool);
        }
        let kind = Kind::ResourcePool { owner: compute };
        self.add("ResourcePool", "resgroup-", "Resources", Some(compute), kind);
        self.show(compute, pool);
    }

    fn vm(&mut self, inventory: &Inventory, index: usize, vm: &Vm) {
        let Some((datacenter, host)) = self.datacenter_and_host(inventory, vm) else { return };
        let Some(parts) = self.model.datacenter(datacenter) else { return };
        let named = |ids: &[NodeId], name: Option<&str>| {
            let found = ids.iter().copied().find(|&id| Some(self.model.node(id).name.as_str()) == name);
            found.or_else(|| ids.first().copied())
        };
        let datastore = named(&parts.datastores, inventory.datastore_of(vm));
        let network = named(&parts.networks, vm.network.as_deref());
        let pool = parts.hosts.iter().position(|&id| id == host).map(|index| parts.pools[index]);
        let (Some(datastore), Some(pool)) = (datastore, pool) else { return };
        let (vm_folder, folders) = (parts.vm_folder, folders_of(inventory, vm));
        let Ok(layout) = Layout::of(vm) else { return };
        let vapp = vm.vapp.as_deref().map(|name| self.vapp(vm_folder, folders, name, pool));
        let parent = match vapp {
            Some(vapp) => vapp,
            None => self.folder(vm_folder, folders, "group-v", VM_CHILDREN),
        };
        let directory = self.directory(datastore, vm.name());
        let place = VmPlace { index, host, network, datacenter, vapp, directory, layout };
        let visible = vapp.is_none().then_some(parent);
        let id = self.add("VirtualMachine", "vm-", vm.name(), visible, Kind::Vm(Box::new(place)));
        self.show(parent, id);
        self.model.vms.push(id);
    }

    fn datacenter_and_host(&self, inventory: &Inventory, vm: &Vm) -> Option<(NodeId, NodeId)> {
        let path = inventory.datacenter_of(vm)?.path();
        let datacenter = self.datacenters.iter().find(|(known, _)| *known == path)?.1;
        let host = inventory.host_of(vm)?;
        let hosts = &self.model.datacenter(datacenter)?.hosts;
        Some((datacenter, hosts.iter().copied().find(|&id| self.model.node(id).name == host)?))
    }

    /// Returns the vApp of a VM: the last folder of its path when that has the vApp's name, else a
    /// vApp inside that folder.
    fn vapp(&mut self, top: NodeId, folders: &str, name: &str, pool: NodeId) -> NodeId {
        let above = match folders.rsplit_once('/') {
            Some((above, last)) if last == name => above,
            None if folders == name => "",
            _ => folders,
        };
        let folder = self.folder(top, above, "group-v", VM_CHILDREN);
        if let Some(&there) = self.folders.get(&(folder, name.to_owned())) {
            return there;
        }
        let owner = self.model.node(pool).parent.unwrap_or(pool);
        let kind = Kind::VirtualApp { folder, owner };
        let id = self.add("VirtualApp", "resgroup-v", name, Some(pool), kind);
        self.show(folder, id);
        self.show(pool, id);
        self.folders.insert((folder, name.to_owned()), id);
        id
    }

    /// Returns a directory name that no other VM of the datastore has.
    fn directory(&mut self, datastore: NodeId, vm_name: &str) -> String {
        let plain = directory_name(vm_name);
        // A name with a number may be another VM's own, so each is looked up before it is given out.
        let wishes = self.wishes.entry((datastore, plain.clone())).or_insert(0);
        loop {
            let name = if *wishes == 0 { plain.clone() } else { format!("{plain}_{wishes}") };
            *wishes += 1;
            if self.directories.insert((datastore, name.clone())) {
                return name;
            }
        }
    }
}

/// Returns the name that a VM wishes for the directory of its files, and for those.
pub(crate) fn directory_name(vm_name: &str) -> String {
    let plain = ["%2f", "%2F", "%5c", "%5C", "%25"].iter().fold(vm_name.to_owned(), |n, e| n.replace(e, "_"));
    // A directory is a line in descriptors and a part of a path; `.` and `..` are taken.
    let plain = plain.replace(char::is_control, "_");
    if plain.trim_start_matches('.').is_empty() { plain.replace('.', "_") } else { plain }
}

fn folders_of<'a>(inventory: &Inventory, vm: &'a Vm) -> &'a str {
    inventory.datacenter_of(vm).and_then(|datacenter| vm.folder_path_in(datacenter)).unwrap_or_default()
}
