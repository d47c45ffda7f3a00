//! What runs inside of a simulated VM, and the snapshots that it has from the start.

use serde::Deserialize;

use super::Vm;

/// Most snapshots of a VM: vSphere's own limit on the links of a chain.
pub const SNAPSHOTS_MAX: usize = 32;

/// Longest time that a guest takes to shut down: a day.
const SHUTDOWN_S_MAX: f64 = 86_400.0;

/// Whether VMware Tools are in a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tools {
    /// They run whenever the VM does.
    #[default]
    Running,
    /// They are installed and do not run.
    NotRunning,
    /// The guest has none.
    NotInstalled,
}

/// A snapshot that a VM has from the start; one of a row, each the child of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its name; several may have the same.
    pub name: String,
    /// Its description.
    #[serde(default)]
    pub description: String,
    /// Whether the guest's file systems were at rest.
    #[serde(default)]
    pub quiesced: bool,
}

/// Refuses what no guest does.
pub(super) fn check(vm: &Vm) -> Result<(), String> {
    if !(0.0..=SHUTDOWN_S_MAX).contains(&vm.shutdown_s) {
        return Err(format!("`shutdown_s` is 0 to {SHUTDOWN_S_MAX}, not {}", vm.shutdown_s));
    }
    if !(0.0..=1.0).contains(&vm.guest_writes) {
        return Err(format!("`guest_writes` is 0.0 to 1.0, not {}", vm.guest_writes));
    }
    if vm.template && !vm.snapshots.is_empty() {
        return Err("a template has no snapshots".to_owned());
    }
    if vm.snapshots.len() > SNAPSHOTS_MAX {
        return Err(format!("it has at most {SNAPSHOTS_MAX} snapshots"));
    }
    if vm.snapshots.iter().any(|snapshot| snapshot.name.is_empty()) {
        return Err("every snapshot has a name".to_owned());
    }
    Ok(())
}

/// How long guests take to shut down when the inventory does not say: long enough to be seen.
pub(super) fn default_shutdown() -> f64 {
    0.2
}
