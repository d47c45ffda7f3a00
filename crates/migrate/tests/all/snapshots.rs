//! Exports of VMs that run: the point in time is right, and no snapshot is left, whatever happens.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use migrate::export::{Consistency, Phase, Proof, Report, Request, SnapshotPolicy, export};
use migrate::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::{CutAfter, ManifestLie, ManifestLieKind, Settings};
use vsphere::snapshot::{self, NewSnapshot, Snapshot};

use crate::lab::{Heard, Lab, until};

/// A VM that runs and writes onto everything above a snapshot, with somebody's own snapshot.
const DB: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/db"
power = "poweredOn"
guest_writes = 0.5
[[vm.disk]]
size = "24MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
"#;

const MIB: u64 = 1 << 20;

/// The calls whose order matters: what is held is given back, the last that was taken first.
const HELD: [&str; 7] = [
    "Login",
    "CreateSnapshot_Task",
    "ExportSnapshot",
    "HttpNfcLeaseComplete",
    "HttpNfcLeaseAbort",
    "RemoveSnapshot_Task",
    "Logout",
];

fn request(lab: &Lab, policy: SnapshotPolicy) -> Request {
    Request { snapshot: Some(policy), ..lab.request("db") }
}

async fn run(lab: &Lab, policy: SnapshotPolicy) -> (Result<Report>, Vec<String>) {
    let heard = Arc::new(Heard::default());
    let result = lab.run(&request(lab, policy), &heard, CancellationToken::new()).await;
    (result, heard.warnings())
}

/// Runs an export that must fail, and checks that nothing is left on either side.
async fn fails(lab: &Lab, policy: SnapshotPolicy) -> Error {
    let error = run(lab, policy).await.0.unwrap_err();
    assert_eq!(lab.finished_files(), Vec::<String>::new());
    error
}

#[tokio::test]
async fn a_running_vm_arrives_as_it_was_when_its_snapshot_was_made() {
    let Some(qemu_img) = judges::qemu_img("a_running_vm_arrives_as_it_was_when_its_snapshot_was_made") else { return };
    let lab = Lab::with(DB, Settings::default()).await;
    let (report, warnings) = run(&lab, SnapshotPolicy::Crash).await;
    let report = report.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let snapshot = report.snapshot.unwrap();
    assert!(snapshot.name.starts_with("hyper2kvm-export-"), "{}", snapshot.name);
    assert_eq!((snapshot.consistency, report.proof), (Consistency::Crash, Some(Proof::Manifest)));
    assert_eq!(
        lab.order(&HELD),
        ["Login", "CreateSnapshot_Task", "ExportSnapshot", "HttpNfcLeaseComplete", "RemoveSnapshot_Task", "Logout"]
    );
    let raw = lab.target().join("disk.raw");
    let mut convert = Command::new(qemu_img);
    convert.args(["convert", "-f", "vmdk", "-O", "raw"]).arg(lab.target().join("db-disk-0.vmdk")).arg(&raw);
    assert!(convert.status().unwrap().success());
    assert_eq!(crate::package::sha256(&raw), lab.contents_sha256("DC0/vm/db", 0));
}

#[tokio::test]
async fn the_guest_is_brought_to_rest_where_that_was_asked_for() {
    let lab = Lab::with(DB, Settings::default()).await;
    let report = run(&lab, SnapshotPolicy::Quiesce).await.0.unwrap();
    assert_eq!(report.snapshot.unwrap().consistency, Consistency::Quiesced);
}

#[tokio::test]
async fn a_guest_that_cannot_come_to_rest_is_refused_with_the_other_way() {
    let without_tools = DB.replace("guest_writes", "tools = \"notRunning\"\nguest_writes");
    let lab = Lab::with(&without_tools, Settings::default()).await;
    let error = fails(&lab, SnapshotPolicy::Quiesce).await;
    assert_eq!(error.kind(), ErrorKind::State, "{}", error.chain());
    assert!(error.hint().unwrap().contains("--snapshot=crash"));
    assert_eq!(lab.soap()["calls"]["CreateSnapshotEx_Task"], serde_json::Value::Null, "it was said beforehand");
    let report = run(&lab, SnapshotPolicy::Crash).await.0.unwrap();
    assert_eq!(report.snapshot.unwrap().consistency, Consistency::Crash);
}

#[tokio::test]
async fn a_snapshot_that_fails_late_says_why_and_what_to_do() {
    for (settings, policy, hint) in [
        (Settings { quiesce_fault: true, ..Settings::default() }, SnapshotPolicy::Quiesce, "--snapshot=crash"),
        (Settings { snapshot_no_space: true, ..Settings::default() }, SnapshotPolicy::Crash, "datastore1"),
    ] {
        let lab = Lab::with(DB, settings).await;
        let error = fails(&lab, policy).await;
        assert_eq!(error.kind(), ErrorKind::State, "{}", error.chain());
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert_eq!(lab.file_bytes_sent(), 0);
    }
}

#[tokio::test]
async fn a_vm_that_is_off_can_be_exported_by_snapshot_too() {
    let lab = Lab::with(&DB.replace("poweredOn", "poweredOff"), Settings::default()).await;
    let (report, warnings) = run(&lab, SnapshotPolicy::Quiesce).await;
    assert_eq!(report.unwrap().snapshot.unwrap().consistency, Consistency::PoweredOff);
    assert!(warnings.iter().any(|warning| warning.contains("is off")), "{warnings:?}");
}

#[tokio::test]
async fn every_failure_after_the_snapshot_removes_it() {
    let cut = |file: &str| Some(CutAfter { file: file.into(), bytes: MIB, times: None });
    let lie = ManifestLie { kind: ManifestLieKind::Hash, file: "disk-0.vmdk".into() };
    for settings in [
        Settings { clean_end_after_bytes: cut("disk-0.vmdk"), ..Settings::default() },
        Settings { manifest_lie: Some(lie), ..Settings::default() },
        Settings { create_descriptor_fault: true, ..Settings::default() },
    ] {
        let lab = Lab::with(DB, settings).await;
        fails(&lab, SnapshotPolicy::Crash).await;
        assert_eq!(
            lab.order(&HELD),
            ["Login", "CreateSnapshot_Task", "ExportSnapshot", "HttpNfcLeaseAbort", "RemoveSnapshot_Task", "Logout"]
        );
    }
}

#[tokio::test]
async fn a_stop_in_any_phase_removes_the_snapshot() {
    for phase in [Phase::Preparing, Phase::Copying] {
        let settings = Settings { bytes_per_second: Some(MIB), initializing_ms: 200, ..Settings::default() };
        let lab = Lab::with(DB, settings).await;
        let (heard, cancel) = (Arc::new(Heard::default()), CancellationToken::new());
        let request = request(&lab, SnapshotPolicy::Crash);
        let stop = async {
            until("the phase", || heard.reached(phase)).await;
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(lab.run(&request, &heard, cancel.clone()), stop);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled, "{phase:?}");
    }
}

#[tokio::test]
async fn a_dropped_export_removes_its_snapshot() {
    let lab = Lab::with(DB, Settings { bytes_per_second: Some(MIB), ..Settings::default() }).await;
    let heard = Arc::new(Heard::default());
    let (source, request) = (lab.source(), request(&lab, SnapshotPolicy::Crash));
    let observer = Arc::clone(&heard);
    let work = tokio::spawn(async move { export(&source, &request, observer, CancellationToken::new()).await });
    until("bytes", || heard.received_bytes() > 0).await;
    work.abort();
    until("the end of the lease", || lab.open("leases") == 0).await;
    until("the end of the snapshot", || lab.open("snapshots") == 0).await;
}

#[tokio::test]
async fn what_a_removal_leaves_to_merge_is_said() {
    let lab = Lab::with(DB, Settings { consolidation_needed_after_remove: true, ..Settings::default() }).await;
    let (report, warnings) = run(&lab, SnapshotPolicy::Crash).await;
    report.unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("consolidation")), "{warnings:?}");
}

#[tokio::test]
async fn a_removal_that_takes_long_is_waited_for() {
    let lab = Lab::with(DB, Settings { snapshot_remove_ms: 1500, ..Settings::default() }).await;
    let (report, warnings) = run(&lab, SnapshotPolicy::Crash).await;
    report.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
}

/// The runtime of a run that is killed: nothing of it goes on, no destructor reaches the server.
fn killed_in_mid_copy(lab: &Lab) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let heard = Arc::new(Heard::default());
    let (source, request, observer) = (lab.source(), request(lab, SnapshotPolicy::Crash), Arc::clone(&heard));
    runtime.spawn(async move { export(&source, &request, observer, CancellationToken::new()).await });
    while heard.received_bytes() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_has_left_the_next_run_removes_and_nothing_else() {
    let foreign = format!("{DB}[[vm.snapshot]]\nname = \"before upgrade\"\n");
    let settings = Settings { bytes_per_second: Some(4 * MIB), lease_timeout_s: 1, ..Settings::default() };
    let lab = Lab::with(&foreign, settings).await;
    let session = lab.session().await;
    let vm = vsphere::inventory::find(&session, "db").await.unwrap().moref;
    // Another export, elsewhere: it says what it is, and is not ours to end.
    let theirs = "hyper2kvm-export-0123456789ab";
    let text =
        format!("{theirs}: made by hyper2kvm for one export of this VM; safe to delete once that export has ended");
    let new = NewSnapshot { name: theirs.into(), description: text, quiesce: false };
    let never = CancellationToken::new();
    let another = Snapshot::create(&session, &vm, &new, &never, &never, |_| {}).await.unwrap();
    tokio::task::block_in_place(|| killed_in_mid_copy(&lab));
    until("the copy's end", || lab.open("leases") == 0).await;
    assert_eq!(lab.open("snapshots"), 2, "{:#}", lab.soap());
    lab.change(|settings| (settings.bytes_per_second, settings.lease_timeout_s) = (None, 300));
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard);
    export(&lab.source(), &request(&lab, SnapshotPolicy::Crash), observer, CancellationToken::new()).await.unwrap();
    let said = heard.warnings().join("\n");
    assert!(said.contains("that an earlier export had left") && said.contains(theirs), "{said}");
    let left: Vec<_> = snapshot::list(&session, &vm).await.unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(left, ["before upgrade", theirs]);
    another.remove(&never).await.unwrap();
    session.logout().await.unwrap();
    assert!(!lab.files().contains(&".db.export".to_owned()), "{:?}", lab.files());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_has_left_is_removed_also_by_an_export_without_a_snapshot() {
    let settings = Settings { bytes_per_second: Some(4 * MIB), lease_timeout_s: 1, ..Settings::default() };
    let lab = Lab::with(&DB.replace("poweredOn", "poweredOff"), settings).await;
    tokio::task::block_in_place(|| killed_in_mid_copy(&lab));
    until("the copy's end", || lab.open("leases") == 0).await;
    assert_eq!(lab.open("snapshots"), 1, "{:#}", lab.soap());
    lab.change(|settings| (settings.bytes_per_second, settings.lease_timeout_s) = (None, 300));
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard);
    export(&lab.source(), &lab.request("db"), observer, CancellationToken::new()).await.unwrap();
    assert!(heard.warnings().join("\n").contains("that an earlier export had left"), "{:?}", heard.warnings());
    assert_eq!(lab.open("snapshots"), 0, "{:#}", lab.soap());
    assert!(!lab.files().contains(&".db.export".to_owned()), "{:?}", lab.files());
}

#[tokio::test]
async fn a_snapshot_that_stays_after_a_good_export_is_named_and_noted_for_the_next() {
    let lab = Lab::with(&DB.replace("poweredOn", "poweredOff"), Settings::default()).await;
    lab.rules(&[r#"{"when":{"method":"RemoveSnapshot_Task"},"then":{"deny":"VirtualMachine.State.RemoveSnapshot"}}"#]);
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard);
    let first = request(&lab, SnapshotPolicy::Crash);
    let report = export(&lab.source(), &first, observer, CancellationToken::new()).await.unwrap();
    let name = report.snapshot.unwrap().name;
    assert!(heard.warnings().iter().any(|text| text.contains(&name) && text.contains("may be left")));
    assert_eq!((lab.open("snapshots"), lab.open("leases")), (1, 0), "{:#}", lab.soap());
    let claim = fs::read_to_string(lab.target().join(".db.export")).unwrap();
    assert!(claim.contains(&name), "{claim}");
    for file in lab.finished_files() {
        fs::remove_file(lab.target().join(file)).unwrap();
    }
    lab.simulator.world().faults.remove_rules(None);
    let heard = Arc::new(Heard::default());
    lab.export_heard("db", &heard).await.unwrap();
    assert!(heard.warnings().iter().any(|text| text.contains(&name) && text.contains("had left")));
    assert!(!lab.files().contains(&".db.export".to_owned()), "{:?}", lab.files());
}
