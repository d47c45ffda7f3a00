//! The files of datastores, as a host sees them: which there are, what they are called, and their bytes.
//!
//! Nothing is stored. A file follows from the inventory, from the contents of disks, and from what
//! snapshots have put above them; its bytes are made while they are read, at any offset.
//!
//! ```text
//!  tree ── paths ──► machine ── files of a VM ──► chain ── links of a disk ──► layer ── grains
//!                       └ vmx, descriptor: texts           └ cowd, sesparse: formats
//! ```
//!
//! `/folder` ([`crate::folder`]) serves them, the datastore browser lists them, and `layoutEx` and the
//! backings of disks name them: all ask here, so they agree. Deliberately absent: writing, files that
//! belong to nobody, vSAN objects.

pub(crate) mod chain;
mod cowd;
mod descriptor;
pub(crate) mod file;
mod index;
mod layer;
pub(crate) mod machine;
mod region;
mod sesparse;
pub(crate) mod tree;
mod vmsd;
mod vmx;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use vsphere::wire::DateTime;

use crate::content::{Delta, mix};
use crate::export::text_seed;
use crate::hardware::Place;
use crate::inventory::{Content, Disk, Inventory, ParentPlace, Vm, rules};
use chain::LinkKind;
use file::Source;
use layer::{Layer, LayerKey};

/// Seconds since 1970 at which all that exists from the start was last changed.
pub(crate) const EPOCH: i64 = 1_735_689_600;

/// Links whose layout is remembered; each costs some bytes for each MiB of its disk.
const LINKS_KEPT_MAX: usize = 1024;

/// All datastores, in the order of datacenters and of datastores within them.
#[derive(Debug)]
pub(crate) struct Datastores {
    list: Vec<Datastore>,
    homes: Vec<Home>,
    links: Mutex<HashMap<LinkKey, Source>>,
}

/// What tells a link from all others.
type LinkKey = (usize, usize, LinkKind, LayerKey);

/// A datastore.
#[derive(Debug)]
pub(crate) struct Datastore {
    pub(crate) name: String,
    /// Number of its datacenter in the inventory.
    pub(crate) datacenter: usize,
    /// Id of its volume, in the form of VMFS.
    pub(crate) uuid: String,
    /// 5 or 6.
    pub(crate) vmfs: u8,
    /// The VMs that have files in each directory, that whose configuration is there first.
    owners: BTreeMap<String, Vec<usize>>,
    /// Paths of images.
    isos: BTreeSet<String>,
}

/// A directory on a datastore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Number of the datastore.
    pub(crate) datastore: usize,
    pub(crate) directory: String,
}

/// Where the files of a VM are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Home {
    /// Of all files but those below.
    pub(crate) spot: Spot,
    /// Of bases on other datastores, by the number of their disk.
    bases: BTreeMap<usize, Spot>,
}

/// How a VM is at one moment, as far as its files depend on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct VmNow {
    /// Whether a host has its disks open.
    pub(crate) running: bool,
    /// Links of snapshots, lowest first.
    pub(crate) deltas: Vec<Delta>,
    pub(crate) annotation: String,
    /// Images in its drives, with their drives.
    pub(crate) images: Vec<(Place, String)>,
    /// Oldest first, each the child of the one before.
    pub(crate) snapshots: Vec<SnapshotNow>,
}

/// A snapshot, as far as files depend on it.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotNow {
    /// Id of its reference.
    pub(crate) moref: String,
    /// Number within its VM.
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) created: DateTime,
    pub(crate) has_memory: bool,
    /// How many of the VM's deltas its state contains.
    pub(crate) frozen: usize,
}

impl Datastores {
    /// Makes the datastores of an inventory. `directories` has the directory of each VM.
    pub(crate) fn new(inventory: &Inventory, directories: &[String]) -> Self {
        let mut list = Vec::new();
        for (datacenter, from) in inventory.datacenters.iter().enumerate() {
            list.extend(from.datastores.iter().map(|name| Datastore {
                name: name.clone(),
                datacenter,
                uuid: volume_uuid(&format!("{}/{name}", from.path())),
                vmfs: if from.vmfs5.contains(name) { 5 } else { 6 },
                owners: BTreeMap::new(),
                isos: BTreeSet::new(),
            }));
        }
        let mut datastores = Self { list, homes: Vec::new(), links: Mutex::default() };
        for (vm, directory) in inventory.vms.iter().zip(directories) {
            datastores.settle(inventory, vm, directory);
        }
        for (index, vm) in inventory.vms.iter().enumerate() {
            datastores.place_bases(inventory, index, vm);
        }
        datastores
    }

    /// Gives a VM its directory, and its images their places.
    fn settle(&mut self, inventory: &Inventory, vm: &Vm, directory: &str) {
        let index = self.homes.len();
        let datacenter = datacenter_of(inventory, vm);
        let datastore = inventory.datastore_of(vm).and_then(|name| self.named(datacenter, name)).unwrap_or_default();
        let before = self.list[datastore].owners.insert(directory.to_owned(), vec![index]);
        assert!(before.is_none(), "the model gives no directory to two VMs");
        self.homes.push(Home { spot: Spot { datastore, directory: directory.to_owned() }, bases: BTreeMap::new() });
        for iso in vm.isos.iter().filter(|iso| !vm.missing_isos.contains(iso)) {
            let parts = iso.strip_prefix('[').and_then(|rest| rest.split_once("] "));
            let Some((name, path)) = parts else { continue };
            if let Some(datastore) = self.named(datacenter, name) {
                self.list[datastore].isos.insert(path.to_owned());
            }
        }
    }

    /// Gives the bases that lie on other datastores a directory there.
    fn place_bases(&mut self, inventory: &Inventory, index: usize, vm: &Vm) {
        let datacenter = datacenter_of(inventory, vm);
        for (disk, from) in vm.disks.iter().enumerate() {
            if let Some((name, directory, _)) = from.file.as_deref().and_then(rules::parts_of) {
                let Some(datastore) = self.named(datacenter, name) else { continue };
                let owners = self.list[datastore].owners.entry(directory.to_owned()).or_default();
                if !owners.contains(&index) {
                    owners.push(index);
                }
                self.homes[index].bases.insert(disk, Spot { datastore, directory: directory.to_owned() });
                continue;
            }
            let ParentPlace::Datastore(name) = &from.parent else { continue };
            let Some(datastore) = self.named(datacenter, name) else { continue };
            let home = self.homes[index].spot.clone();
            if home.datastore == datastore {
                self.homes[index].bases.insert(disk, home);
                continue;
            }
            let owners = &mut self.list[datastore].owners;
            let mut directory = home.directory;
            while owners.get(&directory).is_some_and(|owners| *owners != [index]) {
                directory.push_str("_base");
            }
            owners.insert(directory.clone(), vec![index]);
            self.homes[index].bases.insert(disk, Spot { datastore, directory });
        }
    }

    /// Returns a datastore by its number.
    pub(crate) fn get(&self, index: usize) -> &Datastore {
        &self.list[index]
    }

    /// Returns the number of a datacenter's datastore.
    pub(crate) fn named(&self, datacenter: usize, name: &str) -> Option<usize> {
        self.list.iter().position(|there| there.datacenter == datacenter && there.name == name)
    }

    /// Returns the numbers of a datacenter's datastores.
    pub(crate) fn of_datacenter(&self, datacenter: usize) -> impl Iterator<Item = usize> {
        let of = move |(_, there): &(usize, &Datastore)| there.datacenter == datacenter;
        self.list.iter().enumerate().filter(of).map(|(index, _)| index)
    }

    /// Returns where the files of a VM are.
    pub(crate) fn home(&self, vm: usize) -> &Home {
        &self.homes[vm]
    }

    /// Returns the numbers of the datastores that hold files of a VM; that of its configuration first.
    pub(crate) fn used_by(&self, vm: usize) -> Vec<usize> {
        let home = &self.homes[vm];
        let mut used = vec![home.spot.datastore];
        for base in home.bases.values() {
            if !used.contains(&base.datastore) {
                used.push(base.datastore);
            }
        }
        used
    }

    /// Returns the VMs that have files in a directory, that whose configuration is there first.
    pub(crate) fn owners(&self, datastore: usize, directory: &str) -> &[usize] {
        self.list[datastore].owners.get(directory).map_or(&[], Vec::as_slice)
    }

    fn base_spot(&self, vm: usize, disk: usize) -> &Spot {
        let home = &self.homes[vm];
        home.bases.get(&disk).unwrap_or(&home.spot)
    }

    /// Returns a link as a file; laying it out takes a look at every grain, so that is done once.
    fn link(&self, vm: usize, disk: usize, kind: LinkKind, layer: Layer, capacity_bytes: u64) -> Source {
        let key = (vm, disk, kind, layer.key());
        if let Some(source) = self.lock_links().get(&key) {
            return source.clone();
        }
        let source = chain::encode(kind, layer, capacity_bytes);
        let mut links = self.lock_links();
        if links.len() >= LINKS_KEPT_MAX {
            links.clear();
        }
        links.insert(key, source.clone());
        source
    }

    /// No holder leaves the map half-changed, so a poisoned lock is as good as any.
    fn lock_links(&self) -> std::sync::MutexGuard<'_, HashMap<LinkKey, Source>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Datastore {
    /// Returns `summary.url`.
    pub(crate) fn url(&self) -> String {
        format!("ds:///vmfs/volumes/{}/", self.uuid)
    }
}

/// Returns about how many bytes of a disk hold data, to a thousandth of its size; that of a file counts as
/// full. Counting them would walk every grain; real servers do not know exactly either.
pub(crate) fn allocated_bytes(disk: &Disk) -> u64 {
    match disk.content {
        Content::Seeded { fill, .. } => {
            let thousandths = (0..1000u16).find(|&part| f64::from(part) >= fill * 1000.0).unwrap_or(1000);
            disk.size.0 / 1000 * u64::from(thousandths)
        }
        Content::File { .. } => disk.size.0,
    }
}

/// Returns the number of a VM's datacenter.
fn datacenter_of(inventory: &Inventory, vm: &Vm) -> usize {
    let of = |datacenter| vm.folder_path_in(datacenter).is_some();
    inventory.datacenters.iter().position(of).unwrap_or_default()
}

/// Returns an id in the form of VMFS, `51a70000-0f3b2c1d-9a8b-005056aabbcc`, that follows from a text.
fn volume_uuid(text: &str) -> String {
    let hash = text_seed(text);
    let (first, second) = (hash >> 32, mix(hash) & 0xffff_ffff);
    let (third, fourth) = (mix(!hash) & 0xffff, mix(hash ^ first) & 0xff_ffff);
    format!("{first:08x}-{second:08x}-{third:04x}-005056{fourth:06x}")
}

#[cfg(test)]
mod tests;
