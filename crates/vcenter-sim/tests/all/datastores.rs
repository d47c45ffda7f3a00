//! Datastores and their files by the front door: properties, browser, paths; and that all tell one story.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Method, StatusCode};
use vcenter_sim::Options;
use vsphere::wire::generated::{
    AnyDatastoreInfo, AnyFileInfo, AnyVirtualDevice, AnyVirtualDeviceBackingInfo as Backing, DatastoreCapability,
    DatastoreHostMount, DatastoreSummary, FileQueryFlags, FindByDatastorePath, FindByInventoryPath, FolderFileQuery,
    HostDatastoreBrowserSearchResults, HostDatastoreBrowserSearchSpec, SearchDatastoreSubFoldersTask,
    SearchDatastoreTask, TaskInfo, VirtualDiskFlatVer2BackingInfo, VirtualMachineConfigInfo, VirtualMachineFileLayout,
    VirtualMachineFileLayoutEx, VmDiskFileQuery, VmDiskFileQueryFilter, VmDiskFileQueryFlags,
};
use vsphere::wire::{Any, Decode, MoRef};

use crate::client::Client;
use crate::soap::Desk;

const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
datastores = ["new", "old"]
vmfs5 = ["old"]

[[datacenter]]
name = "DC1"
hosts = ["esx3.sim.invalid"]

[[vm]]
path = "DC0/vm/a"
datastore = "old"
isos = ["[new] iso/x.iso"]

[[vm.disk]]
size = "3 MiB"
links = 1
parent = "[new]"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }

[[vm.disk]]
size = 1000448
thin = false

[[vm.disk]]
size = "3 TiB"
links = 1

[[vm.snapshot]]
name = "first"

[[vm]]
path = "DC0/vm/b"
"#;

async fn desk() -> Desk {
    let mut desk = Desk::with_inventory(INVENTORY, Options::default()).await;
    desk.log_in().await;
    desk
}

pub(crate) async fn find(desk: &Desk, path: &str) -> MoRef {
    let this = MoRef::new("SearchIndex", "SearchIndex");
    desk.ask(FindByInventoryPath { this, inventory_path: path.to_owned() }).await.unwrap().unwrap()
}

/// Returns the file names of a disk's chain, the top first.
pub(crate) fn chain(config: &VirtualMachineConfigInfo, index: usize) -> Vec<String> {
    let disks = config.hardware.device.iter().filter_map(|device| match device {
        AnyVirtualDevice::VirtualDisk(disk) => disk.base.backing.as_ref(),
        _ => None,
    });
    let disks: Vec<_> = disks.collect();
    let Backing::VirtualDiskFlatVer2BackingInfo(top) = disks[index] else { panic!("another backing") };
    let links = std::iter::successors(Some(&**top), |link: &&VirtualDiskFlatVer2BackingInfo| link.parent.as_deref());
    links.map(|link| link.file_name.clone()).collect()
}

/// Returns the names that a key list of `layoutEx` stands for.
fn names(layout: &VirtualMachineFileLayoutEx, keys: &[i32]) -> Vec<String> {
    keys.iter().map(|key| layout.file.iter().find(|file| file.key == *key).unwrap().name.clone()).collect()
}

#[tokio::test]
async fn the_files_of_a_vm_are_named_alike_everywhere_and_can_be_read() {
    let desk = desk().await;
    let vm = find(&desk, "DC0/vm/a").await;
    let config: VirtualMachineConfigInfo = desk.get(&vm, "config").await;
    let layout: VirtualMachineFileLayoutEx = desk.get(&vm, "layoutEx").await;
    assert_eq!(chain(&config, 0), ["[old] a/a-000002.vmdk", "[old] a/a-000001.vmdk", "[new] a/a.vmdk"]);
    for (index, disk) in layout.disk.iter().enumerate() {
        let links: Vec<_> = disk.chain.iter().rev().map(|unit| names(&layout, &unit.file_key)[0].clone()).collect();
        assert_eq!(links, chain(&config, index));
    }
    let extents: Vec<_> =
        layout.disk.iter().map(|disk| names(&layout, &disk.chain.last().unwrap().file_key)[1].clone()).collect();
    // A redo log on VMFS 5, but for a disk that is too large for one.
    assert_eq!(
        extents,
        ["[old] a/a-000002-delta.vmdk", "[old] a/a_1-000001-delta.vmdk", "[old] a/a_2-000002-sesparse.vmdk"]
    );
    let [snapshot] = &layout.snapshot[..] else { panic!("one snapshot") };
    assert_eq!(names(&layout, &[snapshot.data_key]), ["[old] a/a-Snapshot1.vmsn"]);
    assert_eq!(snapshot.disk.iter().map(|disk| disk.chain.len()).collect::<Vec<_>>(), [2, 1, 2]);
    assert_eq!(snapshot.memory_key, -1);
    let older: VirtualMachineFileLayout = desk.get(&vm, "layout").await;
    assert_eq!(older.disk[0].disk_file, ["[new] a/a.vmdk", "[old] a/a-000001.vmdk", "[old] a/a-000002.vmdk"]);
    let mut client = Client::tls(desk.simulator.world().addresses.vcenter).await;
    let cookie = desk.cookie.clone().unwrap();
    for file in &layout.file {
        let (datastore, path) = file.name.strip_prefix('[').unwrap().split_once("] ").unwrap();
        let url = format!("/folder/{path}?dcPath=DC0&dsName={datastore}");
        let head = client.send(Method::HEAD, &url, &[("cookie", &cookie)], "").await;
        assert_eq!(head.status, StatusCode::OK, "{url}");
        let length: i64 = head.headers["content-length"].to_str().unwrap().parse().unwrap();
        assert!(file.size <= length, "{url}: {} of {length}", file.size);
        let is_thin = file.name.ends_with("-flat.vmdk") && !file.name.contains("a_1");
        assert!(file.size == length || is_thin, "{url}: {} of {length}", file.size);
    }
    assert_eq!(desk.list::<MoRef>(&vm, "datastore").await.len(), 2);
}

#[tokio::test]
async fn a_datastore_says_what_it_is_and_who_has_it() {
    let desk = desk().await;
    let old = find(&desk, "DC0/datastore/old").await;
    let mounts: Vec<DatastoreHostMount> = desk.list(&old, "host").await;
    let summary: DatastoreSummary = desk.get(&old, "summary").await;
    let hosts = [
        find(&desk, "DC0/host/esx1.sim.invalid/esx1.sim.invalid").await,
        find(&desk, "DC0/host/esx2.sim.invalid/esx2.sim.invalid").await,
    ];
    assert_eq!(mounts.iter().map(|mount| mount.key.clone()).collect::<Vec<_>>(), hosts);
    for mount in &mounts {
        assert_eq!(mount.mount_info.access_mode, "readWrite");
        let path = mount.mount_info.path.clone().unwrap();
        assert_eq!(summary.url, format!("ds://{path}/"));
    }
    let info: AnyDatastoreInfo = desk.get(&old, "info").await;
    let AnyDatastoreInfo::VmfsDatastoreInfo(info) = info else { panic!("{}", info.type_name()) };
    assert_eq!((info.url.as_str(), info.vmfs.as_ref().unwrap().major_version), (summary.url.as_str(), 5));
    assert_eq!(summary.multiple_host_access, Some(true));
    let capability: DatastoreCapability = desk.get(&old, "capability").await;
    assert_eq!((capability.se_sparse_supported, capability.vmfs_sparse_supported), (Some(true), Some(true)));
    assert_eq!(desk.list::<MoRef>(&old, "vm").await, [find(&desk, "DC0/vm/a").await]);
    let new = find(&desk, "DC0/datastore/new").await;
    assert_eq!(desk.list::<MoRef>(&new, "vm").await.len(), 2);
    for host in &hosts {
        assert_eq!(desk.list::<MoRef>(host, "datastore").await, [new.clone(), old.clone()]);
    }
}

/// Searches one directory with a browser.
pub(crate) async fn search(
    desk: &Desk,
    browser: &MoRef,
    path: &str,
    spec: HostDatastoreBrowserSearchSpec,
) -> Result<Any, String> {
    let call = SearchDatastoreTask { this: browser.clone(), datastore_path: path.to_owned(), search_spec: Some(spec) };
    let task = desk.ask(call).await.map_err(|(kind, _)| kind)?;
    let info: TaskInfo = desk.get(&task, "info").await;
    match info.error {
        Some(error) => Err(error.fault.type_name().to_owned()),
        None => Ok(info.result.unwrap()),
    }
}

fn results(any: &Any) -> HostDatastoreBrowserSearchResults {
    any.get(&mut Decode { strict: true, ..Decode::default() }).unwrap()
}

fn listed(results: &HostDatastoreBrowserSearchResults) -> Vec<(&str, &str)> {
    results.file.iter().map(|file| (file.path.as_str(), file.type_name())).collect()
}

fn all() -> FileQueryFlags {
    FileQueryFlags { file_type: true, file_size: true, modification: true, file_owner: true }
}

#[tokio::test]
async fn a_browser_lists_names_or_kinds_sizes_and_times() {
    let desk = desk().await;
    let browser: MoRef = desk.get(&find(&desk, "DC0/datastore/old").await, "browser").await;
    let plain = search(&desk, &browser, "[old] a", HostDatastoreBrowserSearchSpec::default()).await.unwrap();
    let plain = results(&plain);
    assert_eq!(plain.folder_path.as_deref(), Some("[old] a/"));
    assert!(plain.file.iter().all(|file| file.type_name() == "FileInfo" && file.file_size.is_none()), "{plain:?}");
    let spec = HostDatastoreBrowserSearchSpec { details: Some(all()), ..Default::default() };
    let found = results(&search(&desk, &browser, "[old] a/", spec.clone()).await.unwrap());
    let kinds = listed(&found);
    for expected in [
        ("a.vmx", "VmConfigFileInfo"),
        ("a.nvram", "VmNvramFileInfo"),
        ("vmware.log", "VmLogFileInfo"),
        ("a-000002.vmdk", "VmDiskFileInfo"),
        ("a-000002-delta.vmdk", "FileInfo"),
        ("a-Snapshot1.vmsn", "VmSnapshotFileInfo"),
    ] {
        assert!(kinds.contains(&expected), "{expected:?} in {kinds:?}");
    }
    let nvram = found.file.iter().find(|file| file.path == "a.nvram").unwrap();
    assert_eq!((nvram.file_size, nvram.owner.as_deref()), (Some(8684), Some("root")));
    assert_eq!(nvram.modification.as_ref().unwrap().0, "2025-01-01T00:00:00.000000Z");
    let root = results(&search(&desk, &browser, "[old]", spec).await.unwrap());
    assert_eq!((listed(&root), root.folder_path.as_deref()), (vec![("a", "FolderFileInfo")], Some("[old] ")));
}

#[tokio::test]
async fn patterns_and_queries_pick_files() {
    let desk = desk().await;
    let browser: MoRef = desk.get(&find(&desk, "DC0/datastore/old").await, "browser").await;
    let by_name = |pattern: &str, fold| HostDatastoreBrowserSearchSpec {
        match_pattern: vec![pattern.to_owned()],
        search_case_insensitive: Some(fold),
        ..Default::default()
    };
    let names = async |spec| {
        let found = results(&search(&desk, &browser, "[old] a", spec).await.unwrap());
        found.file.iter().map(|file| file.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(by_name("*.vm?", false)).await, ["a.vmx"]);
    assert_eq!(names(by_name("VMWARE*", true)).await, ["vmware.log"]);
    assert!(names(by_name("VMWARE*", false)).await.is_empty());
    let flags = VmDiskFileQueryFlags {
        disk_type: true,
        capacity_kb: true,
        hardware_version: true,
        controller_type: Some(true),
        disk_extents: Some(true),
        thin: Some(true),
        ..Default::default()
    };
    let disks = |filter| HostDatastoreBrowserSearchSpec {
        query: vec![VmDiskFileQuery { filter, details: Some(flags.clone()), ..Default::default() }.into()],
        ..Default::default()
    };
    let found = results(&search(&desk, &browser, "[old] a", disks(None)).await.unwrap());
    let names_of =
        |found: &HostDatastoreBrowserSearchResults| found.file.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(
        names_of(&found),
        [
            "a-000001.vmdk",
            "a-000002.vmdk",
            "a_1-000001.vmdk",
            "a_1.vmdk",
            "a_2-000001.vmdk",
            "a_2-000002.vmdk",
            "a_2.vmdk"
        ]
    );
    let AnyFileInfo::VmDiskFileInfo(thick) = &found.file[3] else { panic!("no disk") };
    assert_eq!((thick.capacity_kb, thick.thin, thick.hardware_version), (Some(977), Some(false), Some(19)));
    assert_eq!(thick.disk_extents, ["a_1-flat.vmdk"]);
    assert_eq!(thick.controller_type.as_deref(), Some("ParaVirtualSCSIController"));
    let filter = VmDiskFileQueryFilter { thin: Some(true), ..Default::default() };
    let thin = results(&search(&desk, &browser, "[old] a", disks(Some(filter))).await.unwrap());
    assert_eq!(names_of(&thin), ["a_2.vmdk"]);
}

#[tokio::test]
async fn a_search_below_visits_every_folder_and_one_for_folders_finds_only_them() {
    let desk = desk().await;
    let browser: MoRef = desk.get(&find(&desk, "DC0/datastore/new").await, "browser").await;
    let below = async |path: &str, spec| {
        let this = browser.clone();
        let call = SearchDatastoreSubFoldersTask { this, datastore_path: path.to_owned(), search_spec: Some(spec) };
        let task = desk.ask(call).await.unwrap().unwrap();
        let info: TaskInfo = desk.get(&task, "info").await;
        let result = info.result.unwrap();
        result.get_list::<HostDatastoreBrowserSearchResults>(&mut Decode { strict: true, ..Decode::default() }).unwrap()
    };
    let everything = below("[new]", HostDatastoreBrowserSearchSpec::default()).await;
    let folders: Vec<_> = everything.iter().map(|found| found.folder_path.clone().unwrap()).collect();
    assert_eq!(folders, ["[new] ", "[new] a/", "[new] b/", "[new] iso/"]);
    assert_eq!(listed(&everything[3]), [("x.iso", "FileInfo")]);
    let query = vec![FolderFileQuery::default().into()];
    let only = below("[new]", HostDatastoreBrowserSearchSpec { query, ..Default::default() }).await;
    assert_eq!(only.iter().map(|found| found.file.len()).collect::<Vec<_>>(), [3, 0, 0, 0]);
}

#[tokio::test]
async fn what_a_browser_does_not_reach_is_refused_by_name() {
    let desk = desk().await;
    let browser: MoRef = desk.get(&find(&desk, "DC0/datastore/old").await, "browser").await;
    let of_host = find(&desk, "DC0/host/esx1.sim.invalid/esx1.sim.invalid").await;
    let of_host: MoRef = desk.get(&of_host, "datastoreBrowser").await;
    let none = HostDatastoreBrowserSearchSpec::default;
    assert_eq!(search(&desk, &browser, "[old] b", none()).await.unwrap_err(), "FileNotFound");
    assert_eq!(search(&desk, &browser, "[new] b", none()).await.unwrap_err(), "InvalidDatastore");
    assert_eq!(search(&desk, &browser, "old/a", none()).await.unwrap_err(), "InvalidDatastorePath");
    for path in ["[old] a", "[new] b"] {
        assert!(search(&desk, &of_host, path, none()).await.is_ok(), "{path}");
    }
    assert_eq!(search(&desk, &of_host, "[datastore1]", none()).await.unwrap_err(), "InvalidDatastore");
    let nobody = MoRef::new("HostDatastoreBrowser", "datastoreBrowser-vm-1");
    assert_eq!(search(&desk, &nobody, "[old]", none()).await.unwrap_err(), "ManagedObjectNotFound");
    assert_eq!(desk.list::<MoRef>(&of_host, "datastore").await.len(), 2);
}

#[tokio::test]
async fn a_vm_is_found_by_the_path_of_its_configuration() {
    let desk = desk().await;
    let (dc0, dc1) = (find(&desk, "DC0").await, find(&desk, "DC1").await);
    let by_path = async |datacenter: &MoRef, path: &str| {
        let this = MoRef::new("SearchIndex", "SearchIndex");
        desk.ask(FindByDatastorePath { this, datacenter: datacenter.clone(), path: path.to_owned() }).await
    };
    let vm = find(&desk, "DC0/vm/a").await;
    let config: VirtualMachineConfigInfo = desk.get(&vm, "config").await;
    assert_eq!(config.files.vm_path_name.as_deref(), Some("[old] a/a.vmx"));
    assert_eq!(by_path(&dc0, "[old] a/a.vmx").await, Ok(Some(vm)));
    for (datacenter, path) in [(&dc1, "[old] a/a.vmx"), (&dc0, "[new] a/a.vmx"), (&dc0, "[old] a/a.vmdk")] {
        assert_eq!(by_path(datacenter, path).await, Ok(None), "{path}");
    }
    assert_eq!(by_path(&dc0, "a/a.vmx").await.unwrap_err().0, "InvalidDatastorePath");
}

#[tokio::test]
async fn four_terabytes_are_listed_and_read_in_the_middle_at_once() {
    let text = "[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/a\"\n\
                [[vm.disk]]\nsize = \"4 TiB\"\ncontent = { kind = \"seeded\", seed = 1, fill = 0.001, compressibility = 0.5 }\n";
    let desk = Desk::with_inventory(text, Options::default()).await;
    let mut client = Client::tls(desk.simulator.world().addresses.vcenter).await;
    let credentials = format!("Basic {}", BASE64.encode("administrator@vsphere.local:simulated"));
    let headers = [("authorization", credentials.as_str()), ("range", "bytes=2199023255552-2199023259647")];
    let answer = client.send(Method::GET, "/folder/a/a-flat.vmdk?dcPath=DC0&dsName=datastore1", &headers, "").await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.headers["content-range"], "bytes 2199023255552-2199023259647/4398046511104");
    let mut right = vec![0; 4096];
    desk.simulator.world().exports.disk("DC0/vm/a", 0).unwrap().read_range(2 << 40, &mut right).unwrap();
    assert_eq!(answer.whole(), right);
}

#[tokio::test]
async fn a_vm_uses_the_datastore_of_an_image_in_its_drive_even_if_the_image_is_gone() {
    let text = "[[datacenter]]\nname = \"DC0\"\ndatastores = [\"disks\", \"images\", \"unused\"]\n[[vm]]\npath = \"DC0/vm/a\"\n\
                isos = [\"[images] x.iso\"]\nmissing_isos = [\"[images] x.iso\"]\n[[vm.disk]]\nsize = \"1 MiB\"\n";
    let mut desk = Desk::with_inventory(text, Options::default()).await;
    desk.log_in().await;
    let vm = find(&desk, "DC0/vm/a").await;
    let datastore = async |name: &str| find(&desk, &format!("DC0/datastore/{name}")).await;
    let (disks, images, unused) = (datastore("disks").await, datastore("images").await, datastore("unused").await);
    assert_eq!(desk.list::<MoRef>(&vm, "datastore").await, [disks, images.clone()]);
    assert_eq!(desk.list::<MoRef>(&images, "vm").await, [vm]);
    assert_eq!(desk.list::<MoRef>(&unused, "vm").await, []);
}
