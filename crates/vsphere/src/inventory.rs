//! Which VMs a server has, under which paths, and which one a person means.
//!
//! Names are unique within a folder only and stored escaped (`%2f`, `%5c`, `%25`): paths are compared
//! as stored, and shown names are decoded. A VM in a vApp has no parent but `parentVApp`; the path goes
//! through the vApp, as the server's own search does.

mod capacity;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::{FindByInventoryPath, OptionValue, VirtualMachineConfigSummary};

pub use capacity::{add_capacities, capacity_bytes};

/// Bound on the depth of an inventory path; a cycle in the server's answer must not hang us.
const DEPTH_MAX: usize = 128;

/// One VM or template.
#[derive(Clone, Debug, PartialEq)]
pub struct Vm {
    /// The object.
    pub moref: MoRef,
    /// Inventory path as stored, from the root folder on: `/DC0/vm/web/web01`.
    pub path: String,
    /// Last part of the path, decoded; for people only.
    pub name: String,
    /// `poweredOn`, `poweredOff` or `suspended`.
    pub power_state: String,
    /// `connected` or why not.
    pub connection_state: String,
    /// What the configuration says; fields are unset for a VM that is not readable.
    pub config: VirtualMachineConfigSummary,
    /// Sum of the capacities of the disks, where [`add_capacities`] has filled it in.
    pub capacity_bytes: Option<i64>,
    /// Bytes in use on datastores.
    pub committed_bytes: Option<i64>,
}

const VM_PROPERTIES: &[&str] = &[
    "name",
    "parent",
    "parentVApp",
    "runtime.connectionState",
    "runtime.powerState",
    "summary.config",
    "summary.storage.committed",
];

/// What the way from a VM up to the root is made of.
const CONTAINER_PROPERTIES: &[&str] = &["name", "parent"];
const VAPP_PROPERTIES: &[&str] = &["name", "parent", "parentFolder", "parentVApp"];

/// The steps from an object to what is above it in a path.
const UPWARDS: &[(&str, &str)] = &[
    ("ManagedEntity", "parent"),
    ("VirtualMachine", "parentVApp"),
    ("VirtualApp", "parentVApp"),
    ("VirtualApp", "parentFolder"),
];

/// Lists all VMs and templates, sorted by path. Agents that vSphere runs for itself are left out.
///
/// # Errors
/// What the server says.
pub async fn list(session: &Session) -> Result<Vec<Vm>> {
    let wanted = [
        ("VirtualMachine", VM_PROPERTIES),
        ("Folder", CONTAINER_PROPERTIES),
        ("Datacenter", CONTAINER_PROPERTIES),
        ("VirtualApp", VAPP_PROPERTIES),
    ];
    let objects = properties::read_all(session, &wanted).await?;
    let tree = Tree::new(&objects, &session.content().root_folder)?;
    let mut vms = Vec::new();
    for object in objects.iter().filter(|object| object.moref.kind == "VirtualMachine") {
        vms.push(vm(object, &tree)?);
    }
    leave_out_agents(session, &mut vms).await?;
    vms.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(vms)
}

/// Finds the VM that `wanted` means: an inventory path (leading slash optional, below the configured
/// datacenter's `vm` folder or absolute), the end of one, or a name. A path costs a few small calls; only
/// for the others the whole inventory is listed.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::Ambiguous`] naming every VM that fits.
pub async fn find(session: &Session, wanted: &str) -> Result<Vm> {
    match find_by_path(session, wanted).await? {
        Some(found) => read(session, &found).await,
        None => choose(&list(session).await?, wanted, session.url().authority().as_str()).cloned(),
    }
}

/// Where a VM is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Inventory path as stored.
    pub path: String,
    /// The host that it is on, where the server shows it.
    pub host: Option<MoRef>,
}

/// Up to so many VMs are looked for one by one; more cost less as one list of all.
const FOUND_ONE_BY_ONE: usize = 4;

/// Finds VMs as [`find`] does, with the hosts that they are on. Answers are in the order of the questions.
///
/// # Errors
/// What the server says. A VM that is not there is the error of that answer only.
pub async fn find_all(session: &Session, wanted: &[String]) -> Result<Vec<Result<Placed>>> {
    if wanted.len() > FOUND_ONE_BY_ONE {
        return find_in_list(session, wanted).await;
    }
    let mut found = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        found.push(match find(session, wanted).await {
            Ok(vm) => {
                let object = properties::read(session, &vm.moref, &["runtime.host"]).await?;
                Ok(Placed { path: vm.path, host: readable(object.get("runtime.host"))? })
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Ambiguous) => Err(error),
            Err(error) => return Err(error),
        });
    }
    Ok(found)
}

async fn find_in_list(session: &Session, wanted: &[String]) -> Result<Vec<Result<Placed>>> {
    let vms = list(session).await?;
    let objects = properties::read_all(session, &[("VirtualMachine", &["runtime.host"][..])]).await?;
    let mut hosts = BTreeMap::new();
    for object in objects {
        if let Some(host) = readable(object.get::<MoRef>("runtime.host"))? {
            hosts.insert(object.moref, host);
        }
    }
    let by_path: BTreeMap<&str, &Vm> = vms.iter().map(|vm| (vm.path.trim_matches('/'), vm)).collect();
    let server = session.url().authority();
    let place = |vm: &Vm| Placed { path: vm.path.clone(), host: hosts.get(&vm.moref).cloned() };
    let find = |wanted: &String| match by_path.get(wanted.trim_matches('/')) {
        Some(vm) => Ok(place(vm)),
        None => choose(&vms, wanted, &server).map(place),
    };
    Ok(wanted.iter().map(find).collect())
}

/// Reads one VM anew.
///
/// # Errors
/// What the server says; [`ErrorKind::NotFound`] when it is gone.
pub async fn read(session: &Session, moref: &MoRef) -> Result<Vm> {
    let objects = upwards(session, moref).await?;
    let tree = Tree::new(&objects, &session.content().root_folder)?;
    let gone = || Error::new(ErrorKind::NotFound, format!("read {moref}: there is no such VM"));
    vm(objects.iter().find(|object| object.moref == *moref).ok_or_else(gone)?, &tree)
}

/// Returns the inventory path of the datacenter that a VM is in, as stored and without a slash in front:
/// with the folders above it, because several datacenters may have the same name.
///
/// # Errors
/// What the server says; [`ErrorKind::Protocol`] when no datacenter is above it.
pub async fn datacenter_path(session: &Session, moref: &MoRef) -> Result<String> {
    let objects = upwards(session, moref).await?;
    let tree = Tree::new(&objects, &session.content().root_folder)?;
    let none = || Error::new(ErrorKind::Protocol, format!("find the datacenter of {moref}: none is above it"));
    let datacenter = objects.iter().find(|object| object.moref.kind == "Datacenter").ok_or_else(none)?;
    Ok(tree.path(&datacenter.moref)?.trim_start_matches('/').to_owned())
}

async fn upwards(session: &Session, moref: &MoRef) -> Result<Vec<Object>> {
    let wanted = [
        ("VirtualMachine", VM_PROPERTIES),
        ("Folder", CONTAINER_PROPERTIES),
        ("Datacenter", CONTAINER_PROPERTIES),
        ("VirtualApp", VAPP_PROPERTIES),
    ];
    properties::read_upwards(session, moref, UPWARDS, &wanted).await
}

async fn find_by_path(session: &Session, wanted: &str) -> Result<Option<MoRef>> {
    let Some(index) = session.content().search_index.clone() else { return Ok(None) };
    let wanted = wanted.trim_matches('/');
    let below = session.datacenter().map(|datacenter| format!("{}/vm/{wanted}", datacenter.trim_matches('/')));
    for inventory_path in std::iter::once(wanted.to_owned()).chain(below) {
        let call = FindByInventoryPath { this: index.clone(), inventory_path };
        match session.read(&index, &call).await? {
            Some(found) if found.kind == "VirtualMachine" => return Ok(Some(found)),
            _ => {}
        }
    }
    Ok(None)
}

/// Picks the one VM that fits.
fn choose<'a>(vms: &'a [Vm], wanted: &str, server: &str) -> Result<&'a Vm> {
    let wanted = wanted.trim_matches('/');
    let exact = |vm: &&Vm| {
        let path = vm.path.trim_start_matches('/');
        path == wanted || decode_name(path) == wanted
    };
    let ends = |vm: &&Vm| {
        let tail = |path: &str| path.strip_suffix(wanted).is_some_and(|head| head.ends_with('/'));
        vm.name == wanted || tail(&vm.path) || tail(&decode_name(&vm.path))
    };
    let mut fits: Vec<&Vm> = vms.iter().filter(exact).collect();
    if fits.is_empty() {
        fits = vms.iter().filter(ends).collect();
    }
    match fits.as_slice() {
        [vm] => Ok(vm),
        [] => {
            let context = format!("find VM `{wanted}`: {server} has no VM of this path or name");
            Err(Error::new(ErrorKind::NotFound, context))
        }
        several => {
            let paths: Vec<&str> = several.iter().map(|vm| vm.path.as_str()).collect();
            let context = format!("find VM `{wanted}`: the name fits {} VMs: {}", paths.len(), paths.join(", "));
            Err(Error::new(ErrorKind::Ambiguous, context))
        }
    }
}

fn vm(object: &Object, tree: &Tree) -> Result<Vm> {
    let path = tree.path(&object.moref)?;
    let name = decode_name(path.rsplit('/').next().unwrap_or_default());
    Ok(Vm {
        moref: object.moref.clone(),
        name,
        path,
        power_state: object.get("runtime.powerState")?.unwrap_or_default(),
        connection_state: object.get("runtime.connectionState")?.unwrap_or_default(),
        config: readable(object.get("summary.config"))?.unwrap_or_default(),
        capacity_bytes: None,
        committed_bytes: readable(object.get("summary.storage.committed"))?,
    })
}

/// What the server does not show of a VM is unset; the VM itself is still listed.
fn readable<T>(result: Result<Option<T>>) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind() != ErrorKind::Protocol => Ok(None),
        result => result,
    }
}

/// vSphere's own cluster agents say so in their configuration. Their names start with `vCLS`, so
/// that only these few are asked (the whole configuration of all VMs would be tens of MiB).
async fn leave_out_agents(session: &Session, vms: &mut Vec<Vm>) -> Result<()> {
    let mut agents = BTreeSet::new();
    for vm in vms.iter().filter(|vm| vm.name.starts_with("vCLS")) {
        let object = properties::read(session, &vm.moref, &["config.extraConfig"]).await?;
        let options: Vec<OptionValue> = object.list("config.extraConfig").unwrap_or_default();
        let says_true =
            |option: &OptionValue| option.value.as_ref().is_some_and(|value| value.element().text == "true");
        if options.iter().any(|option| option.key == "HDCS.agent" && says_true(option)) {
            agents.insert(vm.moref.clone());
        }
    }
    vms.retain(|vm| !agents.contains(&vm.moref));
    Ok(())
}

/// Undoes the server's escapes in a name or path.
pub fn decode_name(stored: &str) -> String {
    let mut out = String::new();
    let mut rest = stored;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let escaped = after.get(..2).map(str::to_ascii_lowercase);
        let character = match escaped.as_deref() {
            Some("2f") => '/',
            Some("5c") => '\\',
            Some("25") => '%',
            _ => {
                out.push('%');
                rest = after;
                continue;
            }
        };
        out.push(character);
        rest = &after[2..];
    }
    out.push_str(rest);
    out
}

/// Who is whose parent.
struct Tree {
    nodes: BTreeMap<MoRef, (String, Option<MoRef>)>,
    root: MoRef,
}

impl Tree {
    fn new(objects: &[Object], root: &MoRef) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        for object in objects {
            let name = object.get("name")?.unwrap_or_default();
            let in_vapp: Option<MoRef> = object.get("parentVApp")?;
            let parent = match (&in_vapp, object.moref.kind.as_str()) {
                (Some(_), _) => in_vapp,
                // A vApp's parent is a resource pool; the folder that shows it is another property.
                (None, "VirtualApp") => object.get("parentFolder")?,
                (None, _) => object.get("parent")?,
            };
            nodes.insert(object.moref.clone(), (name, parent));
        }
        Ok(Self { nodes, root: root.clone() })
    }

    fn path(&self, object: &MoRef) -> Result<String> {
        let mut parts = Vec::new();
        let mut current = Some(object);
        while let Some(moref) = current.filter(|moref| **moref != self.root) {
            let Some((name, parent)) = self.nodes.get(moref) else { break };
            if parts.len() >= DEPTH_MAX {
                let context = format!("find the path of {object}: more than {DEPTH_MAX} levels");
                return Err(Error::new(ErrorKind::Protocol, context));
            }
            parts.push(name.as_str());
            current = parent.as_ref();
        }
        parts.reverse();
        Ok(format!("/{}", parts.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(path: &str) -> Vm {
        let name = decode_name(path.rsplit('/').next().unwrap());
        Vm {
            moref: MoRef::new("VirtualMachine", path),
            path: path.into(),
            name,
            power_state: "poweredOff".into(),
            connection_state: "connected".into(),
            config: VirtualMachineConfigSummary::default(),
            capacity_bytes: None,
            committed_bytes: None,
        }
    }

    fn chosen(wanted: &str) -> std::result::Result<String, (ErrorKind, String)> {
        let vms = ["/DC0/vm/a/web", "/DC0/vm/b/web", "/DC0/vm/db", "/DC0/vm/x%2fy", "/Lab/DC1/vm/db2"].map(vm);
        choose(&vms, wanted, "vc:443").map(|vm| vm.path.clone()).map_err(|error| (error.kind(), error.to_string()))
    }

    #[test]
    fn a_path_a_tail_and_a_unique_name_each_find_the_vm() {
        for (wanted, path) in [
            ("DC0/vm/a/web", "/DC0/vm/a/web"),
            ("/DC0/vm/db", "/DC0/vm/db"),
            ("a/web", "/DC0/vm/a/web"),
            ("db2", "/Lab/DC1/vm/db2"),
            ("x/y", "/DC0/vm/x%2fy"),
            ("x%2fy", "/DC0/vm/x%2fy"),
        ] {
            assert_eq!(chosen(wanted).unwrap(), path, "{wanted}");
        }
    }

    #[test]
    fn a_name_that_fits_several_is_an_error_that_names_them() {
        let (kind, text) = chosen("web").unwrap_err();
        assert_eq!(kind, ErrorKind::Ambiguous);
        assert!(text.contains("/DC0/vm/a/web, /DC0/vm/b/web"), "{text}");
    }

    #[test]
    fn a_part_of_a_name_finds_nothing() {
        assert_eq!(chosen("eb").unwrap_err().0, ErrorKind::NotFound);
    }

    #[test]
    fn names_are_decoded_in_any_case_and_stray_percent_signs_stay() {
        assert_eq!(decode_name("a%2Fb%5cc%25d%zz%"), "a/b\\c%d%zz%");
        assert_eq!(decode_name("é%2fé"), "é/é");
    }
}
