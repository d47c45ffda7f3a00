//! Power, guests and reconfiguration by the front door.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vcenter_sim::faults::Settings;
use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    AnyVirtualDeviceConfigSpec, ConsolidateVMDisksTask, CreateDescriptor, CreateFilter, CreateSnapshotTask, ExportVm,
    HttpNfcLeaseAbort, HttpNfcLeaseInfo, ObjectSpec, OvfCreateDescriptorParams, PowerOffVMTask, PowerOnVMTask,
    PropertyFilterSpec, PropertySpec, RebootGuest, ReconfigVMTask, RemoveAllSnapshotsTask, ResetVMTask, ShutdownGuest,
    StandbyGuest, SuspendVMTask, VirtualCdrom, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecOperation, VirtualMachineConfigInfo, VirtualMachineConfigSpec,
    VirtualMachinePowerState as Power, WaitForUpdatesEx,
};

use crate::soap::Desk;
use crate::typed::desk;

const ON: &str = "power = \"poweredOn\"\nshutdown_s = 30.0\n";

async fn power(desk: &Desk, vm: &MoRef) -> Power {
    desk.get(vm, "runtime.powerState").await
}

async fn guest_state(desk: &Desk, vm: &MoRef) -> String {
    desk.get(vm, "guest.guestState").await
}

/// Makes a call by its method's name; whether it is accepted, else the type of the refusal.
async fn accepted(desk: &Desk, vm: &MoRef, method: &str) -> Result<(), String> {
    let this = vm.clone();
    let task = match method {
        "PowerOnVM_Task" => desk.run(PowerOnVMTask { this, host: None }).await,
        "PowerOffVM_Task" => desk.run(PowerOffVMTask { this }).await,
        "SuspendVM_Task" => desk.run(SuspendVMTask { this }).await,
        "ResetVM_Task" => desk.run(ResetVMTask { this }).await,
        "ReconfigVM_Task" => desk.run(ReconfigVMTask { this, ..ReconfigVMTask::default() }).await,
        "CreateSnapshot_Task" => {
            desk.run(CreateSnapshotTask { this, name: "s".to_owned(), ..CreateSnapshotTask::default() }).await
        }
        "RemoveAllSnapshots_Task" => {
            desk.run(RemoveAllSnapshotsTask { this, ..RemoveAllSnapshotsTask::default() }).await
        }
        "ConsolidateVMDisks_Task" => desk.run(ConsolidateVMDisksTask { this }).await,
        "ShutdownGuest" => return desk.ask(ShutdownGuest { this }).await.map_err(|(kind, _)| kind),
        "RebootGuest" => return desk.ask(RebootGuest { this }).await.map_err(|(kind, _)| kind),
        "StandbyGuest" => return desk.ask(StandbyGuest { this }).await.map_err(|(kind, _)| kind),
        other => panic!("{other}"),
    };
    task.map(drop)
}

const METHODS: [&str; 11] = [
    "PowerOnVM_Task",
    "PowerOffVM_Task",
    "SuspendVM_Task",
    "ResetVM_Task",
    "ReconfigVM_Task",
    "CreateSnapshot_Task",
    "RemoveAllSnapshots_Task",
    "ConsolidateVMDisks_Task",
    "ShutdownGuest",
    "RebootGuest",
    "StandbyGuest",
];

#[tokio::test(start_paused = true)]
async fn in_each_power_state_just_the_disabled_methods_are_refused() {
    for (state, refused) in [("poweredOn", 1), ("poweredOff", 6), ("suspended", 5)] {
        let mut count = 0;
        for method in METHODS {
            let (desk, vm) = desk(&format!("power = \"{state}\"\n"), Settings::default()).await;
            let disabled: Vec<String> = desk.list(&vm, "disabledMethod").await;
            let result = accepted(&desk, &vm, method).await;
            let expected =
                if disabled.iter().any(|name| name == method) { Err("InvalidPowerState".to_owned()) } else { Ok(()) };
            assert_eq!(result, expected, "{method} when {state}");
            count += usize::from(result.is_err());
        }
        assert_eq!(count, refused, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vm_is_suspended_wakes_up_and_is_reset() {
    let (desk, vm) = desk(ON, Settings::default()).await;
    desk.run(SuspendVMTask { this: vm.clone() }).await.unwrap();
    assert_eq!(power(&desk, &vm).await, Power::Suspended);
    let running: String = desk.get(&vm, "guest.toolsRunningStatus").await;
    assert_eq!((running.as_str(), guest_state(&desk, &vm).await.as_str()), ("guestToolsNotRunning", "notRunning"));
    desk.run(PowerOnVMTask { this: vm.clone(), host: None }).await.unwrap();
    let booted: vsphere::wire::DateTime = desk.get(&vm, "runtime.bootTime").await;
    desk.run(ResetVMTask { this: vm.clone() }).await.unwrap();
    assert_eq!(power(&desk, &vm).await, Power::PoweredOn);
    assert!(desk.get::<vsphere::wire::DateTime>(&vm, "runtime.bootTime").await > booted);
}

#[tokio::test(start_paused = true)]
async fn a_guest_shuts_down_in_its_own_time() {
    let (desk, vm) = desk(ON, Settings::default()).await;
    let running: String = desk.get(&vm, "guest.toolsRunningStatus").await;
    assert_eq!((running.as_str(), guest_state(&desk, &vm).await.as_str()), ("guestToolsRunning", "running"));
    let began = Instant::now();
    desk.ask(ShutdownGuest { this: vm.clone() }).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    assert_eq!((power(&desk, &vm).await, guest_state(&desk, &vm).await.as_str()), (Power::PoweredOn, "shuttingDown"));
    while power(&desk, &vm).await == Power::PoweredOn {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(30));
    assert_eq!((power(&desk, &vm).await, guest_state(&desk, &vm).await.as_str()), (Power::PoweredOff, "notRunning"));
}

#[tokio::test(start_paused = true)]
async fn a_guest_reboots_and_sleeps_when_it_is_asked() {
    let (desk, vm) = desk(ON, Settings::default()).await;
    let booted: vsphere::wire::DateTime = desk.get(&vm, "runtime.bootTime").await;
    desk.ask(RebootGuest { this: vm.clone() }).await.unwrap();
    assert_eq!(guest_state(&desk, &vm).await, "resetting");
    sleep(Duration::from_secs(31)).await;
    assert_eq!((power(&desk, &vm).await, guest_state(&desk, &vm).await.as_str()), (Power::PoweredOn, "running"));
    assert!(desk.get::<vsphere::wire::DateTime>(&vm, "runtime.bootTime").await > booted);
    desk.ask(StandbyGuest { this: vm.clone() }).await.unwrap();
    sleep(Duration::from_secs(31)).await;
    assert_eq!(power(&desk, &vm).await, Power::Suspended);
}

#[tokio::test(start_paused = true)]
async fn a_guest_may_ignore_it_and_without_tools_there_is_nobody_to_ask() {
    let (deaf, vm) = desk(ON, Settings { shutdown_ignored: true, ..Settings::default() }).await;
    deaf.ask(ShutdownGuest { this: vm.clone() }).await.unwrap();
    sleep(Duration::from_secs(600)).await;
    assert_eq!((power(&deaf, &vm).await, guest_state(&deaf, &vm).await.as_str()), (Power::PoweredOn, "running"));
    assert_eq!(deaf.simulator.world().faults.struck()["shutdown_ignored"], 1);
    // Whoever waits in vain switches it off.
    deaf.run(PowerOffVMTask { this: vm.clone() }).await.unwrap();
    assert_eq!(power(&deaf, &vm).await, Power::PoweredOff);
    for tools in ["notRunning", "notInstalled"] {
        let (desk, vm) = desk(&format!("{ON}tools = \"{tools}\"\n"), Settings::default()).await;
        for method in ["ShutdownGuest", "RebootGuest", "StandbyGuest"] {
            assert_eq!(accepted(&desk, &vm, method).await.unwrap_err(), "ToolsUnavailable", "{method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn switching_a_vm_off_ends_what_its_guest_was_about_to_do() {
    let (desk, vm) = desk(ON, Settings::default()).await;
    desk.ask(ShutdownGuest { this: vm.clone() }).await.unwrap();
    desk.run(PowerOffVMTask { this: vm.clone() }).await.unwrap();
    desk.run(PowerOnVMTask { this: vm.clone(), host: None }).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((power(&desk, &vm).await, guest_state(&desk, &vm).await.as_str()), (Power::PoweredOn, "running"));
}

#[tokio::test(start_paused = true)]
async fn a_guest_writes_above_a_snapshot_only_while_it_runs() {
    let (desk, vm) = desk("guest_writes = 0.5\n", Settings::default()).await;
    desk.snapshot(&vm, "while off").await;
    let share = |desk: &Desk| desk.simulator.world().soap.deltas("DC0/vm/a", None).unwrap()[0].share;
    assert_eq!(share(&desk), 0);
    desk.run(PowerOnVMTask { this: vm.clone(), host: None }).await.unwrap();
    assert_eq!(share(&desk), 0x8000);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_task_is_told_when_it_ends() {
    let (desk, vm) = desk("", Settings::default()).await;
    let collector = MoRef::new("PropertyCollector", "propertyCollector");
    let task = desk.ask(PowerOnVMTask { this: vm, host: None }).await.unwrap();
    let set =
        PropertySpec { type_: "Task".to_owned(), path_set: vec!["info.state".to_owned()], ..PropertySpec::default() };
    let object_set = vec![ObjectSpec { obj: task.clone(), ..ObjectSpec::default() }];
    let spec = PropertyFilterSpec { prop_set: vec![set], object_set, ..PropertyFilterSpec::default() };
    desk.ask(CreateFilter { this: collector.clone(), spec, partial_updates: false }).await.unwrap();
    let began = Instant::now();
    let (mut version, mut states) = (String::new(), Vec::new());
    while states.last().is_none_or(|state| state != "success") {
        let wait = WaitForUpdatesEx { this: collector.clone(), version: Some(version), options: None };
        let updates = desk.ask(wait).await.unwrap().unwrap();
        version = updates.version;
        let objects = updates.filter_set.into_iter().flat_map(|filter| filter.object_set);
        let values = objects.flat_map(|object| object.change_set).map(|change| change.val.unwrap());
        states.extend(values.map(|value| value.element().text.clone()));
    }
    assert_eq!(states, ["queued", "running", "success"]);
    // By the clock of the test, which stands still while anybody works.
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

fn cdrom(operation: VirtualDeviceConfigSpecOperation, key: i32) -> VirtualMachineConfigSpec {
    let device = VirtualCdrom { base: VirtualDevice { key, ..VirtualDevice::default() } };
    let change = VirtualDeviceConfigSpec {
        operation: Some(operation),
        device: device.into(),
        ..VirtualDeviceConfigSpec::default()
    };
    let device_change: Vec<AnyVirtualDeviceConfigSpec> = vec![change.into()];
    VirtualMachineConfigSpec { device_change, ..VirtualMachineConfigSpec::default() }
}

/// Returns the keys of the files that a lease offers.
async fn offered(desk: &Desk, vm: &MoRef) -> Vec<String> {
    let lease = desk.ask(ExportVm { this: vm.clone() }).await.unwrap();
    let info: HttpNfcLeaseInfo = desk.get(&lease, "info").await;
    desk.ask(HttpNfcLeaseAbort { this: lease, fault: None }).await.unwrap();
    info.device_url.into_iter().map(|url| url.key.split('/').next_back().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_was_removed_is_neither_shown_nor_exported_nor_described() {
    let (desk, vm) =
        desk("isos = [\"[datastore1] iso/x.iso\", \"[datastore1] iso/y.iso\"]\n", Settings::default()).await;
    assert_eq!(offered(&desk, &vm).await[3..], ["VirtualIDEController0:0", "VirtualIDEController0:1"]);
    let spec = cdrom(VirtualDeviceConfigSpecOperation::Remove, 3000);
    desk.run(ReconfigVMTask { this: vm.clone(), spec }).await.unwrap();
    let config: VirtualMachineConfigInfo = desk.get(&vm, "config").await;
    let keys: Vec<i32> = config.hardware.device.iter().map(|device| device.key).collect();
    assert!(!keys.contains(&3000) && keys.contains(&3001), "{keys:?}");
    assert_eq!(config.change_version, "2025-01-01T00:00:02.000000Z", "it moves with each change");
    assert_eq!(offered(&desk, &vm).await[3..], ["VirtualIDEController0:1"]);
    let describe = CreateDescriptor {
        this: MoRef::new("OvfManager", "OvfManager"),
        obj: vm.clone(),
        cdp: OvfCreateDescriptorParams::default(),
    };
    let descriptor = desk.ask(describe).await.unwrap();
    assert_eq!(descriptor.warning.len(), 1);
    assert!(!descriptor.ovf_descriptor.contains("CD/DVD drive 1"), "{}", descriptor.ovf_descriptor);
    assert!(descriptor.ovf_descriptor.contains("CD/DVD drive 2"), "{}", descriptor.ovf_descriptor);
}

#[tokio::test(start_paused = true)]
async fn a_reconfiguration_is_seen_in_properties_or_ends_late_in_an_error() {
    let (desk, vm) = desk("", Settings::default()).await;
    let spec = VirtualMachineConfigSpec {
        annotation: Some("second".to_owned()),
        change_tracking_enabled: Some(true),
        ..VirtualMachineConfigSpec::default()
    };
    desk.run(ReconfigVMTask { this: vm.clone(), spec }).await.unwrap();
    assert_eq!(desk.get::<String>(&vm, "config.annotation").await, "second");
    assert_eq!(desk.get::<String>(&vm, "summary.config.annotation").await, "second");
    assert!(desk.get::<bool>(&vm, "config.changeTrackingEnabled").await);
    let wrong = cdrom(VirtualDeviceConfigSpecOperation::Remove, 3000);
    let task = desk.ask(ReconfigVMTask { this: vm.clone(), spec: wrong }).await.unwrap();
    assert_eq!(desk.end(task).await.unwrap_err(), "InvalidDeviceSpec");
}
