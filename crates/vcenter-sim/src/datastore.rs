//! The files of datastores, as a host sees them: which there are, what they are called, and their bytes.
//!
//! Nothing is stored. A file follows from the inventory, from the contents of disks, from what snapshots
//! have put above them, and from where the VM has its [`home`]; its bytes are made while they are read, at
//! any offset.
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
pub(crate) mod home;
mod index;
mod layer;
pub(crate) mod machine;
mod region;
mod sesparse;
pub(crate) mod tree;
mod vmsd;
mod vmx;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use vsphere::wire::DateTime;

use crate::content::{Delta, mix};
use crate::export::text_seed;
use crate::hardware::Place;
use crate::inventory::{Content, Disk, Inventory, Vm};
use chain::LinkKind;
use file::Source;
use home::{Home, Moved};
use layer::{Layer, LayerKey};

/// Seconds since 1970 at which all that exists from the start was last changed.
pub(crate) const EPOCH: i64 = 1_735_689_600;

/// Links whose layout is remembered; each costs some bytes for each MiB of its disk.
const LINKS_KEPT_MAX: usize = 1024;

/// All datastores, in the order of datacenters and of datastores within them.
#[derive(Debug)]
pub(crate) struct Datastores {
    list: Vec<Datastore>,
    /// For each datastore, the VMs that have files in a directory, that whose configuration is there first.
    /// It follows the homes of VMs, and says only whom to ask: what is where, a VM itself knows.
    owners: RwLock<Vec<Owners>>,
    /// How often files have moved.
    moves: AtomicU64,
    links: Mutex<HashMap<LinkKey, Source>>,
}

/// VMs by the directories in which they have files.
type Owners = BTreeMap<String, Vec<usize>>;

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
    /// Paths of images.
    isos: BTreeSet<String>,
}

/// How a VM is at one moment, as far as its files depend on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct VmNow {
    /// Where its files are.
    pub(crate) home: Home,
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
    /// Makes the datastores of an inventory, whose VMs have their files at `homes`.
    pub(crate) fn new(inventory: &Inventory, homes: &[Home]) -> Self {
        let mut list = Vec::new();
        for (datacenter, from) in inventory.datacenters.iter().enumerate() {
            list.extend(from.datastores.iter().map(|name| Datastore {
                name: name.clone(),
                datacenter,
                uuid: volume_uuid(&format!("{}/{name}", from.path())),
                vmfs: if from.vmfs5.contains(name) { 5 } else { 6 },
                isos: BTreeSet::new(),
            }));
        }
        let mut owners = vec![Owners::new(); list.len()];
        // Whose configuration is in a directory comes before those who have but a disk there.
        for (vm, Home { spot, .. }) in homes.iter().enumerate() {
            owners[spot.datastore].insert(spot.directory.clone(), vec![vm]);
        }
        homes.iter().enumerate().for_each(|(vm, home)| enter(&mut owners, vm, home));
        let (owners, moves) = (RwLock::new(owners), AtomicU64::new(0));
        let mut datastores = Self { list, owners, moves, links: Mutex::default() };
        inventory.vms.iter().for_each(|vm| datastores.place_images(inventory, vm));
        datastores
    }

    /// Gives the images in the drives of a VM their places.
    fn place_images(&mut self, inventory: &Inventory, vm: &Vm) {
        let datacenter = datacenter_of(inventory, vm);
        for iso in vm.isos.iter().filter(|iso| !vm.missing_isos.contains(iso)) {
            let parts = iso.strip_prefix('[').and_then(|rest| rest.split_once("] "));
            let Some((name, path)) = parts else { continue };
            if let Some(datastore) = self.named(datacenter, name) {
                self.list[datastore].isos.insert(path.to_owned());
            }
        }
    }

    /// Follows VMs that have moved. The caller holds the state that knows their homes, so that nobody finds
    /// one without the other.
    pub(crate) fn follow(&self, moved: &[Moved]) {
        if moved.is_empty() {
            return;
        }
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        for Moved { vm, from, to } in moved {
            for spot in from.spots() {
                let directories = &mut owners[spot.datastore];
                if let Some(there) = directories.get_mut(&spot.directory) {
                    there.retain(|owner| owner != vm);
                    if there.is_empty() {
                        directories.remove(&spot.directory);
                    }
                }
            }
            enter(&mut owners, *vm, to);
        }
        drop(owners);
        self.moves.fetch_add(1, Ordering::Release);
    }

    /// Returns how often files have moved so far: as long as that stays the same, all are where they were.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
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

    /// Returns the VMs that have files in a directory, that whose configuration is there first.
    pub(crate) fn owners(&self, datastore: usize, directory: &str) -> Vec<usize> {
        self.read_owners()[datastore].get(directory).cloned().unwrap_or_default()
    }

    /// Returns the directories at the root of a datastore that have files of VMs.
    fn directories(&self, datastore: usize) -> BTreeSet<String> {
        self.read_owners()[datastore].keys().cloned().collect()
    }

    /// No holder leaves the index half-changed, so a poisoned lock is as good as any.
    fn read_owners(&self) -> RwLockReadGuard<'_, Vec<Owners>> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner)
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

/// Enters a VM at all its directories.
fn enter(owners: &mut [Owners], vm: usize, home: &Home) {
    for spot in home.spots() {
        let there = owners[spot.datastore].entry(spot.directory.clone()).or_default();
        if !there.contains(&vm) {
            there.push(vm);
        }
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
