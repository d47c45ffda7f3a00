//! What a disk stands on when that is no file but a LUN.

use vsphere::wire::generated::VirtualDiskRawDiskMappingVer1BackingInfo;

use super::machine::Machine;
use crate::identity;
use crate::inventory::Disk;

impl Machine<'_> {
    /// Returns the backing of a raw device mapping: a pointer file beside the VM, and the LUN.
    pub(super) fn raw_device(&self, index: usize, disk: &Disk) -> Option<VirtualDiskRawDiskMappingVer1BackingInfo> {
        let base = self.base_of(index)?;
        let uuid = identity::disk_uuid(self.vm, index);
        let lun = format!("0200000000{}", uuid.simple());
        let mut backing = VirtualDiskRawDiskMappingVer1BackingInfo {
            device_name: Some(format!("vml.{lun}")),
            lun_uuid: Some(lun),
            compatibility_mode: Some(if disk.is_physical() { "physicalMode" } else { "virtualMode" }.to_owned()),
            disk_mode: Some(disk.mode.clone()),
            uuid: Some(uuid.to_string().to_uppercase()),
            content_id: Some(base.content_id.clone()),
            sharing: Some("sharingNone".to_owned()),
            ..VirtualDiskRawDiskMappingVer1BackingInfo::default()
        };
        backing.base.file_name = self.path_of(&base.descriptor);
        backing.base.datastore = Some(self.call.datastore(base.descriptor.datastore));
        Some(backing)
    }
}
