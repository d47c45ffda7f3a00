//! What an export of a snapshot gives: the disks as they were, while the guest writes on.

use std::process::Command;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use vcenter_sim::content::DiskContent;
use vcenter_sim::faults::Settings;
use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    CreateDescriptor, CreateSnapshotTask, DestroyTask, ExportSnapshot, ExportVm, HttpNfcLeaseAbort,
    HttpNfcLeaseComplete, HttpNfcLeaseInfo, OvfCreateDescriptorParams, PowerOffVMTask, ReconfigVMTask,
    RemoveSnapshotTask, VirtualMachineConfigSpec,
};

use crate::client::Client;
use crate::soap::Desk;
use crate::typed::desk;

const VM: &str = "DC0/vm/a";
const RUNNING: &str = "power = \"poweredOn\"\nguest_writes = 0.2\n";

/// Returns the bytes of a disk, now or as a snapshot keeps them, as the simulator itself knows them.
fn bytes(desk: &Desk, disk: usize, snapshot: Option<&str>) -> Vec<u8> {
    let world = desk.simulator.world();
    let base = world.exports.disk(VM, disk).unwrap();
    raw(&DiskContent::layered(&base, disk, &world.soap.deltas(VM, snapshot).unwrap()))
}

fn raw(content: &Arc<DiskContent>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
    content.read_range(0, &mut bytes).unwrap();
    bytes
}

/// Fetches the disks of a lease and has qemu-img expand them.
async fn fetch(desk: &Desk, lease: &MoRef, qemu_img: &std::path::Path) -> Vec<Vec<u8>> {
    let info: HttpNfcLeaseInfo = desk.get(lease, "info").await;
    let mut host = Client::tls(desk.simulator.world().addresses.hosts[0].addr).await;
    let folder = tempfile::tempdir().unwrap();
    let mut disks = Vec::new();
    for url in info.device_url.iter().filter(|url| url.disk == Some(true)) {
        let path = url.url.splitn(4, '/').nth(3).unwrap();
        let (vmdk, image) = (folder.path().join("disk.vmdk"), folder.path().join("disk.raw"));
        std::fs::write(&vmdk, host.get(&format!("/{path}")).await.whole()).unwrap();
        let mut convert = Command::new(qemu_img);
        let output = convert.args(["convert", "-f", "vmdk", "-O", "raw"]).args([&vmdk, &image]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        disks.push(std::fs::read(&image).unwrap());
    }
    disks
}

fn sha256(disks: &[Vec<u8>]) -> Vec<Vec<u8>> {
    disks.iter().map(|disk| Sha256::digest(disk).to_vec()).collect()
}

async fn complete(desk: &Desk, lease: MoRef) {
    desk.ask(HttpNfcLeaseComplete { this: lease }).await.unwrap();
}

#[tokio::test]
async fn a_chain_arrives_flattened_up_to_the_snapshot_and_without_what_came_after() {
    let Some(qemu_img) = judges::qemu_img("a_chain_arrives_flattened_up_to_the_snapshot_and_without_what_came_after")
    else {
        return;
    };
    let (desk, vm) = desk(RUNNING, Settings::default()).await;
    let base = [bytes(&desk, 0, None), bytes(&desk, 1, None)];
    let first = desk.snapshot(&vm, "one").await;
    let second = desk.snapshot(&vm, "two").await;
    let states = [Some("one"), Some("two"), None].map(|name| [bytes(&desk, 0, name), bytes(&desk, 1, name)]);
    assert!(states[0] == base && states[1] != base && states[2] != states[1]);
    for (snapshot, state) in [(&first, &states[0]), (&second, &states[1])] {
        let lease = desk.ask(ExportSnapshot { this: snapshot.clone() }).await.unwrap();
        assert_eq!(sha256(&fetch(&desk, &lease, &qemu_img).await), sha256(state));
        complete(&desk, lease).await;
    }
    // What was written stays when the snapshots go, and when the VM is off all of it is exported.
    for snapshot in [first, second] {
        desk.run(RemoveSnapshotTask { this: snapshot, ..RemoveSnapshotTask::default() }).await.unwrap();
    }
    desk.run(PowerOffVMTask { this: vm.clone() }).await.unwrap();
    let lease = desk.ask(ExportVm { this: vm }).await.unwrap();
    assert_eq!(sha256(&fetch(&desk, &lease, &qemu_img).await), sha256(&states[2]));
    complete(&desk, lease).await;
}

#[tokio::test]
async fn the_control_endpoint_tells_what_a_snapshot_keeps() {
    let (desk, vm) = desk(RUNNING, Settings::default()).await;
    desk.snapshot(&vm, "one").await;
    let control = desk.simulator.control_url();
    let mut client = Client::plain(control.strip_prefix("http://").unwrap().parse().unwrap()).await;
    assert!(client.get("/disks?vm=DC0/vm/a&disk=0").await.whole() == bytes(&desk, 0, None));
    assert!(client.get("/disks?vm=DC0/vm/a&disk=0&snapshot=one").await.whole() == bytes(&desk, 0, Some("one")));
    assert!(bytes(&desk, 0, None) != bytes(&desk, 0, Some("one")));
    assert_eq!(client.get("/disks?vm=DC0/vm/a&disk=0&snapshot=two").await.status, http::StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_a_snapshot_holds_the_whole_vm_and_its_guest_goes_on() {
    let (desk, vm) = desk(RUNNING, Settings::default()).await;
    let snapshot = desk.snapshot(&vm, "one").await;
    let lease = desk.ask(ExportSnapshot { this: snapshot.clone() }).await.unwrap();
    let disabled: Vec<String> = desk.list(&vm, "disabledMethod").await;
    for method in ["CreateSnapshot_Task", "Destroy_Task", "PowerOffVM_Task", "ReconfigVM_Task"] {
        assert!(disabled.iter().any(|name| name == method), "{method} in {disabled:?}");
    }
    let take = CreateSnapshotTask { this: vm.clone(), name: "two".to_owned(), ..CreateSnapshotTask::default() };
    let remove = RemoveSnapshotTask { this: snapshot.clone(), ..RemoveSnapshotTask::default() };
    let reconfigure = ReconfigVMTask { this: vm.clone(), spec: VirtualMachineConfigSpec::default() };
    let refused = [
        desk.run(take).await,
        desk.run(remove.clone()).await,
        desk.run(reconfigure).await,
        desk.run(DestroyTask { this: vm.clone() }).await,
        desk.run(PowerOffVMTask { this: vm.clone() }).await,
        desk.ask(ExportSnapshot { this: snapshot.clone() }).await.map(Some).map_err(|(kind, _)| kind),
    ];
    assert!(refused.iter().all(|refused| refused.as_ref().is_err_and(|kind| kind == "TaskInProgress")), "{refused:?}");
    desk.ask(vsphere::wire::generated::ShutdownGuest { this: vm.clone() }).await.unwrap();
    desk.ask(HttpNfcLeaseAbort { this: lease, fault: None }).await.unwrap();
    desk.run(remove).await.unwrap();
    assert_eq!(desk.run(DestroyTask { this: vm }).await.unwrap_err(), "NotSupported");
    let report = desk.simulator.world().soap.report();
    assert_eq!((&report["open"]["leases"], &report["open"]["snapshots"]), (&0.into(), &0.into()), "{report:#}");
}

#[tokio::test(start_paused = true)]
async fn a_descriptor_of_a_snapshot_describes_the_vm_as_it_was() {
    let (desk, vm) = desk("isos = [\"[datastore1] iso/x.iso\"]\n", Settings::default()).await;
    let snapshot = desk.snapshot(&vm, "one").await;
    let spec =
        VirtualMachineConfigSpec { annotation: Some("second".to_owned()), ..VirtualMachineConfigSpec::default() };
    desk.run(ReconfigVMTask { this: vm.clone(), spec }).await.unwrap();
    let describe = |obj: &MoRef, snapshot: Option<&MoRef>| CreateDescriptor {
        this: MoRef::new("OvfManager", "OvfManager"),
        obj: obj.clone(),
        cdp: OvfCreateDescriptorParams { snapshot: snapshot.cloned(), ..OvfCreateDescriptorParams::default() },
    };
    let then = desk.ask(describe(&vm, Some(&snapshot))).await.unwrap();
    let now = desk.ask(describe(&vm, None)).await.unwrap();
    assert!(then.ovf_descriptor.contains("<Annotation>first<"), "{}", then.ovf_descriptor);
    assert!(now.ovf_descriptor.contains("<Annotation>second<"), "{}", now.ovf_descriptor);
    let unknown = MoRef::new("VirtualMachineSnapshot", "snapshot-99");
    let (kind, _) = desk.ask(describe(&vm, Some(&unknown))).await.unwrap_err();
    assert_eq!(kind, "ManagedObjectNotFound");
}
