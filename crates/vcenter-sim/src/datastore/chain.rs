//! The files of one disk: a base and the links above it, with their names, content ids and parents.
//!
//! | link | descriptor | extents |
//! |---|---|---|
//! | base | `web01.vmdk`, `web01_1.vmdk` | `web01-flat.vmdk`, or `web01-f001.vmdk` and so on |
//! | number 1 above it | `web01-000001.vmdk` | `web01-000001-delta.vmdk` or `…-sesparse.vmdk` |
//!
//! A link that was written and closed has a content id of its own; the highest declared one and those of
//! snapshots have that of their parent, as fresh links have. So an id does not tell one link from another.

use std::sync::Arc;

use super::Datastores;
use super::cowd::Cowd;
use super::descriptor::{self, DescriptorText};
use super::file::{FileKind, Lock, Source, StoredFile};
use super::home::{Home, Spot};
use super::layer::{Base, Declared, Layer};
use super::region::SECTOR;
use super::sesparse::SeSparse;
use crate::content::{Delta, DiskContent, mix};
use crate::identity;
use crate::inventory::layout::fits_redo_log;
use crate::inventory::rules::parts_of;
use crate::inventory::{Disk, DiskLayout, ParentPlace, Vm};

/// Content ids above this are reserved.
const CID_MASK: u64 = 0x7fff_ffff;

/// Seconds for each change of a file, a day and a half: enough that two changes with
/// other bytes hardly ever share one, few enough that times stay near those of the rest.
const CHANGE_SECONDS: u64 = 1 << 17;

/// How a link keeps its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LinkKind {
    Flat,
    Cowd,
    SeSparse,
}

impl LinkKind {
    /// Returns the type that stands for it in the API.
    pub(crate) fn vim_class(self) -> &'static str {
        match self {
            Self::Flat => "VirtualDiskFlatVer2BackingInfo",
            Self::Cowd => "VirtualDiskSparseVer2BackingInfo",
            Self::SeSparse => "VirtualDiskSeSparseBackingInfo",
        }
    }
}

/// One link of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) kind: LinkKind,
    /// `ddb.longContentID`, `contentId` of the backing; it ends with the content id.
    pub(crate) content_id: String,
    pub(crate) descriptor: StoredFile,
    pub(crate) extents: Vec<StoredFile>,
}

/// What a chain is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainOf<'a> {
    pub(super) datastores: &'a Datastores,
    /// Where the VM has its files.
    pub(super) home: &'a Home,
    pub(super) vm: &'a Vm,
    /// Number of the VM in the inventory.
    pub(super) vm_index: usize,
    /// Number of the disk in the VM.
    pub(super) disk_index: usize,
    pub(super) content: &'a Arc<DiskContent>,
    /// Links of snapshots, lowest first; those of number 0 were merged into the disk.
    pub(super) deltas: &'a [Delta],
    pub(super) running: bool,
    /// `ddb.adapterType`.
    pub(super) adapter: &'static str,
}

impl ChainOf<'_> {
    /// Returns all links, the base first.
    pub(super) fn links(&self) -> Vec<Link> {
        let disk = &self.vm.disks[self.disk_index];
        let declared = Arc::new(Declared::new(Arc::clone(self.content), self.disk_index, disk.link_count()));
        let mut groups: Vec<&[Delta]> = Delta::links(self.deltas).collect();
        let merged = match groups.first() {
            Some(first) if first[0].number == 0 => groups.remove(0),
            _ => &[],
        };
        let base = Base::new(Arc::clone(&declared), merged);
        let below = if disk.link_count() == 0 { merged } else { &[] };
        let mut links = vec![self.base(disk, Arc::new(base), below)];
        for number in 1..=disk.link_count() {
            let merged = if number == disk.link_count() { merged.to_vec() } else { Vec::new() };
            let layer = Layer::Declared(Arc::clone(&declared), usize::try_from(number).unwrap_or(usize::MAX), merged);
            let link = self.link(disk, number, self.declared_kind(disk), layer, &links);
            links.push(link);
        }
        for deltas in groups {
            let number = disk.link_count() + deltas[0].number;
            let layer = Layer::Written(self.disk_index, deltas.to_vec());
            let link = self.link(disk, number, self.native_kind(disk), layer, &links);
            links.push(link);
        }
        let top = links.len() - 1;
        for (index, link) in links.iter_mut().enumerate().filter(|_| self.running) {
            let lock = if index == top { Lock::Written } else { Lock::Read };
            link.extents.iter_mut().for_each(|extent| extent.lock = lock);
        }
        links
    }

    /// Returns where links lie: beside the configuration, or where the inventory puts the disk.
    fn spot(&self) -> &Spot {
        match &self.vm.disks[self.disk_index].file {
            Some(_) => self.home.base(self.disk_index),
            None => &self.home.spot,
        }
    }

    fn base_spot(&self, disk: &Disk) -> &Spot {
        match &disk.parent {
            ParentPlace::Datastore(_) => self.home.base(self.disk_index),
            _ => self.spot(),
        }
    }

    /// Returns the name without ending, `web01_1` or `web01_1-000002`.
    fn stem(&self, number: u32) -> String {
        let of_disk = if self.disk_index == 0 { String::new() } else { format!("_{}", self.disk_index) };
        let of_link = if number == 0 { String::new() } else { format!("-{number:06}") };
        let file = self.vm.disks[self.disk_index].file.as_deref().filter(|_| self.home.is_declared(self.disk_index));
        if let Some((_, _, stem)) = file.and_then(parts_of) {
            return format!("{stem}{of_link}");
        }
        format!("{}{of_disk}{of_link}", self.spot().directory)
    }

    /// Returns the kind of a snapshot's link: what the datastore's file system and the disk's size allow.
    fn native_kind(&self, disk: &Disk) -> LinkKind {
        let is_old = self.datastores.get(self.spot().datastore).vmfs == 5;
        if is_old && fits_redo_log(disk.size.0) { LinkKind::Cowd } else { LinkKind::SeSparse }
    }

    fn declared_kind(&self, disk: &Disk) -> LinkKind {
        match disk.layout {
            DiskLayout::Delta => LinkKind::Cowd,
            DiskLayout::SeSparse => LinkKind::SeSparse,
            DiskLayout::Flat | DiskLayout::Split => self.native_kind(disk),
        }
    }

    /// Returns the content id of the link with this number.
    fn cid(&self, disk: &Disk, number: u32) -> u32 {
        // The highest that has an id of its own: fresh links have that of their parent.
        let own = number.min(disk.link_count().saturating_sub(1));
        let id = mix(self.content.fingerprint() ^ mix(u64::from(own)));
        u32::try_from(id & CID_MASK).expect("masked to 31 bits")
    }

    fn content_id(&self, disk: &Disk, number: u32) -> String {
        let high = identity::disk_uuid(self.vm, self.disk_index).simple().to_string();
        format!("{}{:08x}", &high[..24], self.cid(disk, number))
    }

    fn base(&self, disk: &Disk, base: Arc<Base>, merged: &[Delta]) -> Link {
        let spot = self.base_spot(disk);
        let (stem, capacity) = (self.stem(0), disk.size.0);
        let split = disk.layout == DiskLayout::Split;
        let allocated = if disk.thin { super::allocated_bytes(disk) } else { capacity };
        let starts = (0..capacity).step_by(usize::try_from(disk.extent_bytes()).unwrap_or(usize::MAX));
        let extents = starts.zip(1u32..).map(|(offset, number)| {
            let name = match disk.backing.as_str() {
                "rdm-physical" => format!("{stem}-rdmp.vmdk"),
                "rdm-virtual" => format!("{stem}-rdm.vmdk"),
                _ if split => format!("{stem}-f{number:03}.vmdk"),
                _ => format!("{stem}-flat.vmdk"),
            };
            let size = disk.extent_bytes().min(capacity - offset);
            let allocated = if split { allocated.saturating_sub(offset).min(size) } else { allocated };
            let source = Source::Flat { base: Arc::clone(&base), offset };
            let extent = self.file(spot, name, FileKind::DiskExtent, (size, allocated), source);
            StoredFile { modified: changed(merged), ..extent }
        });
        let types = match disk.backing.as_str() {
            "rdm-physical" => ("vmfsPassthroughRawDeviceMap", "VMFSRDM"),
            "rdm-virtual" => ("vmfsRawDeviceMap", "VMFSRDM"),
            _ if split => ("twoGbMaxExtentFlat", "FLAT"),
            _ => ("vmfs", "VMFS"),
        };
        self.finish(disk, 0, LinkKind::Flat, types, None, extents.collect())
    }

    fn link(&self, disk: &Disk, number: u32, kind: LinkKind, layer: Layer, below: &[Link]) -> Link {
        let modified = changed(layer.writes());
        let source = self.datastores.link(self.vm_index, self.disk_index, kind, layer, disk.size.0);
        let (size, ending, types) = match &source {
            Source::SeSparse(link) => (link.size_bytes(), "sesparse", ("seSparse", "SESPARSE")),
            Source::Cowd(link) => (link.size_bytes(), "delta", ("vmfsSparse", "VMFSSPARSE")),
            _ => (0, "flat", ("vmfs", "VMFS")),
        };
        let name = format!("{}-{ending}.vmdk", self.stem(number));
        let extent = self.file(self.spot(), name, FileKind::DiskExtent, (size, size), source);
        let extent = StoredFile { modified, ..extent };
        let parent = below.last().map(|link| self.hint(disk, &link.descriptor));
        self.finish(disk, number, kind, types, parent, vec![extent])
    }

    /// Returns how a link names its parent.
    fn hint(&self, disk: &Disk, parent: &StoredFile) -> String {
        let elsewhere = parent.datastore != self.spot().datastore;
        if elsewhere || disk.parent == ParentPlace::Absolute {
            let volume = &self.datastores.get(parent.datastore).uuid;
            format!("/vmfs/volumes/{volume}/{}", parent.path())
        } else {
            parent.name.clone()
        }
    }

    /// Adds the descriptor to what it describes.
    fn finish(
        &self,
        disk: &Disk,
        number: u32,
        kind: LinkKind,
        (create_type, extent_type): (&str, &str),
        parent_hint: Option<String>,
        extents: Vec<StoredFile>,
    ) -> Link {
        let content_id = self.content_id(disk, number);
        let sectors = |extent: &StoredFile| {
            if kind == LinkKind::Flat { extent.size_bytes / SECTOR } else { disk.size.0 / SECTOR }
        };
        let text = descriptor::text(&DescriptorText {
            cid: self.cid(disk, number),
            parent_cid: number.checked_sub(1).map(|below| self.cid(disk, below)),
            create_type,
            parent_hint: parent_hint.as_deref(),
            extent_type,
            extents: extents.iter().map(|extent| (sectors(extent), extent.name.as_str())).collect(),
            adapter: self.adapter,
            uuid: &identity::disk_uuid(self.vm, self.disk_index),
            content_id: &content_id,
            thin: kind == LinkKind::Flat && disk.thin,
            capacity_bytes: disk.size.0,
        });
        let spot = if number == 0 { self.base_spot(disk) } else { self.spot() };
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let name = format!("{}.vmdk", self.stem(number));
        let descriptor = self.file(spot, name, FileKind::DiskDescriptor, (len, len), Source::text(text));
        Link { kind, content_id, descriptor, extents }
    }

    fn file(
        &self,
        spot: &Spot,
        name: String,
        kind: FileKind,
        (size, allocated): (u64, u64),
        source: Source,
    ) -> StoredFile {
        StoredFile {
            datastore: spot.datastore,
            directory: spot.directory.clone(),
            name,
            kind,
            size_bytes: size,
            allocated_bytes: allocated,
            modified: super::EPOCH,
            lock: Lock::Free,
            source,
        }
    }
}

/// Returns when a file was last changed: later for each time that something was written or merged into it,
/// at a second that follows from what was written, so that other bytes come with another time.
fn changed(writes: &[Delta]) -> i64 {
    let hash = writes.iter().fold(0, |hash, delta| mix(hash ^ delta.seed ^ mix(u64::from(delta.share))));
    let steps = u64::try_from(writes.len()).unwrap_or(u64::MAX);
    let within = if writes.is_empty() { 0 } else { hash % CHANGE_SECONDS };
    super::EPOCH.saturating_add_unsigned(steps.saturating_mul(CHANGE_SECONDS).saturating_add(within))
}

/// Makes the encoder of a link.
pub(super) fn encode(kind: LinkKind, layer: Layer, capacity_bytes: u64) -> Source {
    match kind {
        LinkKind::Cowd => Source::Cowd(Arc::new(Cowd::new(layer, capacity_bytes))),
        LinkKind::SeSparse | LinkKind::Flat => Source::SeSparse(Arc::new(SeSparse::new(layer, capacity_bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_writes_come_with_another_time_and_more_of_them_with_a_later_one() {
        let delta = |seed| Delta { number: 1, seed, share: 9 };
        assert_eq!(changed(&[]), crate::datastore::EPOCH);
        assert_eq!(changed(&[delta(1)]), changed(&[delta(1)]));
        assert_ne!(changed(&[delta(1)]), changed(&[delta(2)]));
        assert_ne!(changed(&[delta(1)]), changed(&[Delta { share: 8, ..delta(1) }]));
        assert_ne!(changed(&[delta(1), delta(2)]), changed(&[delta(2), delta(1)]));
        for seed in 0..100 {
            assert!(changed(&[delta(seed)]) < changed(&[delta(seed + 1), delta(seed)]), "{seed}");
        }
    }
}
