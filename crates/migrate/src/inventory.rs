//! Which VMs a source has.

use tokio_util::sync::CancellationToken;

use crate::source::{Source, close};
use crate::{Error, Result};

/// One VM (or template) of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vm {
    /// Inventory path from the root folder on, as the server spells it: `/DC0/vm/web/web01`.
    pub path: String,
    /// Name with the server's escapes (`%2f`) undone; for people only.
    pub name: String,
    /// Managed object id, for example `vm-62`.
    pub moref: String,
    /// vCenter-unique id; `None` for a VM whose configuration is not readable.
    pub instance_uuid: Option<String>,
    /// `poweredOn`, `poweredOff` or `suspended`.
    pub power_state: String,
    /// `connected`, `disconnected`, `orphaned`, `inaccessible` or `invalid`.
    pub connection_state: String,
    /// True for a template.
    pub template: bool,
    /// Guest operating system as configured, for example "Debian GNU/Linux 12 (64-bit)".
    pub guest: Option<String>,
    /// Number of virtual CPUs.
    pub cpus: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Sum of the capacities of the disks, in bytes; `None` where they were not asked for or are not shown.
    pub capacity_bytes: Option<u64>,
    /// Space in use on the datastores, in bytes.
    pub committed_bytes: Option<u64>,
}

/// Lists all VMs of `source`, sorted by path, unless `cancel` comes first. No session is left in either
/// case. The capacities of their disks take longer than all the rest, so they are read on demand.
///
/// # Errors
/// Of the kinds login, unreachable, certificate, permission, server and cancelled.
pub async fn list(source: &Source, capacities: bool, cancel: &CancellationToken) -> Result<Vec<Vm>> {
    let session = source.open(cancel).await?;
    let stopped = || vsphere::Error::new(vsphere::ErrorKind::Cancelled, "stopped");
    let work = async {
        let mut vms = vsphere::inventory::list(&session).await?;
        if capacities {
            vsphere::inventory::add_capacities(&session, &mut vms).await?;
        }
        Ok(vms)
    };
    let vms = tokio::select! {
        vms = work => vms,
        () = cancel.cancelled() => Err(stopped()),
    };
    close(session).await;
    let vms = vms.map_err(|error| Error::from(error.context(format!("list the VMs of {}", source.display_name()))))?;
    Ok(vms.into_iter().map(Vm::from).collect())
}

/// Where a VM is that a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Inventory path, as the server spells it.
    pub path: String,
    /// Managed object id of the host that it is on; `None` where the server does not say.
    pub host: Option<String>,
}

/// Finds the VMs that `wanted` means, each a path or a name that fits exactly one, unless `cancel` comes first.
/// Answers are in the order of the questions. No session is left in either case.
///
/// # Errors
/// Of the kinds login, unreachable, certificate, permission, server and cancelled. A VM that is not there, or a
/// name that fits several, is the error of that answer only.
pub async fn find(source: &Source, wanted: &[String], cancel: &CancellationToken) -> Result<Vec<Result<Found>>> {
    let session = source.open(cancel).await?;
    let stopped = || vsphere::Error::new(vsphere::ErrorKind::Cancelled, "stopped");
    let found = tokio::select! {
        found = vsphere::inventory::find_all(&session, wanted) => found,
        () = cancel.cancelled() => Err(stopped()),
    };
    close(session).await;
    let found = found.map_err(|error| Error::from(error.context(format!("find VMs of {}", source.display_name()))))?;
    let placed = |found: vsphere::Result<vsphere::inventory::Placed>| match found {
        Ok(placed) => Ok(Found { path: placed.path, host: placed.host.map(|host| host.id) }),
        Err(error) => Err(Error::from(error)),
    };
    Ok(found.into_iter().map(placed).collect())
}

impl From<vsphere::inventory::Vm> for Vm {
    fn from(vm: vsphere::inventory::Vm) -> Self {
        let config = vm.config;
        Self {
            path: vm.path,
            name: vm.name,
            moref: vm.moref.id,
            instance_uuid: config.instance_uuid.filter(|uuid| !uuid.is_empty()),
            power_state: vm.power_state,
            connection_state: vm.connection_state,
            template: config.template,
            guest: config.guest_full_name.filter(|guest| !guest.is_empty()),
            cpus: config.num_cpu.and_then(|cpus| u32::try_from(cpus).ok()),
            memory_mib: config.memory_size_mb.and_then(|mib| u64::try_from(mib).ok()),
            capacity_bytes: vm.capacity_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            committed_bytes: vm.committed_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        }
    }
}
