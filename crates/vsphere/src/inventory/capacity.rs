//! How large the disks of VMs are.
//!
//! No summary says it: only the devices do, some 8 KiB for each VM. So they are read apart from the list,
//! by those who want the sum, and a part of the VMs at a time.

use std::collections::BTreeMap;

use super::Vm;
use crate::error::{ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::{AnyVirtualDevice, VirtualDisk};

/// VMs asked about at a time: a reply of about a MiB.
const PART_VMS: usize = 128;

const DEVICES: &str = "config.hardware.device";

/// Fills in the sum of the capacities of each VM's disks. A VM whose devices are not shown, or that is gone
/// by now, keeps none.
///
/// # Errors
/// What the server says.
pub async fn add_capacities(session: &Session, vms: &mut [Vm]) -> Result<()> {
    for part in vms.chunks_mut(PART_VMS) {
        let asked: Vec<MoRef> = part.iter().map(|vm| vm.moref.clone()).collect();
        let mut sums = BTreeMap::new();
        for object in properties::read_many(session, "VirtualMachine", &asked, &[DEVICES]).await? {
            if let Some(sum) = sum(&object)? {
                sums.insert(object.moref, sum);
            }
        }
        for vm in part {
            vm.capacity_bytes = sums.get(&vm.moref).copied();
        }
    }
    Ok(())
}

fn sum(vm: &Object) -> Result<Option<i64>> {
    let devices: Vec<AnyVirtualDevice> = match vm.list(DEVICES) {
        Err(error) if error.kind() != ErrorKind::Protocol => return Ok(None),
        devices => devices?,
    };
    // Every VM has devices, so one that shows none shows nothing.
    let shown = !devices.is_empty();
    let capacity = |device: &AnyVirtualDevice| match device {
        AnyVirtualDevice::VirtualDisk(disk) => capacity_bytes(disk),
        _ => 0,
    };
    Ok(shown.then(|| devices.iter().map(capacity).fold(0, i64::saturating_add)))
}

/// Returns the capacity of a disk; older servers say it in KiB only.
pub fn capacity_bytes(disk: &VirtualDisk) -> i64 {
    disk.capacity_in_bytes.unwrap_or_else(|| disk.capacity_in_kb.saturating_mul(1024))
}
