//! What can be done to one VM besides exporting it: look, shut down, power off, remove its CD/DVD drives.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vsphere::wire::generated::AnyVirtualDevice;
use vsphere::{Session, cdrom, properties};

use crate::export::disks;
use crate::inventory::Vm;
use crate::power::{self, Off, Shutdown};
use crate::source::{Source, close};
use crate::{Error, Result};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Only look.
    Info,
    /// Ask the guest to shut down and wait until the VM is off.
    ShutDown {
        /// How long the guest may take.
        limit: Duration,
    },
    /// Take the power away.
    PowerOff,
    /// Remove all CD/DVD drives, for good.
    RemoveCdroms,
}

/// A disk of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What vSphere calls it.
    pub label: String,
    /// The file of its top layer, `[datastore] dir/x.vmdk`.
    pub file: Option<String>,
    /// Its capacity in bytes.
    pub capacity_bytes: u64,
}

/// A CD/DVD drive of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// What vSphere calls it.
    pub label: String,
    /// What is in it, for people; `None` for an empty one.
    pub medium: Option<String>,
}

/// A VM as it is after the operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was done, for people: `powered off`.
    pub done: String,
    /// The VM.
    pub vm: Vm,
    /// Its disks, in the order in which their numbers count.
    pub disks: Vec<Disk>,
    /// Its drives.
    pub drives: Vec<Drive>,
}

/// Does something to the VM that `wanted` means, unless `cancel` comes first. No session is left in any case.
/// All of it is safe to repeat: a VM that is off already, or has no drives, is a success.
///
/// # Errors
/// Of the kinds of [`crate::ErrorKind`]: not found, state (also for a guest that nobody can ask), late, and
/// those of the connection.
pub async fn operate(
    source: &Source,
    wanted: &str,
    operation: Operation,
    cancel: &CancellationToken,
) -> Result<Outcome> {
    let session = source.open(cancel).await?;
    // The operations stop by themselves, and look after what they have begun.
    let result = match operation {
        Operation::Info => tokio::select! {
            result = operated(&session, wanted, operation, cancel) => result,
            () = cancel.cancelled() => Err(Error::new(crate::ErrorKind::Cancelled, format!("look at {wanted}: stopped"))),
        },
        _ => operated(&session, wanted, operation, cancel).await,
    };
    close(session).await;
    result
}

async fn operated(
    session: &Session,
    wanted: &str,
    operation: Operation,
    cancel: &CancellationToken,
) -> Result<Outcome> {
    let vm = vsphere::inventory::find(session, wanted).await?;
    let failed = |error: vsphere::Error| Error::from(error.context(vm.path.clone()));
    let done = match operation {
        Operation::Info => "looked at".to_owned(),
        Operation::ShutDown { limit } => {
            match power::shut_down(session, &vm, Shutdown { limit, force_off: false }, cancel).await? {
                Off::Already => "already off".to_owned(),
                _ => "shut down".to_owned(),
            }
        }
        Operation::PowerOff if vm.power_state == "poweredOff" => "already off".to_owned(),
        Operation::PowerOff => {
            power::switch_off(session, &vm, cancel).await?;
            "powered off".to_owned()
        }
        Operation::RemoveCdroms => {
            match cdrom::remove_all(session, &vm.moref, cancel).await.map_err(failed)?.as_slice() {
                [] => "has no CD/DVD drive".to_owned(),
                removed => format!("removed {}", removed.join(", ")),
            }
        }
    };
    outcome(session, done, &vm.moref).await.map_err(failed)
}

/// Reads the VM anew.
async fn outcome(session: &Session, done: String, vm: &vsphere::wire::MoRef) -> vsphere::Result<Outcome> {
    const DEVICES: &str = "config.hardware.device";
    let mut vms = [vsphere::inventory::read(session, vm).await?];
    vsphere::inventory::add_capacities(session, &mut vms).await?;
    let [vm] = vms;
    // A VM whose configuration is not readable has no devices to show.
    let devices = properties::read(session, &vm.moref, &[DEVICES]).await?;
    let devices: Vec<AnyVirtualDevice> = devices.list(DEVICES)?;
    let disk = |disk: disks::Disk| Disk { label: disk.label, file: disk.file, capacity_bytes: disk.capacity_bytes };
    let drive = |drive: &vsphere::wire::generated::VirtualCdrom| Drive {
        label: cdrom::label(drive),
        medium: cdrom::Medium::of(drive).map(|medium| medium.to_string()),
    };
    Ok(Outcome {
        done,
        disks: disks::all(&devices).into_iter().map(disk).collect(),
        drives: cdrom::among(&devices).map(drive).collect(),
        vm: Vm::from(vm),
    })
}
