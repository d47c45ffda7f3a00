//! The files of a virtual machine: their names, `layoutEx`, and how much is in them.

use vsphere::wire::generated::{
    VirtualMachineFileLayoutEx, VirtualMachineFileLayoutExDiskLayout, VirtualMachineFileLayoutExDiskUnit,
    VirtualMachineFileLayoutExFileInfo,
};

use super::super::clock::civil_of;
use super::super::state::EPOCH;
use super::machine::Machine;
use crate::inventory::{Content, Disk};

/// Bytes that a configuration file is said to have; about what real ones have.
const VMX_BYTES: u64 = 3000;
/// Bytes of a disk's descriptor on real hosts, give or take some.
const DESCRIPTOR_BYTES: u64 = 512;

impl Machine<'_> {
    /// Returns the path of a file in the VM's directory, `[datastore] directory/name`.
    pub(super) fn file(&self, name: &str) -> String {
        let datastore = &self.call.model().node(self.place.datastore).name;
        format!("[{datastore}] {}/{name}", self.place.directory)
    }

    /// Returns the path of the configuration file.
    pub(super) fn vmx(&self) -> String {
        self.file(&format!("{}.vmx", self.place.directory))
    }

    /// Returns the path of a disk's descriptor, or of what lies beside it under another ending.
    pub(super) fn disk_file(&self, index: usize, ending: &str) -> String {
        let number = if index == 0 { String::new() } else { format!("_{index}") };
        self.file(&format!("{}{number}{ending}", self.place.directory))
    }

    /// Returns about how many bytes of a disk hold data. Counting them would walk every grain, for
    /// 10,000 VMs while everybody else waits; real servers do not know exactly either.
    pub(super) fn allocated(&self, index: usize) -> u64 {
        self.vm.disks.get(index).map_or(0, allocated)
    }

    /// Returns `layoutEx`: the configuration, the nvram if there is one, and two files for each disk.
    pub(super) fn layout(&self) -> Option<VirtualMachineFileLayoutEx> {
        if !self.is_readable() {
            return None;
        }
        let mut layout = VirtualMachineFileLayoutEx { timestamp: civil_of(EPOCH), ..Default::default() };
        add(&mut layout, self.vmx(), "config", VMX_BYTES);
        if self.vm.nvram_bytes > 0 {
            let name = self.file(&format!("{}.nvram", self.place.directory));
            add(&mut layout, name, "nvram", self.vm.nvram_bytes);
        }
        for (index, place) in self.place.layout.disks.iter().enumerate() {
            let descriptor = add(&mut layout, self.disk_file(index, ".vmdk"), "diskDescriptor", DESCRIPTOR_BYTES);
            let extent = add(&mut layout, self.disk_file(index, "-flat.vmdk"), "diskExtent", self.allocated(index));
            let chain = vec![VirtualMachineFileLayoutExDiskUnit { file_key: vec![descriptor, extent] }];
            layout.disk.push(VirtualMachineFileLayoutExDiskLayout { key: place.key, chain, ..Default::default() });
        }
        Some(layout)
    }
}

/// Returns a disk's allocated bytes, to a thousandth of its size; that of a file counts as full.
fn allocated(disk: &Disk) -> u64 {
    match disk.content {
        Content::Seeded { fill, .. } => {
            let thousandths = (0..1000u16).find(|&part| f64::from(part) >= fill * 1000.0).unwrap_or(1000);
            disk.size.0 / 1000 * u64::from(thousandths)
        }
        Content::File { .. } => disk.size.0,
    }
}

/// Adds a file and returns its key.
fn add(layout: &mut VirtualMachineFileLayoutEx, name: String, kind: &str, bytes: u64) -> i32 {
    let key = i32::try_from(layout.file.len()).unwrap_or(i32::MAX);
    let size = i64::try_from(bytes).unwrap_or(i64::MAX);
    layout.file.push(VirtualMachineFileLayoutExFileInfo {
        key,
        name,
        type_: kind.to_owned(),
        size,
        unique_size: Some(size),
        accessible: Some(true),
        ..VirtualMachineFileLayoutExFileInfo::default()
    });
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Size;

    #[test]
    fn what_is_allocated_follows_the_fill_without_a_walk() {
        let disk = |fill| Disk {
            size: Size(1 << 40),
            controller: "pvscsi".to_owned(),
            bus: 0,
            content: Content::Seeded { seed: 1, fill, compressibility: 0.5 },
        };
        assert_eq!(allocated(&disk(0.0)), 0);
        assert_eq!(allocated(&disk(0.25)), (1 << 40) / 1000 * 250);
        assert_eq!(allocated(&disk(1.0)), (1 << 40) / 1000 * 1000);
    }
}
