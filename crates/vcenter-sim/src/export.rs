//! The files of export leases: opened with a lease, fetched by ticket, dead with the lease.
//!
//! ```text
//!  soap (lease ready)    ──open──►  items with tickets
//!  nfc (GET /nfc/…)      ──fetch──► the file, and a guard while its stream runs
//!  soap (GetManifest)    ──sent──►  what was sent whole
//!  soap (lease is over)  ──close──► tickets die, running streams are cut
//! ```
//!
//! What a file's bytes hash to is kept for as long as the simulator runs, under what identifies the
//! content; so only the first complete stream of a disk is hashed, whoever fetches it.
//!
//! Deliberately absent: the state of a lease and its timeout (`soap` has them), and every lie.

mod running;

pub(crate) use running::RunningStream;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::content::{ContentKey, Delta, DiskContent, mix};
use crate::error::{Error, ErrorKind, Result};
use crate::faults::FileNames;
use crate::faults::rule::VmdkDamage;
use crate::hardware::{Layout, Place};
use crate::inventory::{Inventory, Personality, Vm};
use crate::stream::{Blob, Digests, FileStream};
use running::Running;

/// A file that a lease offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportItem {
    /// Key of the device: `/vm-62/ParaVirtualSCSIController0:0`, `/vm-62/nvram`.
    pub key: String,
    /// Path of its URL: `/nfc/TICKET/disk-0.vmdk`. Whoever knows it may fetch the file.
    pub path: String,
    /// File name: `disk-0.vmdk`.
    pub target_id: String,
    /// Whether it is a disk.
    pub disk: bool,
    /// Bytes, for what is no disk; the length of a disk's stream is not known beforehand.
    pub file_size: Option<u64>,
}

/// What a lease is to offer.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// The VM.
    pub vm: &'a Vm,
    /// Its reference.
    pub vm_moref: &'a str,
    /// Drives with image files in them.
    pub images: Vec<(Place, String)>,
    /// What the guest wrote above the disks, up to the state that is exported.
    pub deltas: &'a [Delta],
    /// Whether the nvram is offered, where the VM has one.
    pub nvram: bool,
    /// Whether it is a snapshot's, which leaves some disks out.
    pub of_snapshot: bool,
}

impl<'a> Offer<'a> {
    /// Returns a VM as its inventory has it.
    #[must_use]
    pub fn of(vm: &'a Vm, vm_moref: &'a str) -> Self {
        let drives = Layout::of(vm).map(|layout| layout.cdroms).unwrap_or_default();
        let images = drives.into_iter().zip(vm.isos.iter().cloned()).collect();
        Self { vm, vm_moref, images, deltas: &[], nvram: true, of_snapshot: false }
    }
}

/// A file that was sent from its first to its last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFile {
    /// Key of the device.
    pub key: String,
    /// Bytes sent.
    pub size: u64,
    /// SHA-1 of the bytes sent, lower-case hexadecimal.
    pub sha1: String,
    /// SHA-256 of the bytes sent.
    pub sha256: String,
    /// Whether it is a disk.
    pub disk: bool,
    /// Bytes of the disk.
    pub capacity: Option<u64>,
    /// Bytes of the disk that hold data.
    pub populated: Option<u64>,
}

/// The files of all leases.
#[derive(Debug)]
pub struct Exports {
    /// Disk contents by the path of their VM.
    disks: HashMap<String, Vec<Arc<DiskContent>>>,
    /// What the paths of URLs begin with.
    prefix: &'static str,
    digests: Mutex<HashMap<FileKey, Arc<Digests>>>,
    leases: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    by_id: HashMap<String, Arc<LeaseFiles>>,
    by_ticket: HashMap<String, Arc<LeaseFiles>>,
}

/// What identifies the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum FileKey {
    Disk(ContentKey),
    Blob { seed: u64, len_bytes: u64 },
}

/// The files of one lease.
#[derive(Debug)]
pub(crate) struct LeaseFiles {
    ticket: String,
    files: Vec<Arc<LeaseFile>>,
    running: Running,
}

/// One file of a lease.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    pub(crate) item: ExportItem,
    vm_path: String,
    source: FileSource,
    fetched: AtomicBool,
    sent: Mutex<Option<Arc<Digests>>>,
}

#[derive(Debug)]
enum FileSource {
    Disk(Arc<DiskContent>),
    Blob { seed: u64, len_bytes: u64 },
}

impl Exports {
    /// Opens the disks of an inventory.
    ///
    /// # Errors
    ///
    /// `Inventory` when the content of a disk is not there or longer than the disk.
    pub fn new(inventory: &Inventory) -> Result<Self> {
        let mut disks = HashMap::with_capacity(inventory.vms.len());
        for vm in &inventory.vms {
            let contents: Result<Vec<_>> = vm.disks.iter().map(|disk| DiskContent::open(disk).map(Arc::new)).collect();
            let contents = contents.map_err(|error| {
                Error::new(ErrorKind::Inventory, format!("VM `{}` has a disk without its content", vm.path))
                    .with_source(error)
            })?;
            disks.insert(vm.path.clone(), contents);
        }
        let prefix = match inventory.vcenter.personality {
            Personality::VCenter => "/nfc/",
            Personality::Esxi => "/ha-nfc/",
        };
        Ok(Self { disks, prefix, digests: Mutex::default(), leases: Mutex::default() })
    }

    /// Returns the content of a disk, by the path of its VM and its place in the inventory.
    #[must_use]
    pub fn disk(&self, vm_path: &str, index: usize) -> Option<Arc<DiskContent>> {
        self.disks.get(vm_path)?.get(index).cloned()
    }

    /// Offers the files of a VM as its inventory has it; see [`Self::open_offer`].
    pub fn open(&self, lease: &str, vm: &Vm, vm_moref: &str) -> Vec<ExportItem> {
        self.open_offer(lease, &Offer::of(vm, vm_moref))
    }

    /// Offers the files of a VM under a new ticket: disks, then nvram, then ISO images.
    ///
    /// A VM that is not of this simulator's inventory has no files. Files that the same lease offered
    /// before are closed.
    pub fn open_offer(&self, lease: &str, offer: &Offer<'_>) -> Vec<ExportItem> {
        self.close(lease);
        let ticket = uuid::Uuid::new_v4().to_string();
        let files = self.files_of(offer, &ticket);
        let items = files.iter().map(|file| file.item.clone()).collect();
        let files = Arc::new(LeaseFiles { ticket: ticket.clone(), files, running: Running::default() });
        let mut leases = lock(&self.leases);
        leases.by_ticket.insert(ticket, Arc::clone(&files));
        leases.by_id.insert(lease.to_owned(), files);
        items
    }

    /// Returns the files that were fully sent, in the order in which the lease offers them.
    #[must_use]
    pub fn sent(&self, lease: &str) -> Vec<SentFile> {
        let files = lock(&self.leases).by_id.get(lease).cloned();
        files.map_or_else(Vec::new, |lease| lease.files.iter().filter_map(|file| file.sent()).collect())
    }

    /// Returns what the paths of URLs begin with: `/nfc/`, or `/ha-nfc/` on a host without a vCenter.
    #[must_use]
    pub fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// Ends the tickets of a lease and cuts its streams.
    pub fn close(&self, lease: &str) {
        let files = {
            let mut leases = lock(&self.leases);
            let files = leases.by_id.remove(lease);
            if let Some(files) = &files {
                leases.by_ticket.remove(&files.ticket);
            }
            files
        };
        if let Some(files) = files {
            files.running.close();
        }
    }

    /// Returns the file behind the path of a URL, unless its ticket is dead.
    pub(crate) fn find(&self, path: &str) -> Option<(Arc<LeaseFiles>, Arc<LeaseFile>)> {
        let (ticket, name) = path.strip_prefix(self.prefix)?.split_once('/')?;
        let lease = lock(&self.leases).by_ticket.get(ticket).cloned()?;
        let file = lease.files.iter().find(|file| file.item.target_id == name).cloned()?;
        Some((lease, file))
    }

    /// Begins to make the bytes of a file; they are hashed when nobody has done so before, or when they
    /// are damaged.
    pub(crate) fn stream(&self, file: &LeaseFile, damage: Option<VmdkDamage>) -> io::Result<FileStream> {
        if let (FileSource::Disk(content), Some(damage)) = (&file.source, damage) {
            return FileStream::damaged_disk(Arc::clone(content), damage);
        }
        let hashed = !lock(&self.digests).contains_key(&file.source.key());
        match &file.source {
            FileSource::Disk(content) => FileStream::disk(Arc::clone(content), hashed),
            FileSource::Blob { seed, len_bytes } => Ok(FileStream::blob(Blob::new(*seed, *len_bytes), hashed)),
        }
    }

    /// Notes that a file was sent whole, with its digests if this stream has computed them.
    pub(crate) fn complete(&self, file: &LeaseFile, computed: Option<Digests>) {
        let key = file.source.key();
        let mut digests = lock(&self.digests);
        let known = match computed {
            Some(computed) => Arc::clone(digests.entry(key).or_insert_with(|| Arc::new(computed))),
            // A stream that does not hash began when the digests were there, and they stay.
            None => digests.get(&key).cloned().expect("a stream without digests finds those of an earlier one"),
        };
        *lock(&file.sent) = Some(known);
    }

    /// Notes that a file was sent whole with bytes that only this stream had.
    pub(crate) fn complete_damaged(&self, file: &LeaseFile, computed: Option<Digests>) {
        *lock(&file.sent) = computed.map(Arc::new);
    }

    fn files_of(&self, offer: &Offer<'_>, ticket: &str) -> Vec<Arc<LeaseFile>> {
        let Offer { vm, vm_moref, images, deltas, nvram, of_snapshot } = offer;
        let (Some(contents), Ok(layout)) = (self.disks.get(&vm.path), Layout::of(vm)) else {
            return Vec::new();
        };
        let offered = vm.disks.iter().zip(contents).zip(&layout.disks).enumerate();
        let offered = offered.filter(|(_, ((disk, _), _))| !of_snapshot || disk.is_in_snapshots());
        let disks = offered.map(|(index, ((disk, content), place))| {
            // What no snapshot holds has nothing above it.
            let deltas = if disk.is_in_snapshots() { *deltas } else { &[] };
            let source = FileSource::Disk(DiskContent::layered(content, index, deltas));
            (layout.export_key(vm_moref, place), format!("disk-{index}.vmdk"), source)
        });
        let nvram = (*nvram && vm.nvram_bytes > 0).then(|| {
            let source = FileSource::Blob { seed: text_seed(&vm.path), len_bytes: vm.nvram_bytes };
            (format!("/{vm_moref}/nvram"), "file-0.nvram".to_owned(), source)
        });
        let isos = (1..).zip(images).map(|(number, (place, iso))| {
            let seed = text_seed(iso);
            let source = FileSource::Blob { seed, len_bytes: iso_len_bytes(seed) };
            (layout.export_key(vm_moref, place), format!("file-{number}.iso"), source)
        });
        let file = |(key, target_id, source): (String, String, FileSource)| {
            let path = format!("{}{ticket}/{target_id}", self.prefix);
            let (disk, file_size) = match &source {
                FileSource::Disk(_) => (true, None),
                FileSource::Blob { len_bytes, .. } => (false, Some(*len_bytes)),
            };
            let item = ExportItem { key, path, target_id, disk, file_size };
            let vm_path = vm.path.clone();
            Arc::new(LeaseFile { item, vm_path, source, fetched: AtomicBool::new(false), sent: Mutex::default() })
        };
        disks.chain(nvram).chain(isos).map(file).collect()
    }
}

impl LeaseFile {
    /// Returns the names by which faults pick this file.
    pub(crate) fn names(&self) -> FileNames<'_> {
        FileNames { vm_path: &self.vm_path, key: &self.item.key, target_id: &self.item.target_id }
    }

    /// Marks the file as fetched and returns whether it was before.
    pub(crate) fn mark_fetched(&self) -> bool {
        self.fetched.swap(true, Ordering::AcqRel)
    }

    /// Returns whether making the bytes never waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        match &self.source {
            FileSource::Disk(content) => content.is_in_memory(),
            FileSource::Blob { .. } => true,
        }
    }

    fn sent(&self) -> Option<SentFile> {
        let digests = lock(&self.sent).clone()?;
        let capacity = match &self.source {
            FileSource::Disk(content) => Some(content.capacity_bytes()),
            FileSource::Blob { .. } => None,
        };
        Some(SentFile {
            key: self.item.key.clone(),
            size: digests.size,
            sha1: digests.sha1.clone(),
            sha256: digests.sha256.clone(),
            disk: self.item.disk,
            capacity,
            populated: digests.populated,
        })
    }
}

impl FileSource {
    fn key(&self) -> FileKey {
        match self {
            Self::Disk(content) => FileKey::Disk(content.key()),
            Self::Blob { seed, len_bytes } => FileKey::Blob { seed: *seed, len_bytes: *len_bytes },
        }
    }
}

/// Returns the made-up size of an ISO image: 1 to 5 MiB in sectors of a CD.
pub(crate) fn iso_len_bytes(seed: u64) -> u64 {
    const CD_SECTOR_BYTES: u64 = 2048;
    (512 + seed % 2048) * CD_SECTOR_BYTES
}

/// Returns a seed that follows from a text.
pub(crate) fn text_seed(text: &str) -> u64 {
    text.bytes().fold(0, |seed, byte| mix(seed ^ u64::from(byte)))
}

/// No holder of these locks can leave a value half-changed, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
