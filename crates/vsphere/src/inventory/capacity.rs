//! How large the disks of VMs are.
//!
//! No summary says it: only the devices do, some 8 KiB for each VM. So they are read apart from the list,
//! by those who want the sum, and a part of the VMs at a time.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::Vm;
use crate::error::{Error, ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::{AnyVirtualDevice, VirtualDisk};

/// VMs asked about at a time: a reply of about a MiB.
const PART_VMS: usize = 128;

/// Parts that are asked about at the same time: the server works on one while another is read.
const PARTS_AT_ONCE: usize = 3;

const DEVICES: &str = "config.hardware.device";

/// Fills in the sum of the capacities of each VM's disks. A VM whose devices are not shown, or that is gone
/// by now, keeps none.
///
/// # Errors
/// What the server says.
pub async fn add_capacities(session: &Session, vms: &mut [Vm]) -> Result<()> {
    let asked: Vec<MoRef> = vms.iter().map(|vm| vm.moref.clone()).collect();
    let mut parts = asked.chunks(PART_VMS).map(<[MoRef]>::to_vec);
    let mut sums = BTreeMap::new();
    // Dropped with this future, it stops what is asked.
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < PARTS_AT_ONCE
            && let Some(part) = parts.next()
        {
            let session = session.clone();
            asking.spawn(async move { sums_of(&session, &part).await });
        }
        let Some(answer) = asking.join_next().await else { break };
        let broken = |error| Error::new(ErrorKind::Protocol, "read the capacities of disks").with_source(error);
        sums.extend(answer.map_err(broken)??);
    }
    for vm in vms {
        vm.capacity_bytes = sums.get(&vm.moref).copied();
    }
    Ok(())
}

async fn sums_of(session: &Session, vms: &[MoRef]) -> Result<Vec<(MoRef, i64)>> {
    let mut sums = Vec::with_capacity(vms.len());
    for object in properties::read_many(session, "VirtualMachine", vms, &[DEVICES]).await? {
        if let Some(sum) = sum(&object)? {
            sums.push((object.moref, sum));
        }
    }
    Ok(sums)
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
