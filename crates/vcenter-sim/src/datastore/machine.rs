//! The files of one VM, in the order in which `layoutEx` has them.

use super::chain::{ChainOf, Link, LinkKind};
use super::file::{FileKind, Lock, Source, StoredFile};
use super::home::Spot;
use super::{EPOCH, SnapshotNow, VmNow, vmsd, vmx};
use crate::content::Delta;
use crate::export::text_seed;
use crate::hardware::Layout;
use crate::inventory::{Disk, Vm};
use crate::world::World;

/// `virtualHW.version` of all VMs; see [`crate::identity::HARDWARE_VERSION`].
pub(crate) const HARDWARE_VERSION: i32 = 19;

/// Bytes of the file with a snapshot's state; about what real ones have.
const SNAPSHOT_STATE_BYTES: u64 = 28 << 10;

/// All files of a VM but those of its snapshots.
#[derive(Clone, Debug)]
pub(crate) struct MachineFiles {
    /// Configuration, nvram, list of snapshots, log.
    pub(crate) small: Vec<StoredFile>,
    /// The chain of each disk, the base first.
    pub(crate) disks: Vec<Vec<Link>>,
}

/// The files of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFiles {
    /// Id of its reference.
    pub(crate) moref: String,
    pub(crate) state: StoredFile,
    pub(crate) memory: Option<StoredFile>,
    /// For each disk, how many of its links the snapshot has.
    pub(crate) links: Vec<usize>,
}

/// A link, with what is to be told of its disk.
#[derive(Clone, Debug)]
pub(crate) struct FoundLink {
    pub(crate) link: Link,
    pub(crate) capacity_bytes: u64,
    /// Type of the controller in the API.
    pub(crate) controller: &'static str,
    pub(crate) thin: bool,
}

impl MachineFiles {
    /// Returns what a VM of the inventory has now.
    pub(crate) fn of(world: &World, vm_index: usize, now: &VmNow) -> Self {
        let vm = &world.inventory.vms[vm_index];
        let disks: Vec<_> = (0..vm.disks.len()).filter_map(|disk| chain(world, vm_index, disk, now)).collect();
        let small = small_files(world, vm_index, now, &disks);
        Self { small, disks }
    }
}

/// Returns all files of a VM.
pub(crate) fn all(world: &World, vm_index: usize, now: &VmNow) -> Vec<StoredFile> {
    let MachineFiles { small, disks } = MachineFiles::of(world, vm_index, now);
    let links = disks.into_iter().flatten();
    let of_links = links.flat_map(|link| std::iter::once(link.descriptor).chain(link.extents));
    let snapshots = snapshots(world, vm_index, now).into_iter();
    let of_snapshots = snapshots.flat_map(|snapshot| std::iter::once(snapshot.state).chain(snapshot.memory));
    small.into_iter().chain(of_links).chain(of_snapshots).collect()
}

/// Returns the chain of one disk, the base first.
pub(crate) fn chain(world: &World, vm_index: usize, disk_index: usize, now: &VmNow) -> Option<Vec<Link>> {
    let vm = &world.inventory.vms[vm_index];
    let content = world.exports.disk(&vm.path, disk_index)?;
    let layout = Layout::of(vm).ok()?;
    let adapter = vmx::adapter(&layout, layout.disks.get(disk_index)?);
    let of = ChainOf {
        datastores: &world.datastores,
        home: &now.home,
        vm,
        vm_index,
        disk_index,
        content: &content,
        // What no snapshot holds has nothing above it.
        deltas: if vm.disks[disk_index].is_in_snapshots() { &now.deltas } else { &[] },
        running: now.running,
        adapter,
    };
    Some(of.links())
}

/// Returns the link that a descriptor of a VM describes.
pub(crate) fn link_of(world: &World, vm_index: usize, descriptor: &StoredFile, now: &VmNow) -> Option<FoundLink> {
    let vm = &world.inventory.vms[vm_index];
    let layout = Layout::of(vm).ok()?;
    for (index, disk) in vm.disks.iter().enumerate() {
        let links = chain(world, vm_index, index, now)?;
        let same = |link: &Link| {
            link.descriptor.datastore == descriptor.datastore && link.descriptor.path() == descriptor.path()
        };
        if let Some(link) = links.into_iter().find(same) {
            let controller = layout.controllers[layout.disks[index].controller].kind.vim_class();
            let thin = disk.thin && link.kind == LinkKind::Flat;
            return Some(FoundLink { link, capacity_bytes: disk.size.0, controller, thin });
        }
    }
    None
}

/// Returns the files of a VM's snapshots, oldest first.
pub(crate) fn snapshots(world: &World, vm_index: usize, now: &VmNow) -> Vec<SnapshotFiles> {
    let vm = &world.inventory.vms[vm_index];
    let spot = &now.home.spot;
    let files = now.snapshots.iter().map(|snapshot| {
        let seed = text_seed(&format!("{}/{}", vm.path, snapshot.moref));
        let noise = |ending: &str, kind, len_bytes| {
            file(spot, state_file(spot, snapshot, ending), kind, Source::Noise { seed, len_bytes })
        };
        let memory_bytes = u64::try_from(vm.memory_mib).unwrap_or_default() << 20;
        SnapshotFiles {
            moref: snapshot.moref.clone(),
            state: noise("vmsn", FileKind::SnapshotData, SNAPSHOT_STATE_BYTES),
            memory: snapshot.has_memory.then(|| noise("vmem", FileKind::SnapshotMemory, memory_bytes)),
            links: vm.disks.iter().map(|disk| links_of(disk, now, snapshot)).collect(),
        }
    });
    files.collect()
}

/// Returns how many links of a disk a snapshot has.
fn links_of(disk: &Disk, now: &VmNow, snapshot: &SnapshotNow) -> usize {
    let declared = 1 + usize::try_from(disk.link_count()).unwrap_or_default();
    if !disk.is_in_snapshots() {
        return declared;
    }
    let deltas = now.deltas.get(..snapshot.frozen).unwrap_or(&now.deltas);
    let written = Delta::links(deltas).filter(|link| link[0].number > 0).count();
    declared + written
}

fn state_file(spot: &Spot, snapshot: &SnapshotNow, ending: &str) -> String {
    format!("{}-Snapshot{}.{ending}", spot.directory, snapshot.id)
}

fn small_files(world: &World, vm_index: usize, now: &VmNow, disks: &[Vec<Link>]) -> Vec<StoredFile> {
    let vm = &world.inventory.vms[vm_index];
    let spot = &now.home.spot;
    let name = |ending: &str| format!("{}{ending}", spot.directory);
    let mut files = Vec::with_capacity(4);
    if let Ok(layout) = Layout::of(vm) {
        let tops = disks.iter().filter_map(|links| links.last());
        let disk_files: Vec<String> = tops.map(|link| named_from(world, spot, &link.descriptor)).collect();
        let config = vmx::config(vm, now, &spot.directory, &layout, &disk_files);
        files.push(file(spot, name(".vmx"), FileKind::Config, Source::text(config)));
    }
    if vm.nvram_bytes > 0 {
        let source = Source::Noise { seed: text_seed(&vm.path), len_bytes: vm.nvram_bytes };
        files.push(file(spot, name(".nvram"), FileKind::Nvram, source));
    }
    let list = snapshot_list(world, vm, spot, now, disks);
    files.push(file(spot, name(".vmsd"), FileKind::SnapshotList, Source::text(list)));
    files.push(file(spot, "vmware.log".to_owned(), FileKind::Log, Source::text(vmx::log(vm))));
    files
}

fn snapshot_list(world: &World, vm: &Vm, spot: &Spot, now: &VmNow, disks: &[Vec<Link>]) -> String {
    let layout = Layout::of(vm).ok();
    let listed = now.snapshots.iter().map(|snapshot| {
        let in_disk = |(index, links): (usize, &Vec<Link>)| {
            let place = layout.as_ref().and_then(|layout| Some((layout, layout.disks.get(index)?)))?;
            let top = links.get(links_of(&vm.disks[index], now, snapshot) - 1)?;
            Some((named_from(world, spot, &top.descriptor), vmx::slot(place.0, place.1).0))
        };
        let disks = disks.iter().enumerate().filter_map(in_disk).collect();
        vmsd::Listed { snapshot, file: state_file(spot, snapshot, "vmsn"), disks }
    });
    vmsd::text(&listed.collect::<Vec<_>>())
}

/// Makes a file whose bytes are not those of a disk.
fn file(spot: &Spot, name: String, kind: FileKind, source: Source) -> StoredFile {
    let size_bytes = match &source {
        Source::Noise { len_bytes, .. } => *len_bytes,
        Source::Text(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
        Source::Flat { .. } | Source::Cowd(_) | Source::SeSparse(_) => 0,
    };
    StoredFile {
        datastore: spot.datastore,
        directory: spot.directory.clone(),
        name,
        kind,
        size_bytes,
        allocated_bytes: size_bytes,
        modified: EPOCH,
        lock: Lock::Free,
        source,
    }
}

/// Returns how a configuration at `spot` names a file: relative, or absolute on another datastore.
fn named_from(world: &World, spot: &Spot, file: &StoredFile) -> String {
    if file.datastore == spot.datastore && file.directory == spot.directory {
        return file.name.clone();
    }
    format!("/vmfs/volumes/{}/{}", world.datastores.get(file.datastore).uuid, file.path())
}
