//! Disks that snapshots leave out: independent ones and LUNs in physical mode.

use vcenter_sim::Options;
use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceBackingInfo, ExportSnapshot, ExportVm, FindByInventoryPath, HttpNfcLeaseInfo,
    PowerOffVMTask, VirtualMachineConfigInfo,
};

use crate::soap::Desk;

const VM: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/a"
power = "poweredOn"
guest_writes = 0.5
[[vm.disk]]
size = "1 MiB"
[[vm.disk]]
size = "1 MiB"
mode = "independent_persistent"
[[vm.disk]]
size = "1 MiB"
backing = "rdm-physical"
[[vm.disk]]
size = "1 MiB"
backing = "rdm-virtual"
"#;

async fn desk() -> (Desk, MoRef) {
    let mut desk = Desk::with_inventory(VM, Options::default()).await;
    desk.log_in().await;
    let this = MoRef::new("SearchIndex", "SearchIndex");
    let found = desk.ask(FindByInventoryPath { this, inventory_path: "DC0/vm/a".to_owned() }).await;
    (desk, found.unwrap().unwrap())
}

#[tokio::test]
async fn independent_disks_and_physical_luns_have_no_link_above_and_are_in_no_export_of_a_snapshot() {
    let (desk, vm) = desk().await;
    let snapshot = desk.snapshot(&vm, "s").await;
    let config: VirtualMachineConfigInfo = desk.get(&vm, "config").await;
    let mut seen = Vec::new();
    for device in &config.hardware.device {
        let AnyVirtualDevice::VirtualDisk(disk) = device else { continue };
        seen.push(match disk.backing.as_ref().unwrap() {
            AnyVirtualDeviceBackingInfo::VirtualDiskFlatVer2BackingInfo(flat) => {
                (flat.disk_mode.clone(), flat.parent.is_some())
            }
            AnyVirtualDeviceBackingInfo::VirtualDiskRawDiskMappingVer1BackingInfo(raw) => {
                (raw.compatibility_mode.clone().unwrap(), raw.parent.is_some())
            }
            other => panic!("{other:?}"),
        });
    }
    let expected =
        [("persistent", true), ("independent_persistent", false), ("physicalMode", false), ("virtualMode", false)];
    assert_eq!(seen, expected.map(|(mode, above)| (mode.to_owned(), above)));
    let lease = desk.ask(ExportSnapshot { this: snapshot }).await.unwrap();
    let info: HttpNfcLeaseInfo = desk.get(&lease, "info").await;
    let disks = info.device_url.iter().filter(|url| url.disk == Some(true));
    let names: Vec<_> = disks.filter_map(|url| url.target_id.as_deref()).collect();
    assert_eq!(names, ["disk-0.vmdk", "disk-3.vmdk"]);
}

#[tokio::test]
async fn a_vm_with_a_physical_lun_is_not_exported_when_it_is_off() {
    let (desk, vm) = desk().await;
    desk.run(PowerOffVMTask { this: vm.clone() }).await.unwrap();
    let (fault, text) = desk.ask(ExportVm { this: vm }).await.unwrap_err();
    assert_eq!(fault, "InvalidState");
    assert!(text.contains("hard disk 3") && text.contains("physical"), "{text}");
}
