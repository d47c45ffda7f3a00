//! Reads an inventory and refuses what cannot be simulated.
//!
//! Every refusal names the thing and the rule, because the reader is somebody who has just written
//! a scenario by hand.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Content, Datacenter, Disk, Inventory, Vm, rules};
use crate::error::{Error, ErrorKind, Result};
use crate::hardware::Layout;

/// Longest inventory file that is read: 10,000 VMs with disks take about 3 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Largest disk: what vSphere allows (62 TiB) and the stream writer can express, rounded to its limit.
const DISK_BYTES_MAX: u64 = 64 << 40;

/// Largest nvram file; it is made in memory-sized pieces, but nobody has one beyond some hundred KiB.
const NVRAM_BYTES_MAX: u64 = 16 << 20;

const POWER_STATES: [&str; 3] = ["poweredOff", "poweredOn", "suspended"];
const CONNECTION_STATES: [&str; 5] = ["connected", "disconnected", "orphaned", "inaccessible", "invalid"];
const FIRMWARES: [&str; 2] = ["bios", "efi"];

impl Inventory {
    /// Reads an inventory from a file.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be read, `Inventory` when it does not parse or contradicts itself.
    pub fn load(path: &Path) -> Result<Self> {
        let io = |source| {
            Error::new(ErrorKind::Io, format!("cannot read the inventory {}", path.display())).with_source(source)
        };
        let len = std::fs::metadata(path).map_err(io)?.len();
        if len > FILE_BYTES_MAX {
            return Err(broken(format!("the inventory {} has more than {FILE_BYTES_MAX} bytes", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        Self::parse(&text, path.parent().unwrap_or_else(|| Path::new(".")))
    }

    /// Reads an inventory from TOML text; disk contents from files are relative to `base`.
    ///
    /// # Errors
    ///
    /// `Inventory` when the text does not parse or contradicts itself.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let mut inventory: Self =
            toml::from_str(text).map_err(|source| broken("the inventory is not understood").with_source(source))?;
        inventory.expand_copies()?;
        for disk in inventory.vms.iter_mut().flat_map(|vm| &mut vm.disks) {
            if let Content::File { path } = &mut disk.content {
                *path = base.join(&path);
            }
        }
        inventory.name_networks();
        inventory.validate()?;
        Ok(inventory)
    }

    /// Writes the default network of each VM out, so that a VM can be described without its inventory.
    fn name_networks(&mut self) {
        for vm in &mut self.vms {
            let datacenter = self.datacenters.iter().find(|datacenter| vm.folder_path_in(datacenter).is_some());
            if vm.network.is_none() {
                vm.network = datacenter.and_then(|datacenter| datacenter.networks.first()).cloned();
            }
        }
    }

    /// Checks that everything that is named exists and that every device has a place.
    ///
    /// # Errors
    ///
    /// `Inventory`, naming the first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.datacenters.is_empty() {
            return Err(broken("an inventory has at least one `[[datacenter]]`"));
        }
        let mut hosts = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for datacenter in &self.datacenters {
            check_datacenter(datacenter)?;
            rules::check_clusters(datacenter).map_err(broken)?;
            if !paths.insert(datacenter.path()) {
                return Err(broken(format!("there are two datacenters `{}`", datacenter.path())));
            }
            for host in &datacenter.hosts {
                if !hosts.insert(host) {
                    return Err(broken(format!("there are two hosts `{host}`")));
                }
            }
        }
        rules::check_server(self).map_err(broken)?;
        let mut vms = BTreeSet::new();
        for vm in &self.vms {
            if !vms.insert(&vm.path) {
                return Err(broken(format!("there are two VMs `{}`", vm.path)));
            }
            self.check_vm(vm).map_err(|rule| broken(format!("VM `{}`: {rule}", vm.path)))?;
        }
        rules::check_files(self).map_err(broken)
    }

    fn check_vm(&self, vm: &Vm) -> std::result::Result<(), String> {
        let Some(datacenter) = self.datacenter_of(vm) else {
            return Err("its path is not DATACENTER/vm/[FOLDER/…]NAME with a datacenter of this inventory".to_owned());
        };
        if vm.path.split('/').any(str::is_empty) {
            return Err("no part of its path is empty".to_owned());
        }
        known("host", vm.host.as_deref(), &datacenter.hosts)?;
        known("datastore", vm.datastore.as_deref(), &datacenter.datastores)?;
        known("network", vm.network.as_deref(), &datacenter.networks)?;
        one_of("power", &vm.power, &POWER_STATES)?;
        one_of("connection", &vm.connection, &CONNECTION_STATES)?;
        one_of("firmware", &vm.firmware, &FIRMWARES)?;
        if vm.cpus < 1 || vm.memory_mib < 1 {
            return Err("it has at least one CPU and 1 MiB of memory".to_owned());
        }
        if let Some(text) = &vm.instance_uuid {
            uuid::Uuid::parse_str(text).map_err(|error| format!("`{text}` is no UUID: {error}"))?;
        }
        if vm.nvram_bytes > NVRAM_BYTES_MAX {
            return Err(format!("its nvram file has at most {NVRAM_BYTES_MAX} bytes"));
        }
        for (index, disk) in vm.disks.iter().enumerate() {
            let checked = check_disk(disk).and_then(|()| disk.check_layout(datacenter));
            let checked = checked.and_then(|()| rules::check_disk(disk, datacenter));
            checked.map_err(|rule| format!("disk {index}: {rule}"))?;
        }
        rules::check_vm(vm)?;
        if let Some(iso) = vm.isos.iter().find(|iso| !is_datastore_path(iso)) {
            return Err(format!("`{iso}` is not of the form `[datastore] dir/x.iso`"));
        }
        super::guest::check(vm)?;
        Layout::of(vm).map(drop)
    }
}

fn check_datacenter(datacenter: &Datacenter) -> Result<()> {
    let name = &datacenter.name;
    let named = |list: &[String]| !list.is_empty() && list.iter().all(|name| !name.is_empty());
    if name.is_empty() || name.contains('/') {
        return Err(broken(format!("`{name}` is no name of a datacenter: it has no slash (`%2f` stands for one)")));
    }
    if !datacenter.folder.is_empty() && datacenter.folder.split('/').any(str::is_empty) {
        return Err(broken(format!("datacenter `{name}`: no part of `folder` is empty")));
    }
    if let Some(name) = datacenter.vmfs5.iter().find(|&name| !datacenter.datastores.contains(name)) {
        return Err(broken(format!("datacenter `{}`: `vmfs5` names no datastore `{name}`", datacenter.name)));
    }
    if !named(&datacenter.hosts) || !named(&datacenter.datastores) || !named(&datacenter.networks) {
        return Err(broken(format!("datacenter `{name}`: it has at least one host, datastore and network")));
    }
    Ok(())
}

fn check_disk(disk: &Disk) -> std::result::Result<(), String> {
    let bytes = disk.size.0;
    if bytes == 0 || !bytes.is_multiple_of(512) || bytes > DISK_BYTES_MAX {
        return Err(format!("{bytes} bytes are not a multiple of 512 up to 64 TiB"));
    }
    if let Content::Seeded { fill, compressibility, .. } = disk.content {
        for (name, part) in [("fill", fill), ("compressibility", compressibility)] {
            if !(0.0..=1.0).contains(&part) {
                return Err(format!("`{name}` is 0.0 to 1.0, not {part}"));
            }
        }
    }
    Ok(())
}

fn known(what: &str, name: Option<&str>, list: &[String]) -> std::result::Result<(), String> {
    match name {
        Some(name) if !list.iter().any(|known| known == name) => Err(format!("its datacenter has no {what} `{name}`")),
        _ => Ok(()),
    }
}

pub(super) fn one_of(what: &str, word: &str, words: &[&str]) -> std::result::Result<(), String> {
    if words.contains(&word) {
        return Ok(());
    }
    Err(format!("`{what}` is one of {}, not `{word}`", words.join(", ")))
}

/// Returns whether a text has the form `[datastore] dir/file`.
pub(crate) fn is_datastore_path(text: &str) -> bool {
    let parts = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    parts.is_some_and(|(datastore, path)| !datastore.is_empty() && !path.is_empty())
}

pub(super) fn broken(rule: impl Into<String>) -> Error {
    Error::new(ErrorKind::Inventory, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Inventory> {
        Inventory::parse(text, Path::new("/base"))
    }

    fn with_vm(vm: &str) -> String {
        format!("[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/web/web01\"\n{vm}")
    }

    #[test]
    fn little_text_is_enough() {
        let inventory = parse(&with_vm("")).unwrap();
        let vm = inventory.vm("DC0/vm/web/web01").unwrap();
        assert_eq!(vm.name(), "web01");
        assert_eq!(vm.folder_path_in(&inventory.datacenters[0]), Some("web"));
        assert_eq!(inventory.host_of(vm), Some("esx1.sim.invalid"));
        assert_eq!(inventory.datastore_of(vm), Some("datastore1"));
        assert_eq!(vm.network.as_deref(), Some("VM Network"));
        assert_eq!(inventory.faults, crate::faults::Settings::default());
    }

    #[test]
    fn datacenters_lie_in_folders_and_their_names_may_start_alike() {
        let inventory = parse(
            "[[datacenter]]\nname = \"DC\"\nhosts = [\"a\"]\n\
             [[datacenter]]\nname = \"DC\"\nfolder = \"Lab/EU\"\nhosts = [\"b\"]\n\
             [[datacenter]]\nname = \"DC1\"\nhosts = [\"c\"]\n\
             [[vm]]\npath = \"Lab/EU/DC/vm/x\"\n[[vm]]\npath = \"DC1/vm/x\"\n",
        )
        .unwrap();
        assert_eq!(inventory.host_of(&inventory.vms[0]), Some("b"));
        assert_eq!(inventory.host_of(&inventory.vms[1]), Some("c"));
    }

    #[test]
    fn contents_from_files_are_relative_to_the_inventory() {
        let text = with_vm("[[vm.disk]]\nsize = 512\ncontent = { kind = \"file\", path = \"d/x.raw\" }\n");
        let inventory = parse(&text).unwrap();
        let Content::File { path } = &inventory.vms[0].disks[0].content else { panic!("not a file") };
        assert_eq!(path, Path::new("/base/d/x.raw"));
    }

    #[test]
    fn faults_are_part_of_a_scenario() {
        let inventory = parse(&format!("{}[faults]\nlease_timeout_s = 2\n", with_vm(""))).unwrap();
        assert_eq!(inventory.faults.lease_timeout_s, 2);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let disk = |text: &str| with_vm(&format!("[[vm.disk]]\n{text}\n"));
        let cases = [
            (String::new(), "at least one `[[datacenter]]`"),
            ("[[datacentre]]\n".to_owned(), "not understood"),
            ("[[datacenter]]\nname = \"a/b\"\n".to_owned(), "a/b"),
            ("[[datacenter]]\nname = \"a\"\nhosts = []\n".to_owned(), "at least one host"),
            ("[[datacenter]]\nname = \"a\"\n[[datacenter]]\nname = \"b\"\n".to_owned(), "two hosts"),
            (format!("{}[[vm]]\npath = \"DC0/vm/web/web01\"\n", with_vm("")), "two VMs"),
            (with_vm("").replace("DC0/vm/web", "DC1/vm"), "datacenter of this inventory"),
            (with_vm("").replace("vm/web/", "vm/web//"), "is empty"),
            (with_vm("host = \"esx9\"\n"), "no host `esx9`"),
            (with_vm("datastore = \"ds9\"\n"), "no datastore `ds9`"),
            (with_vm("network = \"net9\"\n"), "no network `net9`"),
            (with_vm("power = \"on\"\n"), "poweredOff, poweredOn, suspended, not `on`"),
            (with_vm("connection = \"lost\"\n"), "`lost`"),
            (with_vm("firmware = \"uefi\"\n"), "`uefi`"),
            (with_vm("cpus = 0\n"), "at least one CPU"),
            (with_vm("instance_uuid = \"x\"\n"), "no UUID"),
            (with_vm("nvram_bytes = 100000000\n"), "nvram"),
            (with_vm("isos = [\"x.iso\"]\n"), "`x.iso`"),
            (with_vm("tools = \"old\"\n"), "not understood"),
            (with_vm("shutdown_s = -1.0\n"), "`shutdown_s`"),
            (with_vm("guest_writes = 1.5\n"), "`guest_writes`"),
            (with_vm("template = true\n[[vm.snapshot]]\nname = \"a\"\n"), "no snapshots"),
            (with_vm("[[vm.snapshot]]\nname = \"\"\n"), "has a name"),
            (with_vm(&"[[vm.snapshot]]\nname = \"a\"\n".repeat(33)), "at most 32 snapshots"),
            (disk("size = 1000"), "disk 0: 1000 bytes"),
            (disk("size = 0"), "disk 0: 0 bytes"),
            (disk("size = \"65 TiB\""), "64 TiB"),
            (disk("size = 512\ncontroller = \"scsi\""), "`scsi`"),
            (disk("size = 512\ncontent = { kind = \"seeded\", seed = 1, fill = 1.5, compressibility = 0.5 }"), "1.5"),
        ];
        for (text, word) in cases {
            let error = parse(&text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Inventory);
            assert!(error.to_string().contains(word), "{error} instead of {word}");
        }
    }
}
