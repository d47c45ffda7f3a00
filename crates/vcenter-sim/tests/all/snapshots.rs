//! Snapshots by the front door: the tree, the links under the disks, what goes wrong.

use vcenter_sim::faults::Settings;
use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceBackingInfo as Backing, ConsolidateVMDisksTask, CreateSnapshotExTask,
    CreateSnapshotTask, ExportSnapshot, HttpNfcLeaseInfo, RemoveAllSnapshotsTask, RemoveSnapshotTask, TaskInfo,
    TaskInfoState, VirtualDiskFlatVer2BackingInfo, VirtualMachineConfigInfo, VirtualMachineGuestQuiesceSpec,
    VirtualMachinePowerState as Power, VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree,
};

use crate::soap::Desk;
use crate::typed::desk;

const RUNNING: &str = "power = \"poweredOn\"\nguest_writes = 0.1\n";

fn quiesced(vm: &MoRef) -> CreateSnapshotTask {
    CreateSnapshotTask { this: vm.clone(), name: "quiet".to_owned(), quiesce: true, ..CreateSnapshotTask::default() }
}

fn remove(snapshot: &MoRef, remove_children: bool, consolidate: Option<bool>) -> RemoveSnapshotTask {
    RemoveSnapshotTask { this: snapshot.clone(), remove_children, consolidate }
}

/// Returns the tree from its root, which is a row here.
async fn row(desk: &Desk, vm: &MoRef) -> Vec<VirtualMachineSnapshotTree> {
    let Some(info) = desk.any(vm, "snapshot").await else { return Vec::new() };
    let info: VirtualMachineSnapshotInfo = info.get(&mut Default::default()).unwrap();
    let mut row = Vec::new();
    let mut level = info.root_snapshot_list;
    while let Some(mut tree) = level.pop() {
        assert!(level.is_empty(), "one child each");
        level = std::mem::take(&mut tree.child_snapshot_list);
        row.push(tree);
    }
    assert_eq!(info.current_snapshot.as_ref(), row.last().map(|tree| &tree.snapshot));
    row
}

async fn names(desk: &Desk, vm: &MoRef) -> Vec<String> {
    row(desk, vm).await.into_iter().map(|tree| tree.name).collect()
}

/// Returns the file names of a disk's chain in a configuration, the top first.
fn chain(config: &VirtualMachineConfigInfo, disk: i32) -> Vec<String> {
    let device = config.hardware.device.iter().find(|device| device.key == disk).unwrap();
    let AnyVirtualDevice::VirtualDisk(disk) = device else { panic!("{disk} is no disk") };
    let Some(Backing::VirtualDiskFlatVer2BackingInfo(top)) = &disk.base.backing else { panic!("another backing") };
    let links = std::iter::successors(Some(&**top), |link: &&VirtualDiskFlatVer2BackingInfo| link.parent.as_deref());
    links.map(|link| link.file_name.clone()).collect()
}

async fn chain_now(desk: &Desk, vm: &MoRef) -> Vec<String> {
    chain(&desk.get(vm, "config").await, 2000)
}

async fn needs_consolidation(desk: &Desk, vm: &MoRef) -> bool {
    desk.get(vm, "runtime.consolidationNeeded").await
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_stands_in_the_tree_and_begins_a_link_under_each_disk() {
    let (desk, vm) = desk(RUNNING, Settings::default()).await;
    assert!(desk.any(&vm, "snapshot").await.is_none());
    assert_eq!(desk.list::<MoRef>(&vm, "rootSnapshot").await, []);
    let first = desk.snapshot(&vm, "one").await;
    let call = CreateSnapshotTask {
        this: vm.clone(),
        name: "two".to_owned(),
        description: Some("with memory".to_owned()),
        memory: true,
        quiesce: true,
    };
    let second = desk.run(call).await.unwrap().unwrap();
    let row = row(&desk, &vm).await;
    assert_eq!(row.iter().map(|tree| &tree.snapshot).collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(
        row.iter().map(|tree| (tree.id, tree.description.as_str())).collect::<Vec<_>>(),
        [(1, ""), (2, "with memory")]
    );
    assert!(row.iter().all(|tree| tree.vm == vm && !tree.create_time.0.is_empty()));
    // Memory returns a running VM, and needs no quiet file systems.
    assert_eq!((&row[0].state, &row[1].state), (&Power::PoweredOff, &Power::PoweredOn));
    assert!(!row[1].quiesced);
    assert_eq!(desk.list::<MoRef>(&vm, "rootSnapshot").await, std::slice::from_ref(&first));
    assert_eq!(desk.list::<MoRef>(&first, "childSnapshot").await, std::slice::from_ref(&second));
    assert_eq!(desk.list::<MoRef>(&second, "childSnapshot").await, []);
    assert_eq!(desk.get::<MoRef>(&second, "vm").await, vm);
    let names = ["[datastore1] a/a-000002.vmdk", "[datastore1] a/a-000001.vmdk", "[datastore1] a/a.vmdk"];
    assert_eq!(chain_now(&desk, &vm).await, names);
    assert_eq!(chain(&desk.get(&second, "config").await, 2000), names[1..]);
    assert_eq!(chain(&desk.get(&first, "config").await, 2000), names[2..]);
    assert_eq!(chain(&desk.get(&vm, "config").await, 2001)[0], "[datastore1] a/a_1-000002.vmdk");
    assert_eq!(desk.simulator.world().soap.report()["open"]["snapshots"], 2);
}

#[tokio::test(start_paused = true)]
async fn quiescing_is_ignored_where_no_tools_run_and_the_snapshot_says_so() {
    for (more, expected) in [
        (RUNNING, true),
        ("power = \"poweredOn\"\ntools = \"notRunning\"\n", false),
        ("power = \"poweredOn\"\ntools = \"notInstalled\"\n", false),
        ("power = \"poweredOff\"\n", false),
    ] {
        // The fault is for those who quiesce.
        let (desk, vm) = desk(more, Settings { quiesce_fault: !expected, ..Settings::default() }).await;
        desk.run(quiesced(&vm)).await.unwrap();
        assert_eq!(row(&desk, &vm).await[0].quiesced, expected, "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_fails_late_and_leaves_nothing() {
    let faults = [
        (Settings { quiesce_fault: true, ..Settings::default() }, "ApplicationQuiesceFault"),
        (Settings { snapshot_no_space: true, ..Settings::default() }, "NoDiskSpace"),
    ];
    for (settings, expected) in faults {
        let (desk, vm) = desk(RUNNING, settings).await;
        // The call itself is accepted.
        let task = desk.ask(quiesced(&vm)).await.unwrap();
        assert_eq!(desk.end(task).await.unwrap_err(), expected);
        assert_eq!(names(&desk, &vm).await, Vec::<String>::new());
        assert_eq!(chain_now(&desk, &vm).await.len(), 1);
        let spec = VirtualMachineGuestQuiesceSpec { timeout: Some(10) };
        let ex = CreateSnapshotExTask {
            this: vm.clone(),
            name: "x".to_owned(),
            quiesce_spec: Some(spec.into()),
            ..CreateSnapshotExTask::default()
        };
        assert_eq!(desk.run(ex).await.unwrap_err(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn removing_a_snapshot_merges_its_link_and_names_may_be_the_same() {
    let (desk, vm) = desk(RUNNING, Settings::default()).await;
    let first = desk.snapshot(&vm, "same").await;
    let second = desk.snapshot(&vm, "same").await;
    desk.snapshot(&vm, "third").await;
    desk.run(remove(&second, false, None)).await.unwrap();
    assert_eq!(names(&desk, &vm).await, ["same", "third"]);
    let links = ["[datastore1] a/a-000003.vmdk", "[datastore1] a/a-000001.vmdk", "[datastore1] a/a.vmdk"];
    assert_eq!(chain_now(&desk, &vm).await, links);
    assert!(!needs_consolidation(&desk, &vm).await);
    // The reference is gone with the snapshot.
    assert_eq!(desk.run(remove(&second, false, None)).await.unwrap_err(), "ManagedObjectNotFound");
    desk.run(remove(&first, true, Some(true))).await.unwrap();
    assert_eq!((names(&desk, &vm).await.len(), chain_now(&desk, &vm).await.len()), (0, 1));
    assert_eq!(desk.simulator.world().soap.report()["open"]["snapshots"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_merged_asks_for_consolidation() {
    let (desk, vm) = desk(RUNNING, Settings::default()).await;
    let snapshot = desk.snapshot(&vm, "one").await;
    desk.run(remove(&snapshot, false, Some(false))).await.unwrap();
    assert!(needs_consolidation(&desk, &vm).await);
    assert_eq!((names(&desk, &vm).await.len(), chain_now(&desk, &vm).await.len()), (0, 2));
    desk.run(ConsolidateVMDisksTask { this: vm.clone() }).await.unwrap();
    assert!(!needs_consolidation(&desk, &vm).await);
    assert_eq!(chain_now(&desk, &vm).await.len(), 1);

    let world = desk.simulator.world();
    world.faults.update(|settings| settings.consolidation_needed_after_remove = true);
    desk.snapshot(&vm, "two").await;
    let all = RemoveAllSnapshotsTask { this: vm.clone(), consolidate: Some(true), spec: None };
    desk.run(all).await.unwrap();
    assert!(needs_consolidation(&desk, &vm).await);
    assert_eq!(world.soap.report()["consolidation_needed"][0], "DC0/vm/a");
    assert_eq!(world.faults.struck()["consolidation_needed_after_remove"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_chain_has_32_links_and_a_snapshot_a_name() {
    let (desk, vm) =
        desk(&format!("{RUNNING}{}", "[[vm.snapshot]]\nname = \"s\"\n".repeat(31)), Settings::default()).await;
    desk.snapshot(&vm, "the last").await;
    let more = CreateSnapshotTask { this: vm.clone(), name: "x".to_owned(), ..CreateSnapshotTask::default() };
    assert_eq!(desk.run(more).await.unwrap_err(), "TooManySnapshotLevels");
    assert_eq!(names(&desk, &vm).await.len(), 32);
    let nameless = CreateSnapshotTask { this: vm, ..CreateSnapshotTask::default() };
    assert_eq!(desk.run(nameless).await.unwrap_err(), "InvalidName");
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_the_inventory_are_there_from_the_start_and_are_nobodys_leak() {
    let snapshots = "[[vm.snapshot]]\nname = \"before\"\ndescription = \"an old one\"\nquiesced = true\n\
                     [[vm.snapshot]]\nname = \"after\"\n";
    let (desk, vm) = desk(&format!("guest_writes = 0.1\n{snapshots}"), Settings::default()).await;
    let row = row(&desk, &vm).await;
    assert_eq!(
        row.iter().map(|tree| (tree.name.as_str(), tree.quiesced)).collect::<Vec<_>>(),
        [("before", true), ("after", false)]
    );
    assert_eq!(chain_now(&desk, &vm).await.len(), 3);
    assert_eq!(desk.simulator.world().soap.report()["open"]["snapshots"], 0);
    let mine = desk.snapshot(&vm, "mine").await;
    assert_eq!(desk.simulator.world().soap.report()["open"]["snapshots"], 1);
    desk.run(remove(&mine, false, None)).await.unwrap();
    assert_eq!(names(&desk, &vm).await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn an_endless_task_holds_its_vm_for_ever() {
    let endless_task = Some("RemoveSnapshot_Task".to_owned());
    let (desk, vm) = desk(RUNNING, Settings { endless_task, ..Settings::default() }).await;
    let snapshot = desk.snapshot(&vm, "one").await;
    let task = desk.ask(remove(&snapshot, false, None)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    // An hour without a call ends a session.
    let mut desk = desk;
    desk.cookie = None;
    desk.log_in().await;
    let info: TaskInfo = desk.get(&task, "info").await;
    assert_eq!((info.state, info.progress), (TaskInfoState::Running, Some(50)));
    assert_eq!(desk.run(quiesced(&vm)).await.unwrap_err(), "TaskInProgress");
    assert_eq!(desk.simulator.world().soap.report()["open"]["tasks"], 1);
}

#[tokio::test(start_paused = true)]
async fn removing_takes_the_time_it_is_told_to() {
    let (desk, vm) = desk(RUNNING, Settings { snapshot_remove_ms: 90_000, ..Settings::default() }).await;
    let snapshot = desk.snapshot(&vm, "one").await;
    let began = tokio::time::Instant::now();
    let task = desk.ask(remove(&snapshot, false, None)).await.unwrap();
    assert_eq!(names(&desk, &vm).await, ["one"]);
    desk.end(task).await.unwrap();
    assert!(began.elapsed() >= std::time::Duration::from_secs(90));
    assert_eq!(names(&desk, &vm).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_independent_disk_is_in_no_snapshot_and_keeps_memory_out_of_it() {
    let first_disk = "[[vm.disk]]\nsize = \"1 MiB\"\nmode = \"independent_persistent\"\n";
    let (desk, vm) = desk(&format!("{RUNNING}{first_disk}"), Settings::default()).await;
    let memory = CreateSnapshotTask { this: vm.clone(), name: "m".to_owned(), memory: true, ..Default::default() };
    assert_eq!(desk.run(memory).await.unwrap_err(), "MemorySnapshotOnIndependentDisk");
    let snapshot = desk.snapshot(&vm, "disks only").await;
    let config = desk.get(&vm, "config").await;
    assert_eq!([2000, 2001, 2002].map(|disk| chain(&config, disk).len()), [1, 2, 2]);
    let lease = desk.ask(ExportSnapshot { this: snapshot }).await.unwrap();
    let info: HttpNfcLeaseInfo = desk.get(&lease, "info").await;
    let keys: Vec<_> = info.device_url.iter().filter(|url| url.disk == Some(true)).map(|url| &url.key).collect();
    assert!(keys.len() == 2 && keys[0].ends_with("0:1") && keys[1].ends_with("0:2"), "{keys:?}");
}
