//! What will be exported, and what cannot work: said before a byte moves.
//!
//! Pure but for the one question to the server at the start; the rest are functions over its answer.

use diskimage::package::ovf::Unwanted;
use vsphere::Session;
use vsphere::inventory::Vm;
use vsphere::properties::{self, Object};
use vsphere::wire::ApiVersion;
use vsphere::wire::generated::{AnyVirtualDevice, CryptoKeyId};

use super::claim::Identity;
use super::disks::{self, Disk};
use super::{Request, SnapshotPolicy, images, refusal};
use crate::power;
use crate::{Error, ErrorKind, Result};

/// The word for a VM that runs.
const POWERED_ON: &str = "poweredOn";

/// API version that brought encrypted VMs.
const ENCRYPTION_SINCE: &str = "6.5";

/// A VM that can be exported.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) vm: Vm,
    pub(super) identity: Identity,
    /// In the order of the devices, also those that are left out.
    pub(super) disks: Vec<Disk>,
    /// What goes out of the descriptor, for the server describes the whole VM.
    pub(super) unwanted: Unwanted,
    /// What a person should know before a byte moves, one line each.
    pub(super) notes: Vec<String>,
}

/// Checks what is known about `vm`.
///
/// # Errors
/// [`ErrorKind::State`] for a VM that cannot be exported as it is, with what to do about it.
pub(super) async fn plan(session: &Session, vm: Vm, request: &Request) -> Result<Plan> {
    let snapshot = request.snapshot;
    check_state(&vm, request)?;
    let mut paths = vec!["config.hardware.device", "config.instanceUuid", "guest.toolsRunningStatus"];
    // Older servers cannot encrypt VMs, and refuse the question.
    if ApiVersion::parse(ENCRYPTION_SINCE).is_some_and(|since| session.version() >= since) {
        paths.push("config.keyId");
    }
    let object = properties::read(session, &vm.moref, &paths).await;
    let object =
        object.map_err(|error| Error::from(error.context(format!("read the configuration of {}", vm.path))))?;
    check_encryption(&vm, &object)?;
    check_tools(&vm, request, &object)?;
    let devices: Vec<AnyVirtualDevice> = object.list("config.hardware.device")?;
    let disks = disks::plan(&vm, &devices, &request.disks, snapshot)?;
    images::check(session, &vm, &devices, request.eject_cdrom).await?;
    let missing = || Error::new(ErrorKind::Server, format!("export {}: the server gives it no instanceUuid", vm.path));
    let uuid: Option<String> = object.get("config.instanceUuid")?;
    let identity = Identity {
        vm: uuid.filter(|uuid| !uuid.is_empty()).ok_or_else(missing)?,
        server: session.content().about.instance_uuid.clone().unwrap_or_default(),
    };
    Ok(Plan {
        notes: notes(&vm, snapshot).into_iter().chain(disks::notes(&vm, &devices, &disks)).collect(),
        identity,
        unwanted: Unwanted { cdroms: request.remove_cdrom, blank_disks: disks.iter().any(|disk| !disk.wanted) },
        disks,
        vm,
    })
}

/// Returns what is not wrong but worth a line.
fn notes(vm: &Vm, snapshot: Option<SnapshotPolicy>) -> Vec<String> {
    let mut notes = Vec::new();
    if vm.config.template {
        notes.push(format!("{} is a template: it is exported as a VM that is off, and stays a template", vm.path));
    }
    if snapshot == Some(SnapshotPolicy::Quiesce) && vm.power_state != POWERED_ON {
        notes.push(format!("{} is off: nothing has to come to rest for its snapshot", vm.path));
    }
    notes
}

impl Plan {
    /// Returns whether the VM ran when the plan was made.
    pub(super) fn runs(&self) -> bool {
        self.vm.power_state == POWERED_ON
    }

    /// Returns whether a key of a lease is the place of one of the VM's disks.
    pub(super) fn is_disk(&self, key: &str) -> bool {
        self.disk(key).is_some()
    }

    /// Returns whether the file that a lease calls `key` is wanted.
    pub(super) fn is_wanted(&self, key: &str) -> bool {
        self.disk(key).is_none_or(|disk| disk.wanted)
    }

    /// Returns the disk whose place is said by a key of a lease.
    fn disk(&self, key: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.place == place_of(key))
    }

    /// Returns the capacity of the disk that a lease calls `key`, the `index`-th of its disks.
    pub(super) fn capacity(&self, key: &str, index: usize) -> Option<u64> {
        self.disk(key).or_else(|| self.disks.get(index)).map(|disk| disk.capacity_bytes)
    }
}

/// Returns what stands behind the VM's id in a key of a lease.
pub(super) fn place_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn check_state(vm: &Vm, request: &Request) -> Result<()> {
    let snapshot = request.snapshot;
    let refuse = |reason: &str, hint: &str| {
        Err(Error::new(ErrorKind::State, format!("export {}: {reason}", vm.path)).with_hint(hint))
    };
    if vm.connection_state != "connected" {
        let reason = format!("the VM is {}, so its host cannot send it", vm.connection_state);
        return refuse(&reason, "bring its host back, or register the VM on another one");
    }
    if vm.config.template && snapshot.is_some() {
        return refuse("it is a template, and templates have no snapshots", "export it without --snapshot");
    }
    match (vm.power_state.as_str(), snapshot) {
        ("poweredOff", _) | (POWERED_ON, Some(_)) => Ok(()),
        (POWERED_ON, None) if request.shutdown.is_some() => Ok(()),
        ("suspended", _) => {
            refuse("the VM is suspended, and its memory would be lost", "resume it and shut it down first")
        }
        (state, _) => refuse(
            &format!("the VM is {state}, and a lease needs it powered off"),
            "shut the guest down with --shutdown (--force-off takes the power where it does not listen), or export a \
             point in time of it with --snapshot (crash-consistent; --snapshot=quiesce asks the guest to come to rest)",
        ),
    }
}

/// Refuses to ask something of a guest that has nobody to hear it.
fn check_tools(vm: &Vm, request: &Request, object: &Object) -> Result<()> {
    let (wish, hint) = match (request.snapshot, request.shutdown) {
        (Some(SnapshotPolicy::Quiesce), _) => ("brought to rest", refusal::CRASH_HINT),
        (_, Some(shutdown)) if !shutdown.force_off => ("asked to shut down", power::NO_TOOLS_HINT),
        _ => return Ok(()),
    };
    if vm.power_state != POWERED_ON {
        return Ok(());
    }
    // A server that does not say leaves it to the call itself, whose refusal has the same hint.
    match object.get::<String>("guest.toolsRunningStatus").ok().flatten().as_deref() {
        Some("guestToolsNotRunning") => {
            let context = format!("export {}: VMware Tools do not run in it, so it cannot be {wish}", vm.path);
            Err(Error::new(ErrorKind::State, context).with_hint(hint))
        }
        _ => Ok(()),
    }
}

fn check_encryption(vm: &Vm, object: &Object) -> Result<()> {
    let key: Option<CryptoKeyId> = object.get("config.keyId")?;
    if key.is_none() {
        return Ok(());
    }
    let context = format!("export {}: the VM is encrypted, and hosts do not export encrypted disks", vm.path);
    Err(Error::new(ErrorKind::State, context)
        .with_hint("decrypt it in vSphere first (VM policies, edit VM storage policies)"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use vsphere::wire::MoRef;
    use vsphere::wire::generated::VirtualMachineConfigSummary;

    use super::*;
    use crate::power::Shutdown;

    pub(in crate::export) fn vm(power: &str, connection: &str) -> Vm {
        Vm {
            moref: MoRef::new("VirtualMachine", "vm-1"),
            path: "DC0/vm/web01".into(),
            name: "web01".into(),
            power_state: power.into(),
            connection_state: connection.into(),
            config: VirtualMachineConfigSummary::default(),
            capacity_bytes: None,
            committed_bytes: None,
        }
    }

    fn with_snapshot(policy: SnapshotPolicy) -> Request {
        Request { snapshot: Some(policy), ..Request::default() }
    }

    #[test]
    fn only_a_connected_vm_that_is_off_passes_and_the_others_are_told_what_to_do() {
        let request = Request::default();
        assert!(check_state(&vm("poweredOff", "connected"), &request).is_ok());
        for (power, connection) in
            [("poweredOn", "connected"), ("suspended", "connected"), ("poweredOff", "inaccessible")]
        {
            let error = check_state(&vm(power, connection), &request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State);
            assert!(error.to_string().contains("DC0/vm/web01") && error.hint().is_some());
        }
    }

    #[test]
    fn a_running_vm_passes_with_a_snapshot_and_its_refusal_names_that_way() {
        let running = vm(POWERED_ON, "connected");
        let crash = with_snapshot(SnapshotPolicy::Crash);
        assert!(check_state(&running, &crash).is_ok());
        assert!(check_state(&running, &Request::default()).unwrap_err().hint().unwrap().contains("--snapshot"));
        let mut template = vm("poweredOff", "connected");
        template.config.template = true;
        assert!(check_state(&template, &crash).is_err());
        assert!(notes(&template, None).iter().any(|note| note.contains("template")));
        assert!(check_state(&vm("suspended", "connected"), &crash).is_err());
    }

    #[test]
    fn a_running_vm_passes_when_it_is_to_be_shut_down_and_a_suspended_one_does_not() {
        let shutdown = Some(Shutdown { limit: Duration::from_secs(300), force_off: true });
        let request = Request { shutdown, ..Request::default() };
        assert!(check_state(&vm(POWERED_ON, "connected"), &request).is_ok());
        assert!(check_state(&vm("suspended", "connected"), &request).is_err());
        assert!(check_state(&vm(POWERED_ON, "disconnected"), &request).is_err());
    }
}
