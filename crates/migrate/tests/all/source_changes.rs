//! What an export may do to its source when it is asked to: shut the VM down, take media out of its drives; and
//! what it leaves out of the package without touching the source.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diskimage::package::ovf::Descriptor;
use migrate::export::{DiskChoice, Phase, Report, Request, Shutdown, SnapshotPolicy, export};
use migrate::{Error, ErrorKind, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::{CutAfter, Settings};
use vsphere::cdrom::{self, Loaded};
use vsphere::power;
use vsphere::wire::generated::VirtualMachinePowerState as Power;

use crate::lab::{Heard, Lab, until};

/// A VM that runs, with an image in its drive and three disks.
const APP: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/app"
power = "poweredOn"
shutdown_s = 0.2
isos = ["[datastore1] iso/tools.iso"]
[[vm.disk]]
size = "8MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
[[vm.disk]]
size = "16MiB"
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }
[[vm.disk]]
size = "4MiB"
content = { kind = "seeded", seed = 3, fill = 0.5, compressibility = 0.5 }
"#;

const MIB: u64 = 1 << 20;

fn off() -> String {
    APP.replace("poweredOn", "poweredOff")
}

fn shutdown(seconds: u64, force_off: bool) -> Option<Shutdown> {
    Some(Shutdown { limit: Duration::from_secs(seconds), force_off })
}

async fn run(lab: &Lab, request: Request) -> (Result<Report>, String) {
    let heard = Arc::new(Heard::default());
    let result = lab.run(&request, &heard, CancellationToken::new()).await;
    (result, heard.warnings().join("\n"))
}

async fn fails(lab: &Lab, request: Request) -> Error {
    let error = run(lab, request).await.0.unwrap_err();
    assert_eq!(lab.finished_files(), Vec::<String>::new());
    error
}

async fn power_of(lab: &Lab) -> Power {
    let session = lab.session().await;
    let vm = vsphere::inventory::find(&session, "app").await.unwrap().moref;
    let power = power::state(&session, &vm).await.unwrap();
    session.logout().await.unwrap();
    power
}

async fn drives(lab: &Lab) -> Vec<Option<Loaded>> {
    let session = lab.session().await;
    let vm = vsphere::inventory::find(&session, "app").await.unwrap().moref;
    let drives = cdrom::drives(&session, &vm).await.unwrap();
    session.logout().await.unwrap();
    drives.iter().map(|drive| Loaded::of(drive)).collect()
}

fn descriptor(directory: &Path) -> Descriptor {
    Descriptor::parse(&fs::read(directory.join("app.ovf")).unwrap()).unwrap()
}

/// Returns CIM's numbers of the devices in a descriptor.
fn devices(descriptor: &Descriptor) -> Vec<u32> {
    descriptor.virtual_systems[0].hardware[0].items.iter().map(|item| item.resource_type).collect()
}

const CDROM: u32 = 15;

#[tokio::test]
async fn a_guest_is_shut_down_its_vm_is_exported_and_stays_off() {
    let lab = Lab::with(APP, Settings::default()).await;
    let (report, said) = run(&lab, Request { shutdown: shutdown(60, false), ..lab.request("app") }).await;
    report.unwrap();
    assert!(said.contains("shut /DC0/vm/app down") && said.contains("stays off"), "{said}");
    assert_eq!(power_of(&lab).await, Power::PoweredOff);
    assert_eq!((lab.calls("ShutdownGuest"), lab.calls("PowerOffVM_Task")), (1, 0));
}

#[tokio::test]
async fn a_vm_that_is_off_is_asked_nothing() {
    let lab = Lab::with(&off(), Settings::default()).await;
    let (report, said) = run(&lab, Request { shutdown: shutdown(60, true), ..lab.request("app") }).await;
    report.unwrap();
    assert!(!said.contains("down"), "{said}");
    assert_eq!((lab.calls("ShutdownGuest"), lab.calls("PowerOffVM_Task")), (0, 0));
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_left_running_unless_force_is_allowed() {
    let lab = Lab::with(APP, Settings { shutdown_ignored: true, ..Settings::default() }).await;
    let error = fails(&lab, Request { shutdown: shutdown(1, false), ..lab.request("app") }).await;
    assert_eq!(error.kind(), ErrorKind::Late, "{}", error.chain());
    assert!(error.hint().unwrap().contains("--force-off"), "{:?}", error.hint());
    assert_eq!(power_of(&lab).await, Power::PoweredOn);
    let (report, said) = run(&lab, Request { shutdown: shutdown(1, true), ..lab.request("app") }).await;
    report.unwrap();
    assert!(said.contains("its power was taken"), "{said}");
    assert_eq!((power_of(&lab).await, lab.calls("PowerOffVM_Task")), (Power::PoweredOff, 1));
}

#[tokio::test]
async fn a_guest_without_tools_is_refused_before_anything_is_done_and_force_needs_none() {
    let lab = Lab::with(&APP.replace("shutdown_s", "tools = \"notInstalled\"\nshutdown_s"), Settings::default()).await;
    let error = fails(&lab, Request { shutdown: shutdown(60, false), ..lab.request("app") }).await;
    assert_eq!(error.kind(), ErrorKind::State, "{}", error.chain());
    assert!(error.chain().contains("VMware Tools"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("--force-off"), "{:?}", error.hint());
    assert_eq!((lab.calls("ShutdownGuest"), lab.files().len()), (0, 0));
    run(&lab, Request { shutdown: shutdown(60, true), ..lab.request("app") }).await.0.unwrap();
    assert_eq!(power_of(&lab).await, Power::PoweredOff);
}

#[tokio::test]
async fn nothing_is_shut_down_for_an_export_that_cannot_be() {
    let lab = Lab::with(APP, Settings::default()).await;
    fs::create_dir_all(lab.target()).unwrap();
    fs::write(lab.target().join("app.ovf"), "a stranger's").unwrap();
    let request = Request { shutdown: shutdown(60, true), ..lab.request("app") };
    assert_eq!(run(&lab, request.clone()).await.0.unwrap_err().kind(), ErrorKind::Target);
    let with_snapshot = Request { snapshot: Some(SnapshotPolicy::Crash), ..request };
    assert_eq!(run(&lab, with_snapshot).await.0.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(power_of(&lab).await, Power::PoweredOn);
}

#[tokio::test]
async fn a_stop_while_a_guest_shuts_down_ends_the_export_and_not_the_guest() {
    let lab = Lab::with(APP, Settings { shutdown_ignored: true, ..Settings::default() }).await;
    let (heard, cancel) = (Arc::new(Heard::default()), CancellationToken::new());
    let request = Request { shutdown: shutdown(300, true), ..lab.request("app") };
    let stop = async {
        until("the call", || lab.calls("ShutdownGuest") > 0).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(lab.run(&request, &heard, cancel.clone()), stop);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(error.chain().contains("may still do it"), "{}", error.chain());
    assert_eq!(lab.calls("PowerOffVM_Task"), 0);
}

#[tokio::test]
async fn answers_about_power_that_are_lost_are_looked_for() {
    for method in ["ShutdownGuest", "PowerOffVM_Task"] {
        let settings = Settings { shutdown_ignored: method == "PowerOffVM_Task", ..Settings::default() };
        let lab = Lab::with(APP, settings).await;
        let rule = json!({"when": {"method": method}, "then": {"reset_at": 0}, "nth": 1}).to_string();
        lab.rules(&[&rule]);
        run(&lab, Request { shutdown: shutdown(2, true), ..lab.request("app") }).await.0.unwrap();
        lab.assert_struck();
        assert_eq!(power_of(&lab).await, Power::PoweredOff, "{method}");
    }
}

#[tokio::test]
async fn a_medium_is_out_while_bytes_move_and_back_afterwards() {
    let lab = Lab::with(&off(), Settings::default()).await;
    let before = drives(&lab).await;
    assert_eq!(before[0].as_ref().unwrap().medium.to_string(), "[datastore1] iso/tools.iso");
    let (report, said) = run(&lab, Request { eject_cdrom: true, ..lab.request("app") }).await;
    report.unwrap();
    assert!(!said.contains("iso"), "the lease had no image to leave out: {said}");
    assert_eq!(lab.calls("ReconfigVM_Task"), 2);
    assert_eq!(drives(&lab).await, before);
    assert!(devices(&descriptor(&lab.target())).contains(&CDROM), "the drive itself is part of the machine");
    assert!(!lab.files().contains(&".app.export".to_owned()));
}

#[tokio::test]
async fn an_image_that_is_gone_refuses_the_export_and_taking_it_out_is_the_named_way() {
    let gone = off().replace("isos =", "missing_isos = [\"[datastore1] iso/tools.iso\"]\nisos =");
    let lab = Lab::with(&gone, Settings::default()).await;
    let error = fails(&lab, lab.request("app")).await;
    assert_eq!(error.kind(), ErrorKind::State, "{}", error.chain());
    assert!(error.chain().contains("iso/tools.iso"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("-eject-cdrom"), "{:?}", error.hint());
    let before = drives(&lab).await;
    run(&lab, Request { eject_cdrom: true, ..lab.request("app") }).await.0.unwrap();
    assert_eq!(drives(&lab).await, before);
}

#[tokio::test]
async fn every_failure_after_the_eject_puts_the_medium_back() {
    let cut = CutAfter { file: "disk-0.vmdk".into(), bytes: MIB, times: None };
    for settings in [
        Settings { clean_end_after_bytes: Some(cut), ..Settings::default() },
        Settings { create_descriptor_fault: true, ..Settings::default() },
    ] {
        let lab = Lab::with(&off(), settings).await;
        let before = drives(&lab).await;
        fails(&lab, Request { eject_cdrom: true, ..lab.request("app") }).await;
        assert_eq!(drives(&lab).await, before);
    }
}

#[tokio::test]
async fn a_medium_comes_back_whatever_happens_to_the_calls_about_it() {
    let broken = json!({"type": "TaskInProgress", "fields": {"task": {"type": "Task", "id": "task-1"}}});
    for (nth, then) in [
        (1, json!({"reset_at": 0})),
        (2, json!({"reset_at": 0})),
        (2, json!({"fault": broken})),
        (2, json!({"answer": {"status": 503}})),
        (2, json!({"kill_session": true})),
        (2, json!({"task": {"fails": {"type": "SystemError", "message": "busy", "fields": {"reason": "r"}}}})),
    ] {
        let lab = Lab::with(&off(), Settings::default()).await;
        let before = drives(&lab).await;
        let rule = json!({"when": {"method": "ReconfigVM_Task"}, "then": then, "nth": nth}).to_string();
        lab.rules(&[&rule]);
        let (result, _) = run(&lab, Request { eject_cdrom: true, ..lab.request("app") }).await;
        lab.assert_struck();
        assert_eq!(result.is_ok(), nth == 2, "{rule}: {result:?}");
        assert_eq!(drives(&lab).await, before, "{rule}");
        assert!(!lab.files().contains(&".app.export".to_owned()), "{rule}: {:?}", lab.files());
    }
}

#[tokio::test]
async fn a_medium_that_cannot_be_put_back_is_named_and_noted_for_the_next_export() {
    let lab = Lab::with(&off(), Settings::default()).await;
    let before = drives(&lab).await;
    lab.rules(&[r#"{"when":{"method":"ReconfigVM_Task"},"nth":2,"then":{"fault":{"type":"RestrictedVersion"}}}"#]);
    let (report, said) = run(&lab, Request { eject_cdrom: true, ..lab.request("app") }).await;
    report.unwrap();
    assert!(said.contains("iso/tools.iso") && said.contains("may be out of its drive"), "{said}");
    assert_eq!(drives(&lab).await, [None]);
    let claim = fs::read_to_string(lab.target().join(".app.export")).unwrap();
    assert!(claim.contains("[datastore1] iso/tools.iso"), "{claim}");
    lab.simulator.world().faults.remove_rules(None);
    for file in lab.finished_files() {
        fs::remove_file(lab.target().join(file)).unwrap();
    }
    let (report, said) = run(&lab, lab.request("app")).await;
    report.unwrap();
    assert!(said.contains("put back what an earlier export had taken out"), "{said}");
    assert_eq!(drives(&lab).await, before);
    assert!(!lab.files().contains(&".app.export".to_owned()), "{:?}", lab.files());
}

#[tokio::test]
async fn a_stop_in_any_phase_puts_the_medium_back() {
    for phase in [Phase::Preparing, Phase::Copying] {
        let settings = Settings { bytes_per_second: Some(MIB), initializing_ms: 200, ..Settings::default() };
        let lab = Lab::with(&off(), settings).await;
        let before = drives(&lab).await;
        let (heard, cancel) = (Arc::new(Heard::default()), CancellationToken::new());
        let request = Request { eject_cdrom: true, ..lab.request("app") };
        let stop = async {
            until("the phase", || heard.reached(phase)).await;
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(lab.run(&request, &heard, cancel.clone()), stop);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled, "{phase:?}");
        assert_eq!(drives(&lab).await, before, "{phase:?}");
    }
}

/// The runtime of a run that is killed: nothing of it goes on, no destructor reaches the server.
fn killed_in_mid_copy(lab: &Lab) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let heard = Arc::new(Heard::default());
    let request = Request { eject_cdrom: true, ..lab.request("app") };
    let (source, observer) = (lab.source(), Arc::clone(&heard));
    runtime.spawn(async move { export(&source, &request, observer, CancellationToken::new()).await });
    while heard.received_bytes() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_has_left_out_the_next_run_puts_back_whatever_it_exports() {
    let settings = Settings { bytes_per_second: Some(4 * MIB), lease_timeout_s: 1, ..Settings::default() };
    let lab = Lab::with(&off(), settings).await;
    let before = drives(&lab).await;
    tokio::task::block_in_place(|| killed_in_mid_copy(&lab));
    until("the lease's end", || lab.open("leases") == 0).await;
    assert_eq!(drives(&lab).await, [None]);
    lab.change(|settings| (settings.bytes_per_second, settings.lease_timeout_s) = (None, 300));
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard);
    export(&lab.source(), &lab.request("app"), observer, CancellationToken::new()).await.unwrap();
    assert!(heard.warnings().join("\n").contains("put back what an earlier export had taken out"));
    assert_eq!(drives(&lab).await, before);
    assert!(!lab.files().contains(&".app.export".to_owned()), "{:?}", lab.files());
}

#[tokio::test]
async fn a_descriptor_without_drives_leaves_the_source_as_it_is() {
    let lab = Lab::with(&off(), Settings::default()).await;
    let before = drives(&lab).await;
    run(&lab, Request { remove_cdrom: true, ..lab.request("app") }).await.0.unwrap();
    assert!(!devices(&descriptor(&lab.target())).contains(&CDROM));
    assert_eq!((drives(&lab).await, lab.calls("ReconfigVM_Task")), (before, 0));
}

#[tokio::test]
async fn only_the_disks_that_are_wanted_are_fetched_and_described() {
    let lab = Lab::with(&off(), Settings::default()).await;
    let disks = DiskChoice { only: vec!["0".into(), "2".into()], except: vec![] };
    let (report, said) = run(&lab, Request { disks, ..lab.request("app") }).await;
    let report = report.unwrap();
    assert!(said.contains("without"), "{said}");
    let names = ["app-disk-0.vmdk", "app-disk-2.vmdk"];
    assert_eq!(report.files.iter().filter(|file| file.capacity_bytes.is_some()).count(), 2);
    assert!(names.iter().all(|name| lab.finished_files().contains(&(*name).to_owned())), "{:?}", lab.finished_files());
    assert!(!lab.finished_files().contains(&"app-disk-1.vmdk".to_owned()));
    let descriptor = descriptor(&lab.target());
    let described: Vec<_> =
        descriptor.disks.iter().map(|disk| descriptor.file_of(disk).unwrap().href.as_str()).collect();
    assert_eq!(described, names);
    assert_eq!(devices(&descriptor).iter().filter(|kind| **kind == 17).count(), 2);
    assert_eq!(descriptor.disks[1].capacity_bytes, 4 * MIB);
}

#[tokio::test]
async fn a_disk_that_no_snapshot_takes_may_be_left_out_and_one_that_is_not_there_may_not() {
    let independent = APP.replacen("size = \"16MiB\"", "size = \"16MiB\"\nmode = \"independent_persistent\"", 1);
    let lab = Lab::with(&independent, Settings::default()).await;
    let with_snapshot = |disks| Request { snapshot: Some(SnapshotPolicy::Crash), disks, ..lab.request("app") };
    let error = fails(&lab, with_snapshot(DiskChoice::default())).await;
    assert!(error.hint().unwrap().contains("--exclude-disk"), "{:?}", error.hint());
    let choice = |name: &str| DiskChoice { only: vec![], except: vec![name.to_owned()] };
    run(&lab, with_snapshot(choice("hard disk 2"))).await.0.unwrap();
    let error = run(&lab, with_snapshot(choice("7"))).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{}", error.chain());
}
