//! Snapshots that cannot be made, exported or removed. `crate::snapshots` has the faults that settings play.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use migrate::export::{Consistency, Report, Request, SnapshotPolicy};
use migrate::{ErrorKind, Result};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::lab::{Heard, Lab, until};

const RUNNING: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/db"
power = "poweredOn"
[[vm.disk]]
size = "8MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
"#;

/// Exports a snapshot under rules that must all strike.
async fn exported(rules: Value) -> (Lab, Result<Report>) {
    let lab = Lab::ruled(RUNNING, rules).await;
    let request = Request { snapshot: Some(SnapshotPolicy::Crash), ..lab.request("db") };
    let result = lab.run(&request, &Arc::default(), CancellationToken::new()).await;
    lab.assert_struck();
    (lab, result)
}

fn fails(message: &str) -> Value {
    json!({"task": {"fails": {"type": "SystemError", "message": message, "fields": {"reason": "r"}}}})
}

#[tokio::test]
async fn a_snapshot_whose_task_fails_late_is_an_error_with_the_reason() {
    let rule = json!({"when": {"method": "CreateSnapshot_Task"}, "then": fails("the datastore went away")});
    let (_, result) = exported(rule).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server, "{}", error.chain());
    assert!(
        error.chain().contains("the datastore went away") && error.chain().contains("/DC0/vm/db"),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn a_snapshot_that_is_refused_at_once_says_why() {
    let many = json!({"fault": {"type": "TooManySnapshotLevels", "message": "Snapshot hierarchy is too deep."}});
    for (then, kind, word) in [
        (many, ErrorKind::State, "too deep"),
        (json!({"deny": "VirtualMachine.State.CreateSnapshot"}), ErrorKind::Permission, "State.CreateSnapshot"),
    ] {
        let (_, result) = exported(json!({"when": {"method": "CreateSnapshot_Task"}, "then": then})).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", error.chain());
        assert!(error.chain().contains(word), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_snapshot_that_may_not_be_exported_is_removed() {
    let rule = json!({"when": {"method": "ExportSnapshot"}, "then": {"deny": "VApp.Export"}});
    let (lab, result) = exported(rule).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(lab.calls("RemoveSnapshot_Task"), 1);
}

#[tokio::test]
async fn a_removal_that_fails_is_tried_again() {
    let broken = json!({"fault": {"type": "TaskInProgress", "fields": {"task": {"type": "Task", "id": "task-1"}}}});
    for then in [fails("busy"), broken, json!({"answer": {"status": 503}})] {
        let (_, result) = exported(json!({"when": {"method": "RemoveSnapshot_Task"}, "then": then, "nth": 1})).await;
        result.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_dies_around_a_snapshot_leaves_none_behind() {
    for method in ["CreateSnapshot_Task", "ExportSnapshot", "HttpNfcLeaseGetManifest", "RemoveSnapshot_Task"] {
        let (lab, _) = exported(json!({"when": {"method": method}, "then": {"kill_session": true}, "nth": 1})).await;
        assert_eq!(lab.open("snapshots"), 0, "{method}");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_snapshot_that_is_never_made() {
    let rule = json!({"when": {"method": "CreateSnapshot_Task"}, "then": {"task": {"never_ends": true}}});
    let lab = Lab::ruled(RUNNING, rule).await;
    let request = Request { snapshot: Some(SnapshotPolicy::Crash), ..lab.request("db") };
    let cancel = CancellationToken::new();
    let heard = Arc::new(Heard::default());
    let stopping = async {
        until("the task", || lab.calls("CreateSnapshot_Task") > 0).await;
        cancel.cancel();
        Instant::now()
    };
    let (result, stopped) = tokio::join!(lab.run(&request, &heard, cancel.clone()), stopping);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(stopped.elapsed() < Duration::from_secs(60), "{:?}", stopped.elapsed());
    lab.assert_struck();
    // The task goes on, so the snapshot may still come: somebody hears of it, and the next run looks for it.
    let warnings = heard.warnings();
    assert!(warnings.iter().any(|text| text.contains("may be left") && text.contains("at work")), "{warnings:?}");
    let claim = fs::read_to_string(lab.target().join(".db.export")).unwrap();
    assert!(claim.contains("hyper2kvm-export-"), "{claim}");
}

#[tokio::test]
async fn a_wait_that_fails_says_nothing_about_the_snapshot_which_is_looked_for_and_removed() {
    let gone = json!({"type": "ManagedObjectNotFound", "fields": {"obj": {"type": "Task", "id": "task-1"}}});
    for (method, fault) in [
        ("CreateFilter", gone.clone()),
        ("WaitForUpdatesEx", gone),
        ("WaitForUpdatesEx", json!({"type": "SystemError", "fields": {"reason": "r"}})),
    ] {
        // The first wait of an export is that for its snapshot.
        let (lab, result) = exported(json!({"when": {"method": method}, "then": {"fault": fault}, "nth": 1})).await;
        let error = result.unwrap_err();
        assert!(error.chain().contains("make the snapshot"), "{method}: {}", error.chain());
        assert_eq!(lab.calls("RemoveSnapshot_Task"), 1, "{method}");
        assert!(!lab.files().contains(&".db.export".to_owned()), "{method}: {:?}", lab.files());
    }
}

#[tokio::test]
async fn a_spoilt_reply_that_named_a_lease_leaves_neither_lease_nor_snapshot() {
    for edit in ["truncated", "html"] {
        let (lab, result) = exported(json!({"when": {"method": "ExportSnapshot"}, "then": {"xml": edit}})).await;
        result.unwrap_err();
        assert_eq!(lab.calls("RemoveSnapshot_Task"), 1, "the lease was in its way");
        let rule = json!({"when": {"method": "ExportVm"}, "then": {"xml": edit}, "nth": 1});
        let lab = Lab::ruled(&RUNNING.replace("poweredOn", "poweredOff"), rule).await;
        lab.failing_export("db").await;
        lab.assert_struck();
        lab.export("db").await.unwrap();
    }
}

#[tokio::test]
async fn a_vm_that_is_switched_on_before_its_snapshot_is_not_called_off() {
    let rule = json!({"when": {"method": "CreateSnapshot_Task"}, "then": {"power": {"state": "on"}}, "nth": 1});
    for (policy, expected) in [(SnapshotPolicy::Crash, Some(Consistency::Crash)), (SnapshotPolicy::Quiesce, None)] {
        let lab = Lab::ruled(&RUNNING.replace("poweredOn", "poweredOff"), rule.clone()).await;
        let request = Request { snapshot: Some(policy), ..lab.request("db") };
        let result = lab.run(&request, &Arc::default(), CancellationToken::new()).await;
        lab.assert_struck();
        match expected {
            Some(expected) => assert_eq!(result.unwrap().snapshot.unwrap().consistency, expected),
            None => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::State, "{}", error.chain());
                assert!(error.chain().contains("switched on"), "{}", error.chain());
            }
        }
    }
}
