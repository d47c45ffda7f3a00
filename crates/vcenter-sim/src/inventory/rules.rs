//! Rules about clusters, personalities and the rarer words of a VM. `load.rs` asks them.

use std::collections::{BTreeMap, BTreeSet};

use super::load::one_of;
use super::{Datacenter, Disk, DiskLayout, Inventory, ParentPlace, Personality, Vm};
use crate::faults::rule::privilege;

/// The only datacenter of a host.
pub(super) const ESXI_DATACENTER: &str = "ha-datacenter";

const BACKINGS: [&str; 3] = ["flat", "rdm-virtual", "rdm-physical"];
const MODES: [&str; 6] =
    ["persistent", "nonpersistent", "undoable", "append", "independent_persistent", "independent_nonpersistent"];

/// Checks that each cluster has hosts of this datacenter that no other cluster has.
pub(super) fn check_clusters(datacenter: &Datacenter) -> Result<(), String> {
    let broken = |cluster: &str, rule: String| Err(format!("cluster `{}/{cluster}`: {rule}", datacenter.path()));
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut clustered: BTreeSet<&str> = BTreeSet::new();
    for cluster in &datacenter.clusters {
        let name = cluster.name.as_str();
        if name.is_empty() || name.contains('/') {
            return broken(name, "its name is not empty and has no slash".to_owned());
        }
        if !names.insert(name) || datacenter.hosts.iter().any(|host| host == name) {
            return broken(name, "its name is that of another cluster or host".to_owned());
        }
        if cluster.hosts.is_empty() {
            return broken(name, "it has at least one host".to_owned());
        }
        for host in &cluster.hosts {
            if !datacenter.hosts.contains(host) {
                return broken(name, format!("its datacenter has no host `{host}`"));
            }
            if !clustered.insert(host) {
                return broken(name, format!("host `{host}` is in a cluster already"));
            }
        }
    }
    Ok(())
}

/// Checks what the server's personality asks of the rest.
pub(super) fn check_server(inventory: &Inventory) -> Result<(), String> {
    if inventory.vcenter.sessions_max == 0 {
        return Err("`sessions_max` is at least 1".to_owned());
    }
    let denied = &inventory.vcenter.denied_privileges;
    if let Some(unknown) = denied.iter().find(|name| !privilege::known().any(|known| known == name.as_str())) {
        let known = privilege::known().collect::<Vec<_>>().join(", ");
        return Err(format!("`denied_privileges` may name {known}; not `{unknown}`"));
    }
    if inventory.vcenter.personality == Personality::VCenter {
        return Ok(());
    }
    let [datacenter] = inventory.datacenters.as_slice() else {
        return Err(format!("an ESXi host has one datacenter, `{ESXI_DATACENTER}`"));
    };
    if datacenter.path() != ESXI_DATACENTER {
        return Err(format!("the datacenter of an ESXi host is `{ESXI_DATACENTER}`, not `{}`", datacenter.path()));
    }
    if datacenter.hosts.len() != 1 || !datacenter.clusters.is_empty() {
        return Err("an ESXi host has itself as its only host, and no cluster".to_owned());
    }
    let in_folder = |vm: &&Vm| vm.vapp.is_some() || vm.folder_path_in(datacenter).is_some_and(|path| !path.is_empty());
    match inventory.vms.iter().find(in_folder) {
        Some(vm) => Err(format!("VM `{}`: an ESXi host has neither folders nor vApps", vm.path)),
        None => Ok(()),
    }
}

/// Checks the rarer words of a VM.
pub(super) fn check_vm(vm: &Vm) -> Result<(), String> {
    if let Some(iso) = vm.missing_isos.iter().find(|iso| !vm.isos.contains(iso)) {
        return Err(format!("`{iso}` is missing, but `isos` does not name it"));
    }
    match vm.unreadable.iter().find(|path| path.is_empty() || path.contains(['[', ' '])) {
        Some(path) => Err(format!("`{path}` in `unreadable` is no property path")),
        None => Ok(()),
    }
}

/// Checks the rarer words of a disk.
pub(super) fn check_disk(disk: &Disk, datacenter: &Datacenter) -> Result<(), String> {
    one_of("backing", &disk.backing, &BACKINGS)?;
    one_of("mode", &disk.mode, &MODES)?;
    if disk.backing != "flat" && (disk.link_count() > 0 || disk.layout != DiskLayout::Flat) {
        return Err(format!("a disk with backing `{}` has no links and no other layout", disk.backing));
    }
    let Some(file) = &disk.file else { return Ok(()) };
    let Some((datastore, _, _)) = parts_of(file) else {
        return Err(format!("`{file}` is not of the form `[datastore] dir/x.vmdk`"));
    };
    if disk.parent != ParentPlace::default() {
        return Err("it has `file` or `parent`, not both".to_owned());
    }
    match datacenter.datastores.iter().any(|known| known == datastore) {
        true => Ok(()),
        false => Err(format!("its datacenter has no datastore `{datastore}`")),
    }
}

/// Checks that no two disks say that they are in one file: each would have other bytes there.
pub(super) fn check_files(inventory: &Inventory) -> Result<(), String> {
    let mut files = BTreeMap::new();
    for vm in &inventory.vms {
        let Some(datacenter) = inventory.datacenter_of(vm).map(Datacenter::path) else { continue };
        for file in vm.disks.iter().filter_map(|disk| disk.file.as_deref()) {
            if let Some(other) = files.insert((datacenter.clone(), file), &vm.path) {
                return Err(format!("VM `{}`: VM `{other}` has a disk in `{file}` already", vm.path));
            }
        }
    }
    Ok(())
}

/// Splits `[datastore] dir/x.vmdk` into datastore, directory and `x`.
pub(crate) fn parts_of(file: &str) -> Option<(&str, &str, &str)> {
    let (datastore, path) = file.strip_prefix('[')?.split_once("] ")?;
    let (directory, name) = path.rsplit_once('/')?;
    let stem = name.strip_suffix(".vmdk")?;
    let whole = [datastore, directory, stem].iter().all(|part| !part.is_empty()) && !directory.contains('/');
    whole.then_some((datastore, directory, stem))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<Inventory, String> {
        Inventory::parse(text, Path::new(".")).map_err(|error| error.to_string())
    }

    fn esxi(rest: &str) -> String {
        format!("[vcenter]\npersonality = \"esxi\"\n[[datacenter]]\nname = \"ha-datacenter\"\n{rest}")
    }

    #[test]
    fn an_esxi_host_with_vms_is_understood() {
        let inventory = parse(&esxi("[[vm]]\npath = \"ha-datacenter/vm/web01\"\n")).unwrap();
        assert_eq!(inventory.vcenter.username, "root");
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        let lab = |rest: &str| format!("[[datacenter]]\nname = \"DC0\"\nhosts = [\"a\", \"b\"]\n{rest}");
        let vm = |rest: &str| lab(&format!("[[vm]]\npath = \"DC0/vm/x\"\n{rest}"));
        let cases = [
            (lab("[[datacenter.cluster]]\nname = \"C\"\nhosts = [\"c\"]"), "no host `c`"),
            (lab("[[datacenter.cluster]]\nname = \"C\"\nhosts = []"), "at least one host"),
            (lab("[[datacenter.cluster]]\nname = \"a\"\nhosts = [\"a\"]"), "another cluster or host"),
            (
                lab(
                    "[[datacenter.cluster]]\nname = \"C\"\nhosts = [\"a\"]\n[[datacenter.cluster]]\nname = \"D\"\nhosts = [\"a\"]",
                ),
                "in a cluster already",
            ),
            (esxi("hosts = [\"a\", \"b\"]"), "only host"),
            (esxi("folder = \"Lab\""), "not `Lab/ha-datacenter`"),
            (esxi("[[vm]]\npath = \"ha-datacenter/vm/f/x\""), "neither folders"),
            (format!("[vcenter]\nsessions_max = 0\n{}", lab("")), "sessions_max"),
            (format!("[vcenter]\ndenied_privileges = [\"VApp.Exprot\"]\n{}", lab("")), "not `VApp.Exprot`"),
            (vm("missing_isos = [\"[ds] x.iso\"]"), "does not name it"),
            (vm("unreadable = [\"\"]"), "no property path"),
            (vm("[[vm.disk]]\nsize = 512\nbacking = \"thick\""), "`thick`"),
            (vm("[[vm.disk]]\nsize = 512\nmode = \"independent\""), "`independent`"),
            (vm("[[vm.disk]]\nsize = 512\nfile = \"x.vmdk\""), "`x.vmdk`"),
            (vm("[[vm.disk]]\nsize = 512\nfile = \"[datastore9] d/x.vmdk\""), "no datastore `datastore9`"),
            (
                vm("[[vm.disk]]\nsize = 512\nfile = \"[datastore1] d/x.vmdk\"\nparent = \"absolute\"\nlinks = 1"),
                "not both",
            ),
            (
                lab(&["x", "y"]
                    .map(|name| {
                        format!(
                            "[[vm]]\npath = \"DC0/vm/{name}\"\n[[vm.disk]]\nsize = 512\n\
                             file = \"[datastore1] d/x.vmdk\"\n"
                        )
                    })
                    .concat()),
                "VM `DC0/vm/y`: VM `DC0/vm/x` has a disk in `[datastore1] d/x.vmdk` already",
            ),
            (vm("[[vm.disk]]\nsize = 512\nbacking = \"rdm-virtual\"\nlinks = 1"), "no links"),
        ];
        for (text, word) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(word), "{error} instead of {word}");
        }
    }
}
