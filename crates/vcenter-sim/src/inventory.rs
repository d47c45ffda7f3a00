//! The simulated inventory, read from a TOML file: what exists, before anything happens to it.
//!
//! Here are the types and the questions that everybody asks of them. [`Inventory::load`] (in
//! `load.rs`) reads a file and refuses, by name, what contradicts itself; so the rest of the crate
//! may rely on a datacenter, a host and a place for every device. Nothing here changes while the
//! simulator runs.

mod copies;
mod guest;
pub(crate) mod layout;
mod load;
pub(crate) mod rules;
mod scenario;
mod server;
mod size;

use std::path::PathBuf;

use serde::Deserialize;

use crate::faults::{Rule, Settings};
pub use guest::{SNAPSHOTS_MAX, Snapshot, Tools};
pub use layout::{DiskLayout, ParentPlace};
pub(crate) use load::is_datastore_path;
pub use scenario::{SCENARIOS, Scenario};
pub use server::{Personality, VCenter};
pub use size::Size;

/// Everything that a simulated vCenter knows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The server itself.
    #[serde(default)]
    pub vcenter: VCenter,
    /// The account that every host has of its own; without one, hosts know tickets only.
    #[serde(default)]
    pub host_account: Option<Account>,
    /// Datacenters.
    #[serde(default, rename = "datacenter")]
    pub datacenters: Vec<Datacenter>,
    /// Virtual machines and templates.
    #[serde(default, rename = "vm")]
    pub vms: Vec<Vm>,
    /// Switches and faults that the scenario begins with.
    #[serde(default)]
    pub faults: Settings,
    /// Rules that the scenario begins with.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

impl Inventory {
    /// Returns the datacenter that a VM's path names.
    #[must_use]
    pub fn datacenter_of(&self, vm: &Vm) -> Option<&Datacenter> {
        self.datacenters.iter().find(|datacenter| vm.folder_path_in(datacenter).is_some())
    }

    /// Returns the name of the host that runs a VM.
    #[must_use]
    pub fn host_of<'a>(&'a self, vm: &'a Vm) -> Option<&'a str> {
        vm.host.as_deref().or_else(|| self.datacenter_of(vm)?.hosts.first().map(String::as_str))
    }

    /// Returns the name of the datastore that holds a VM.
    #[must_use]
    pub fn datastore_of<'a>(&'a self, vm: &'a Vm) -> Option<&'a str> {
        vm.datastore.as_deref().or_else(|| self.datacenter_of(vm)?.datastores.first().map(String::as_str))
    }

    /// Returns the VM with an inventory path.
    #[must_use]
    pub fn vm(&self, path: &str) -> Option<&Vm> {
        self.vms.iter().find(|vm| vm.path == path)
    }
}

/// A datacenter with its hosts and datastores.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datacenter {
    /// Name as stored (escaped: `%2f` for a slash).
    pub name: String,
    /// Folders above it, outermost first, separated by slashes; empty for none.
    #[serde(default)]
    pub folder: String,
    /// Names of its ESXi hosts; each gets a port and a certificate of its own.
    #[serde(default = "one_host")]
    pub hosts: Vec<String>,
    /// Clusters of its hosts; a host that is in none stands alone.
    #[serde(default, rename = "cluster")]
    pub clusters: Vec<Cluster>,
    /// Names of its datastores.
    #[serde(default = "one_datastore")]
    pub datastores: Vec<String>,
    /// Those of its datastores that are formatted with VMFS 5; the others are VMFS 6.
    #[serde(default)]
    pub vmfs5: Vec<String>,
    /// Names of its networks.
    #[serde(default = "one_network")]
    pub networks: Vec<String>,
}

impl Datacenter {
    /// Returns the inventory path: the folders above it and its name.
    #[must_use]
    pub fn path(&self) -> String {
        if self.folder.is_empty() { self.name.clone() } else { format!("{}/{}", self.folder, self.name) }
    }
}

/// Hosts that share one resource pool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name as stored.
    pub name: String,
    /// Its hosts, each one of the datacenter's.
    pub hosts: Vec<String>,
}

fn one_host() -> Vec<String> {
    vec!["esx1.sim.invalid".to_owned()]
}

fn one_datastore() -> Vec<String> {
    vec!["datastore1".to_owned()]
}

fn one_network() -> Vec<String> {
    vec!["VM Network".to_owned()]
}

/// A virtual machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// Inventory path as stored: `DC0/vm/web/web01`. Folders in it are made. The datacenter's own
    /// folders come first: `Lab/DC0/vm/web01`.
    ///
    /// With `copies` it holds `{n}`, which becomes the number of the copy, and may hold `{hundred}`.
    pub path: String,
    /// How many VMs like this one there are.
    #[serde(default = "one_copy")]
    pub copies: u32,
    /// Name of a vApp that holds the VM; then it has `parentVApp` and no `parent`.
    #[serde(default)]
    pub vapp: Option<String>,
    /// Host that runs it; the datacenter's first by default.
    #[serde(default)]
    pub host: Option<String>,
    /// Datastore of its files; the datacenter's first by default.
    #[serde(default)]
    pub datastore: Option<String>,
    /// Network of its only adapter; the datacenter's first by default.
    #[serde(default)]
    pub network: Option<String>,
    /// `poweredOff`, `poweredOn` or `suspended`.
    #[serde(default = "powered_off")]
    pub power: String,
    /// `connected`, `disconnected`, `orphaned`, `inaccessible` or `invalid`; other than the first
    /// it has no `config`.
    #[serde(default = "connected")]
    pub connection: String,
    /// True for a template.
    #[serde(default)]
    pub template: bool,
    /// True when it is encrypted: it has a `config.keyId`, and no export.
    #[serde(default)]
    pub encrypted: bool,
    /// Property paths, with all below them, that the account may not read: `config`, `guest.net`.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// Number of virtual CPUs.
    #[serde(default = "one_cpu")]
    pub cpus: i32,
    /// Memory in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: i32,
    /// `guestId`.
    #[serde(default = "default_guest")]
    pub guest_id: String,
    /// `bios` or `efi`.
    #[serde(default = "bios")]
    pub firmware: String,
    /// `config.annotation`.
    #[serde(default)]
    pub annotation: String,
    /// Fixed `instanceUuid`; made from the path when missing.
    #[serde(default)]
    pub instance_uuid: Option<String>,
    /// Size of the nvram file in bytes; 0 for none.
    #[serde(default = "default_nvram")]
    pub nvram_bytes: u64,
    /// Disks in the order of their keys.
    #[serde(default, rename = "disk")]
    pub disks: Vec<Disk>,
    /// Paths of ISO images in CD-ROM drives, `[datastore] dir/x.iso`; sizes for export are made up.
    #[serde(default)]
    pub isos: Vec<String>,
    /// Those of `isos` that the drive names but the datastore does not have.
    #[serde(default)]
    pub missing_isos: Vec<String>,
    /// `running`, `notRunning` or `notInstalled`: VMware Tools in the guest, while the VM is on.
    #[serde(default)]
    pub tools: Tools,
    /// Seconds from `ShutdownGuest`, `RebootGuest` or `StandbyGuest` to their effect.
    #[serde(default = "guest::default_shutdown")]
    pub shutdown_s: f64,
    /// Part of the grains (64 KiB) of each disk that the guest writes above each snapshot, 0.0 to 1.0.
    #[serde(default)]
    pub guest_writes: f64,
    /// Snapshots that it has from the start, each the child of the one before.
    #[serde(default, rename = "snapshot")]
    pub snapshots: Vec<Snapshot>,
}

impl Vm {
    /// Returns the name as stored (escaped), the last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Returns the folders between the datacenter's `vm` folder and the VM, `web` or `a/b` or nothing; or
    /// `None` when the VM lies in another datacenter.
    #[must_use]
    pub fn folder_path_in(&self, datacenter: &Datacenter) -> Option<&str> {
        let rest = self.path.strip_prefix(datacenter.path().as_str())?.strip_prefix("/vm/")?;
        Some(rest.rsplit_once('/').map_or("", |(folders, _)| folders))
    }
}

fn one_copy() -> u32 {
    1
}

fn powered_off() -> String {
    "poweredOff".to_owned()
}

fn connected() -> String {
    "connected".to_owned()
}

fn one_cpu() -> i32 {
    1
}

fn default_memory() -> i32 {
    1024
}

fn default_guest() -> String {
    "debian12_64Guest".to_owned()
}

fn bios() -> String {
    "bios".to_owned()
}

/// Size of a BIOS machine's nvram file on real hosts.
fn default_nvram() -> u64 {
    8684
}

/// A virtual disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Capacity: a number of bytes, or a text with KiB, MiB, GiB, TiB. A multiple of 512.
    pub size: Size,
    /// `pvscsi`, `lsilogic`, `lsilogicsas`, `buslogic`, `nvme`, `sata` or `ide`.
    #[serde(default = "pvscsi")]
    pub controller: String,
    /// Bus number of the controller.
    #[serde(default)]
    pub bus: i32,
    /// What is on it.
    #[serde(default)]
    pub content: Content,
    /// How its files hold the bytes: `flat`, `split`, `delta` or `sesparse`.
    #[serde(default)]
    pub layout: DiskLayout,
    /// Whether its base is thin-provisioned.
    #[serde(default = "thin")]
    pub thin: bool,
    /// Links above the base, of the kind that `layout` says or else the datastore prefers; one for `delta`
    /// and `sesparse` unless said otherwise.
    #[serde(default)]
    pub links: Option<u32>,
    /// Bytes of each extent but the last of a `split` disk; 2047 MiB unless said otherwise.
    #[serde(default)]
    pub extent_size: Option<Size>,
    /// Where links look for the base: `beside` them by a relative name, by its `absolute` name, or on
    /// another datastore, `[datastore2]`.
    #[serde(default)]
    pub parent: ParentPlace,
    /// `flat`, `rdm-virtual` or `rdm-physical`: the last two stand for a LUN of a storage array.
    #[serde(default = "flat")]
    pub backing: String,
    /// `diskMode`: `persistent`, `nonpersistent`, `undoable`, `append`, `independent_persistent` or
    /// `independent_nonpersistent`; the last two are in no snapshot.
    #[serde(default = "persistent")]
    pub mode: String,
    /// Path of its descriptor, `[datastore] dir/x.vmdk`, in a directory that no other VM has; made from
    /// the VM's name when missing.
    #[serde(default)]
    pub file: Option<String>,
}

impl Disk {
    /// Makes a plain disk: thin and flat, on the first paravirtual bus.
    #[must_use]
    pub fn new(size_bytes: u64, content: Content) -> Self {
        Self {
            size: Size(size_bytes),
            controller: pvscsi(),
            bus: 0,
            content,
            layout: DiskLayout::default(),
            thin: thin(),
            links: None,
            extent_size: None,
            parent: ParentPlace::default(),
            backing: flat(),
            mode: persistent(),
            file: None,
        }
    }

    /// Returns how many links stand above the base.
    #[must_use]
    pub fn link_count(&self) -> u32 {
        self.links.unwrap_or_else(|| u32::from(self.layout.is_link()))
    }

    /// Returns whether it stands for a LUN whose bytes no host hands out.
    #[must_use]
    pub fn is_physical(&self) -> bool {
        self.backing == "rdm-physical"
    }

    /// Returns whether snapshots keep its state: not of an independent one, nor of a physical LUN.
    #[must_use]
    pub fn is_in_snapshots(&self) -> bool {
        !self.mode.starts_with("independent_") && !self.is_physical()
    }
}

fn flat() -> String {
    "flat".to_owned()
}

fn persistent() -> String {
    "persistent".to_owned()
}

fn thin() -> bool {
    true
}

fn pvscsi() -> String {
    "pvscsi".to_owned()
}

/// An account.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a disk holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
pub enum Content {
    /// Grains drawn from a pool by a seeded generator, so that any size costs nothing.
    Seeded {
        /// Same seed, same bytes.
        seed: u64,
        /// Part of the grains that hold data, 0.0 to 1.0.
        fill: f64,
        /// Part of a grain's bytes that deflate can remove, 0.0 to 1.0.
        compressibility: f64,
    },
    /// The bytes of a file; it is as long as the disk or shorter (then zeros follow).
    File {
        /// Path, relative to the inventory file.
        path: PathBuf,
    },
}

impl Default for Content {
    fn default() -> Self {
        Self::Seeded { seed: 1, fill: 0.0, compressibility: 0.5 }
    }
}
