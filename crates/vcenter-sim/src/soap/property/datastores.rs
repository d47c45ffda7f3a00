//! Properties of datastores.

use vsphere::wire::Any;
use vsphere::wire::generated::{
    AnyDatastoreInfo, DatastoreCapability, DatastoreHostMount, DatastoreSummary, HostMountInfo, HostVmfsVolume,
    VmfsDatastoreInfo,
};

use super::super::browser;
use super::super::call::Call;
use super::super::clock::civil_of;
use super::super::model::{NodeId, VmPlace};
use super::super::state::{EPOCH, State};
use super::{morefs, one};
use crate::datastore::Datastore;

/// Size that every datastore claims; the disks of a simulator need none of it.
const CAPACITY_BYTES: i64 = 64 << 40;

/// Largest file and disk on VMFS: 62 TiB.
const DISK_BYTES_MAX: i64 = 62 << 40;

/// Returns a property that only a datastore has.
pub(super) fn property(call: &Call<'_>, state: &State, id: NodeId, name: &str) -> Option<Any> {
    let model = call.model();
    let number = call.datastore_number(id)?;
    let there = call.world.datastores.get(number);
    match name {
        "vm" => {
            let now = |place: &VmPlace| state.vms.get(place.index);
            let holds = |place: &VmPlace| now(place).is_some_and(|vm| vm.home.datastores().contains(&number));
            let in_drive = |place: &VmPlace| {
                let mut images = now(place).into_iter().flat_map(|vm| vm.configured.images());
                images.any(|(_, image)| call.datastore_of(place, image) == Some(number))
            };
            morefs(call, &model.vms_where(|place| holds(place) || in_drive(place)))
        }
        "browser" => one(call, &browser::of(&model.moref(id))),
        "host" => {
            let mounts: Vec<_> = hosts(call, there).into_iter().map(|host| mount(call, there, host)).collect();
            Some(Any::list(&mounts, call.encode()))
        }
        "capability" => one(call, &capability(there)),
        "info" => one(call, &info(there)),
        "summary" => one(
            call,
            &DatastoreSummary {
                datastore: Some(model.moref(id)),
                name: there.name.clone(),
                url: there.url(),
                capacity: CAPACITY_BYTES,
                free_space: CAPACITY_BYTES / 2,
                accessible: true,
                multiple_host_access: Some(hosts(call, there).len() > 1),
                type_: "VMFS".to_owned(),
                maintenance_mode: Some("normal".to_owned()),
                ..DatastoreSummary::default()
            },
        ),
        _ => None,
    }
}

/// Returns the hosts that have a datastore mounted: all of its datacenter.
fn hosts(call: &Call<'_>, there: &Datastore) -> Vec<NodeId> {
    let model = call.model();
    let path = call.world.inventory.datacenters.get(there.datacenter).map(crate::inventory::Datacenter::path);
    let parts = path.and_then(|path| model.find_path(&path)).and_then(|id| model.datacenter(id));
    parts.map(|parts| parts.hosts.clone()).unwrap_or_default()
}

fn mount(call: &Call<'_>, there: &Datastore, host: NodeId) -> DatastoreHostMount {
    DatastoreHostMount {
        key: call.model().moref(host),
        mount_info: HostMountInfo {
            path: Some(format!("/vmfs/volumes/{}", there.uuid)),
            access_mode: "readWrite".to_owned(),
            mounted: Some(true),
            accessible: Some(true),
            ..HostMountInfo::default()
        },
    }
}

fn capability(there: &Datastore) -> DatastoreCapability {
    DatastoreCapability {
        directory_hierarchy_supported: true,
        raw_disk_mappings_supported: true,
        per_file_thin_provisioning_supported: true,
        storage_iorm_supported: true,
        native_snapshot_supported: false,
        top_level_directory_create_supported: Some(true),
        se_sparse_supported: Some(true),
        vmfs_sparse_supported: Some(there.vmfs == 5),
        ..DatastoreCapability::default()
    }
}

fn info(there: &Datastore) -> AnyDatastoreInfo {
    let mut info = VmfsDatastoreInfo {
        max_physical_rdm_file_size: DISK_BYTES_MAX,
        max_virtual_rdm_file_size: DISK_BYTES_MAX,
        ..VmfsDatastoreInfo::default()
    };
    info.name.clone_from(&there.name);
    info.url = there.url();
    info.free_space = CAPACITY_BYTES / 2;
    info.max_file_size = DISK_BYTES_MAX;
    info.max_virtual_disk_capacity = Some(DISK_BYTES_MAX);
    info.max_memory_file_size = DISK_BYTES_MAX;
    info.timestamp = Some(civil_of(EPOCH));
    let mut volume = HostVmfsVolume {
        block_size_mb: 1,
        block_size: Some(1024),
        max_blocks: 63_963_136,
        major_version: i32::from(there.vmfs),
        version: if there.vmfs == 5 { "5.81" } else { "6.82" }.to_owned(),
        uuid: there.uuid.clone(),
        vmfs_upgradable: false,
        ..HostVmfsVolume::default()
    };
    volume.type_ = "VMFS".to_owned();
    volume.name.clone_from(&there.name);
    volume.capacity = CAPACITY_BYTES;
    info.vmfs = Some(volume);
    info.into()
}
