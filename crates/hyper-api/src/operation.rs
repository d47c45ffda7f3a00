//! What is done to one VM besides exporting it: `POST /api/v1/vms/info`, `shutdown`, `poweroff`, `remove-cdrom`.

use serde::{Deserialize, Serialize};

use crate::Vm;

/// How long a guest may take to shut down where nobody says: as older callers have it.
pub const SHUTDOWN_LIMIT_S: u64 = 300;

/// What to do to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmOperation {
    /// Only look.
    Info,
    /// Ask the guest to shut down, and answer when the VM is off.
    Shutdown,
    /// Take the power away.
    PowerOff,
    /// Remove the CD/DVD drives, for good.
    RemoveCdrom,
}

impl VmOperation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Info, Self::Shutdown, Self::PowerOff, Self::RemoveCdrom];

    /// Returns the word that stands in the route, and on a command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Shutdown => "shutdown",
            Self::PowerOff => "poweroff",
            Self::RemoveCdrom => "remove-cdrom",
        }
    }
}

/// The VM that something is done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VmRequest {
    /// Inventory path, or a name that fits exactly one VM.
    pub vm: String,
    /// For a shutdown: how many seconds the guest may take; absent or 0: [`SHUTDOWN_LIMIT_S`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_s: Option<u64>,
}

/// A disk of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VmDisk {
    /// What vSphere calls it.
    pub label: String,
    /// The file of its top layer, `[datastore] dir/x.vmdk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its capacity.
    pub capacity_bytes: u64,
}

/// A CD/DVD drive of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VmDrive {
    /// What vSphere calls it.
    pub label: String,
    /// What is in it; absent for an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
}

/// A VM as it is after an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VmDetail {
    /// What was done, for people: `powered off`.
    pub done: String,
    /// The VM.
    pub vm: Vm,
    /// Its disks; the position of one, from 0 on, is its number.
    #[serde(default)]
    pub disks: Vec<VmDisk>,
    /// Its CD/DVD drives.
    #[serde(default)]
    pub drives: Vec<VmDrive>,
}

/// How a guest is to be shut down before its VM is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ShutdownSpec {
    /// How many seconds the guest may take.
    pub limit_s: u64,
    /// Take the power from a guest that has not shut down by then, or that nobody can ask.
    #[serde(default)]
    pub force_off: bool,
}
