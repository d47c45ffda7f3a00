//! The files of a virtual machine as its properties name them: `layoutEx`, `layout`, what disks stand on.
//!
//! Which files there are, [`crate::datastore`] knows; here they get keys and paths.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    VirtualDiskFlatVer2BackingInfo, VirtualMachineFileInfo, VirtualMachineFileLayout,
    VirtualMachineFileLayoutDiskLayout, VirtualMachineFileLayoutEx, VirtualMachineFileLayoutExDiskLayout,
    VirtualMachineFileLayoutExDiskUnit, VirtualMachineFileLayoutExFileInfo, VirtualMachineFileLayoutExSnapshotLayout,
    VirtualMachineFileLayoutSnapshotLayout,
};

use super::super::clock::civil_of;
use super::super::state::EPOCH;
use super::machine::Machine;
use crate::datastore::chain::{Link, LinkKind};
use crate::datastore::file::{FileKind, StoredFile};
use crate::datastore::machine::{self, MachineFiles, SnapshotFiles};
use crate::datastore::{VmNow, allocated_bytes};

/// The key of a file that a snapshot does not have.
const NO_FILE: i32 = -1;

impl Machine<'_> {
    /// Returns the path of a file in the VM's directory, `[datastore] directory/name`.
    pub(super) fn file(&self, name: &str) -> String {
        let spot = &self.home.spot;
        format!("[{}] {}/{name}", self.call.world.datastores.get(spot.datastore).name, spot.directory)
    }

    /// Returns the path of the configuration file.
    pub(super) fn vmx(&self) -> String {
        self.file(&format!("{}.vmx", self.home.spot.directory))
    }

    /// Returns `config.files`.
    pub(super) fn file_info(&self) -> VirtualMachineFileInfo {
        VirtualMachineFileInfo {
            vm_path_name: Some(self.vmx()),
            snapshot_directory: Some(self.file("")),
            suspend_directory: Some(self.file("")),
            log_directory: Some(self.file("")),
            ..VirtualMachineFileInfo::default()
        }
    }

    /// Returns about how many bytes of a disk hold data.
    pub(super) fn allocated(&self, index: usize) -> u64 {
        self.vm.disks.get(index).map_or(0, allocated_bytes)
    }

    /// Returns the datastores that hold files of the VM, that of its configuration first, and images in
    /// its drives, there or not.
    pub(super) fn datastores(&self) -> Vec<MoRef> {
        let mut used = self.home.datastores();
        for (_, image) in self.configured.images() {
            used.extend(self.call.datastore_of(self.place, image).filter(|number| !used.contains(number)));
        }
        used.into_iter().map(|datastore| self.call.datastore(datastore)).collect()
    }

    /// Returns what a disk stands on: the highest link, with what is below it as its parent.
    pub(super) fn backing(&self, disk: usize) -> Option<VirtualDiskFlatVer2BackingInfo> {
        let now = VmNow { home: self.home.clone(), deltas: self.deltas.to_vec(), ..VmNow::default() };
        let links = machine::chain(self.call.world, self.place.index, disk, &now)?;
        links.iter().fold(None, |below, link| Some(self.backing_of(disk, link, below)))
    }

    fn backing_of(
        &self,
        disk: usize,
        link: &Link,
        below: Option<VirtualDiskFlatVer2BackingInfo>,
    ) -> VirtualDiskFlatVer2BackingInfo {
        let delta_disk_format = match link.kind {
            LinkKind::Flat => None,
            LinkKind::Cowd => Some("redoLogFormat".to_owned()),
            LinkKind::SeSparse => Some("seSparseFormat".to_owned()),
        };
        let mut backing = VirtualDiskFlatVer2BackingInfo {
            disk_mode: self.vm.disks[disk].mode.clone(),
            split: Some(link.extents.len() > 1),
            write_through: Some(false),
            thin_provisioned: Some(self.vm.disks[disk].thin),
            uuid: Some(crate::identity::disk_uuid(self.vm, disk).to_string().to_uppercase()),
            content_id: Some(link.content_id.clone()),
            parent: below.map(Box::new),
            delta_disk_format,
            digest_enabled: Some(false),
            sharing: Some("sharingNone".to_owned()),
            ..VirtualDiskFlatVer2BackingInfo::default()
        };
        backing.file_name = self.path_of(&link.descriptor);
        backing.datastore = Some(self.call.datastore(link.descriptor.datastore));
        backing
    }

    /// Returns the lowest link of a disk.
    pub(super) fn base_of(&self, disk: usize) -> Option<Link> {
        let now = VmNow { home: self.home.clone(), ..VmNow::default() };
        machine::chain(self.call.world, self.place.index, disk, &now)?.into_iter().next()
    }

    pub(super) fn path_of(&self, file: &StoredFile) -> String {
        format!("[{}] {}", self.call.world.datastores.get(file.datastore).name, file.path())
    }

    fn files(&self) -> Option<(MachineFiles, Vec<SnapshotFiles>)> {
        if !self.is_readable() {
            return None;
        }
        let now = self.state.vms.get(self.place.index)?.now();
        let files = MachineFiles::of(self.call.world, self.place.index, &now);
        let snapshots = machine::snapshots(self.call.world, self.place.index, &now);
        Some((files, snapshots))
    }

    /// Returns `layoutEx`.
    pub(super) fn layout_ex(&self) -> Option<VirtualMachineFileLayoutEx> {
        let (files, snapshots) = self.files()?;
        let mut layout = VirtualMachineFileLayoutEx { timestamp: civil_of(EPOCH), ..Default::default() };
        for file in &files.small {
            self.add(&mut layout, file);
        }
        let mut chains = Vec::with_capacity(files.disks.len());
        for links in &files.disks {
            let unit = |link: &Link| {
                let files = std::iter::once(&link.descriptor).chain(&link.extents);
                VirtualMachineFileLayoutExDiskUnit { file_key: files.map(|file| self.add(&mut layout, file)).collect() }
            };
            chains.push(links.iter().map(unit).collect::<Vec<_>>());
        }
        let disk = |(index, chain): (usize, &[VirtualMachineFileLayoutExDiskUnit])| {
            let key = self.place.layout.disks.get(index).map_or(0, |place| place.key);
            VirtualMachineFileLayoutExDiskLayout { key, chain: chain.to_vec(), ..Default::default() }
        };
        layout.disk = chains.iter().enumerate().map(|(index, chain)| disk((index, chain))).collect();
        for snapshot in &snapshots {
            let data_key = self.add(&mut layout, &snapshot.state);
            let memory_key = snapshot.memory.as_ref().map_or(NO_FILE, |file| self.add(&mut layout, file));
            let parts = chains.iter().zip(&snapshot.links).map(|(chain, &links)| &chain[..links.min(chain.len())]);
            layout.snapshot.push(VirtualMachineFileLayoutExSnapshotLayout {
                key: MoRef::new("VirtualMachineSnapshot", &snapshot.moref),
                data_key,
                memory_key,
                disk: parts.enumerate().map(disk).collect(),
            });
        }
        Some(layout)
    }

    /// Adds a file and returns its key.
    fn add(&self, layout: &mut VirtualMachineFileLayoutEx, file: &StoredFile) -> i32 {
        let key = i32::try_from(layout.file.len()).unwrap_or(i32::MAX);
        let size = i64::try_from(file.allocated_bytes).unwrap_or(i64::MAX);
        layout.file.push(VirtualMachineFileLayoutExFileInfo {
            key,
            name: self.path_of(file),
            type_: file.kind.word().to_owned(),
            size,
            unique_size: Some(size),
            accessible: Some(true),
            ..VirtualMachineFileLayoutExFileInfo::default()
        });
        key
    }

    /// Returns `layout`, the older and smaller form.
    pub(super) fn layout(&self) -> Option<VirtualMachineFileLayout> {
        let (files, snapshots) = self.files()?;
        // Beside the configuration, which needs no naming, these are names in the VM's directory.
        let named = |kind| {
            let of = files.small.iter().filter(move |file| file.kind == kind);
            of.map(|file| file.name.clone()).collect::<Vec<_>>()
        };
        let disk = files.disks.iter().zip(&self.place.layout.disks).map(|(links, place)| {
            let disk_file = links.iter().map(|link| self.path_of(&link.descriptor)).collect();
            VirtualMachineFileLayoutDiskLayout { key: place.key, disk_file }
        });
        let snapshot = snapshots.iter().map(|snapshot| VirtualMachineFileLayoutSnapshotLayout {
            key: MoRef::new("VirtualMachineSnapshot", &snapshot.moref),
            snapshot_file: std::iter::once(&snapshot.state).chain(&snapshot.memory).map(|f| self.path_of(f)).collect(),
        });
        Some(VirtualMachineFileLayout {
            config_file: [FileKind::Nvram, FileKind::SnapshotList].into_iter().flat_map(named).collect(),
            log_file: named(FileKind::Log),
            disk: disk.collect(),
            snapshot: snapshot.collect(),
            swap_file: None,
        })
    }
}
