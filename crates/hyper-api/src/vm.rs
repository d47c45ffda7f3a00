//! The VMs of a source, as `GET /api/v1/vms` lists them.

use serde::{Deserialize, Serialize};

/// One VM or template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Vm {
    /// Inventory path from the root, as the server spells it: `/DC0/vm/web/web01`.
    pub path: String,
    /// Name with the server's escapes undone; for people only, it may hold a `/`.
    pub name: String,
    /// Managed object id, for example `vm-62`.
    pub moref: String,
    /// vCenter-unique id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// `poweredOn`, `poweredOff` or `suspended`.
    pub power_state: String,
    /// `connected`, `disconnected`, `orphaned`, `inaccessible` or `invalid`.
    pub connection_state: String,
    /// True for a template.
    #[serde(default)]
    pub template: bool,
    /// Guest operating system as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// Number of virtual CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Sum of the capacities of the disks, in bytes; absent where that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    /// Space in use on the datastores, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_bytes: Option<u64>,
}

/// The reply of `GET /api/v1/vms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VmList {
    /// All VMs, sorted by path.
    pub vms: Vec<Vm>,
    /// The length of `vms`.
    pub total: u64,
}
