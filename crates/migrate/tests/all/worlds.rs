//! Other worlds than one vCenter with one VM: a host without a vCenter, names that break tools, VMs
//! that cannot be exported as they are.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use migrate::ErrorKind;
use migrate::export::{Proof, Request, SnapshotPolicy, export};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;
use vcenter_sim::inventory::Scenario;
use vsphere::wire::generated::VirtualMachineFileLayoutExDiskLayout;

use crate::lab::{Heard, Lab};

async fn scenario(name: &str) -> Lab {
    Lab::with(Scenario::named(name).unwrap().text, Settings::default()).await
}

/// Returns the SHA-256 of the guest's bytes in a disk, as qemu-img reads them.
fn guest_sha256(qemu_img: &Path, disk: &Path) -> String {
    let raw = disk.with_extension("raw");
    let converted =
        Command::new(qemu_img).args(["convert", "-f", "vmdk", "-O", "raw"]).arg(disk).arg(&raw).output().unwrap();
    assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
    Sha256::digest(fs::read(&raw).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_vm_of_an_esxi_host_is_exported_over_star_urls_and_equals_its_content() {
    let test = "a_vm_of_an_esxi_host_is_exported_over_star_urls_and_equals_its_content";
    let Some(qemu_img) = judges::qemu_img(test) else { return };
    let lab = scenario("esxi").await;
    let heard = Arc::new(Heard::default());
    let report = lab.export_heard("router", &heard).await.unwrap();
    assert_eq!((report.vm_path.as_str(), report.proof), ("/ha-datacenter/vm/router", Some(Proof::Manifest)));
    assert_eq!(lab.files(), ["router-disk-0.vmdk", "router-file-0.nvram", "router.mf", "router.ovf"]);
    let disk = lab.target().join("router-disk-0.vmdk");
    assert_eq!(guest_sha256(&qemu_img, &disk), lab.contents_sha256("ha-datacenter/vm/router", 0));
    assert!(heard.warnings().is_empty(), "{:?}", heard.warnings());
}

#[tokio::test]
async fn every_hostile_name_is_listed_found_and_exported_into_the_target_directory() {
    let lab = scenario("hostile-names").await;
    let listed = migrate::inventory::list(&lab.source(), false, &CancellationToken::new()).await.unwrap();
    let inventory = &lab.simulator.world().inventory;
    assert_eq!(listed.len(), inventory.vms.len());
    let mut exported = 0;
    for vm in &listed {
        let before = lab.finished_files().len();
        let report = lab.export(&vm.path).await.unwrap_or_else(|error| panic!("{:?}: {}", vm.path, error.chain()));
        assert_eq!(report.vm_path, vm.path);
        let after = lab.finished_files();
        assert_eq!(after.len(), before + 4, "{:?} added a disk, nvram, descriptor and manifest: {after:?}", vm.path);
        exported += 1;
        // Two VMs may want one name; what was there is never written over, so make room.
        fs::remove_dir_all(lab.target()).unwrap();
    }
    assert_eq!(exported, inventory.vms.len());
}

#[tokio::test]
async fn what_cannot_be_exported_as_it_is_says_why_and_leaves_nothing() {
    let lab = scenario("every-disk").await;
    for (vm, word, hint) in [
        ("DC0/vm/states/encrypted", "encrypted", "decrypt it"),
        ("DC0/vm/states/missing-iso", "[datastore2] iso/gone.iso", "put [datastore2] iso/gone.iso back"),
        ("DC0/vm/raw/physical", "physical", "detach"),
        ("DC0/vm/states/orphaned", "orphaned", "host"),
        ("DC0/vm/modes/independent", "poweredOn", "snapshot"),
    ] {
        let error = lab.failing_export(vm).await;
        assert_eq!(error.kind(), ErrorKind::State, "{vm}: {}", error.chain());
        assert!(error.chain().contains(word), "{vm}: {} instead of {word}", error.chain());
        assert!(error.hint().is_some_and(|said| said.contains(hint)), "{vm}: {:?} without {hint}", error.hint());
        // The server would refuse some of them in much the same words; it must not have been asked.
        assert_eq!(lab.calls("ExportVm"), 0, "{vm}: {:#}", lab.soap());
        assert_eq!(lab.file_bytes_sent(), 0, "{vm}: no byte moves before the refusal");
    }
    // Else a count of none would say nothing.
    lab.export("DC0/vm/states/template").await.unwrap();
    assert_eq!(lab.calls("ExportVm"), 1, "{:#}", lab.soap());
}

#[tokio::test]
async fn a_template_eleven_disks_and_two_files_of_one_name_are_exported() {
    let test = "a_template_eleven_disks_and_two_files_of_one_name_are_exported";
    let Some(qemu_img) = judges::qemu_img(test) else { return };
    let lab = scenario("every-disk").await;
    for (vm, disks) in [
        ("DC0/vm/states/template", 1),
        ("DC0/vm/sizes/eleven", 11),
        ("DC0/vm/files/same-name", 2),
        ("DC0/vm/controllers/all", 7),
        ("DC0/vm/chains/all", 5),
        ("DC0/vm/raw/virtual", 1),
        ("DC0/vm/states/no-disk", 0),
        ("DC0/vm/app/in-vapp", 1),
    ] {
        let report = lab.export(vm).await.unwrap_or_else(|error| panic!("{vm}: {}", error.chain()));
        let found: Vec<_> = report.files.iter().filter(|file| file.capacity_bytes.is_some()).collect();
        assert_eq!(found.len(), disks, "{vm}");
        for (index, disk) in found.iter().enumerate() {
            let path = lab.target().join(&disk.name);
            assert_eq!(guest_sha256(&qemu_img, &path), lab.contents_sha256(vm, index), "{vm} disk {index}");
        }
    }
}

#[tokio::test]
async fn a_vm_with_twelve_snapshots_is_exported_as_it_is_now_with_one_more_and_without() {
    const VM: &str = "DC0/vm/chains/twelve-snapshots";
    let test = "a_vm_with_twelve_snapshots_is_exported_as_it_is_now_with_one_more_and_without";
    let Some(qemu_img) = judges::qemu_img(test) else { return };
    let lab = scenario("every-disk").await;
    let session = lab.session().await;
    let vm = vsphere::inventory::find(&session, VM).await.unwrap().moref;
    let chains = async || -> Vec<usize> {
        let object = vsphere::properties::read(&session, &vm, &["layoutEx.disk"]).await.unwrap();
        let disks: Vec<VirtualMachineFileLayoutExDiskLayout> = object.list("layoutEx.disk").unwrap();
        disks.iter().map(|disk| disk.chain.len()).collect()
    };
    assert_eq!(chains().await, [13, 14]);
    for (index, snapshot) in [None, Some(SnapshotPolicy::Crash)].into_iter().enumerate() {
        let output = lab.target().join(index.to_string());
        let request = Request { snapshot, output: output.clone(), vm: VM.to_owned(), ..Request::default() };
        let result = export(&lab.source(), &request, Arc::<Heard>::default(), CancellationToken::new()).await;
        let report = result.unwrap_or_else(|error| panic!("{snapshot:?}: {}", error.chain()));
        assert_eq!(report.proof, Some(Proof::Manifest));
        for disk in 0..2 {
            let path = output.join(format!("twelve-snapshots-disk-{disk}.vmdk"));
            assert_eq!(guest_sha256(&qemu_img, &path), lab.contents_sha256_now(VM, disk), "{snapshot:?} disk {disk}");
            assert_ne!(lab.contents_sha256_now(VM, disk), lab.contents_sha256(VM, disk), "the snapshots hold nothing");
        }
        // Those of others are still there, and ours is not.
        assert_eq!(chains().await, [13, 14], "{snapshot:?}");
    }
    session.logout().await.unwrap();
    lab.assert_nothing_left();
}

#[tokio::test]
async fn a_disk_of_four_terabytes_with_little_on_it_is_exported_as_it_is() {
    let lab = scenario("every-disk").await;
    let report = lab.export("DC0/vm/sizes/four-terabytes").await.unwrap();
    let disk = report.files.iter().find(|file| file.capacity_bytes.is_some()).unwrap();
    assert_eq!(disk.capacity_bytes, Some(4 << 40));
    assert_eq!(disk.proof, Some(Proof::Manifest));
}
