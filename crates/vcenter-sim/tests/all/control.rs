//! The control endpoint.

use http::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use vcenter_sim::faults::Settings;

use crate::rules_calls::Caller;
use crate::scene::scene;

const DISK: &str = "vm=DC0/vm/web/web%2001&disk=3";

#[tokio::test]
async fn the_report_counts_what_happened() {
    let scene = scene(Settings::default()).await;
    let sent = scene.host().await.get(&scene.items[0].path).await.whole().len();
    let report = scene.control().await.get("/report").await.json();
    assert!(report["simulator"].as_str().unwrap().starts_with("vcenter-sim "));
    assert_eq!(report["files"]["completed"], 1);
    assert_eq!(report["files"]["bytes"], sent);
    assert_eq!(report["hosts"][0]["name"], "esx1.sim.invalid");
    assert_eq!(report["hosts"][0]["requests"], 1);
    assert_eq!(report["credentials_leaked_to_host"], 0);
    assert_eq!(report["faults_struck"], json!({}));
}

#[tokio::test]
async fn faults_change_while_the_simulator_runs() {
    let scene = scene(Settings::default()).await;
    let mut control = scene.control().await;
    let changes = r#"{"clean_end_after_bytes": {"file": "disk-1.vmdk", "bytes": 5}, "star_host": true}"#;
    assert_eq!(control.send(Method::POST, "/faults", &[], changes).await.status, StatusCode::OK);
    assert_eq!(scene.host().await.get(&scene.items[1].path).await.whole(), b"KDMV\x03");
    let faults = control.get("/faults").await.json();
    assert_eq!(faults["star_host"], true);
    assert_eq!(faults["lease_timeout_s"], 300);
    for wrong in [r#"{"unknown": 1}"#, "[]", "{", ""] {
        let refusal = control.send(Method::POST, "/faults", &[], wrong).await;
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let report = control.get("/report").await.json();
    assert_eq!(report["faults_struck"], json!({"clean_end_after_bytes": 1}));
}

#[tokio::test]
async fn calls_are_told_in_their_order_with_object_session_and_fault() {
    let scene = scene(Settings::default()).await;
    let rule = json!({"when": {"method": "ExportVm"}, "then": {"fault": {"type": "InvalidState"}}, "times": 1});
    crate::rules::add(&scene, rule);
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK] {
        assert_eq!(caller.call("ExportVm", "VirtualMachine", &vm, "").await.status, status);
    }
    caller.ask("Logout", "SessionManager", "SessionManager", "").await;
    let mut control = scene.control().await;
    let told = control.get("/calls").await.json();
    let calls = told["calls"].as_array().unwrap();
    let methods: Vec<_> = calls.iter().map(|call| call["method"].as_str().unwrap()).collect();
    assert_eq!((methods[0], &methods[methods.len() - 3..]), ("Login", &["ExportVm", "ExportVm", "Logout"][..]));
    let exports = &calls[calls.len() - 3..];
    assert_eq!((&exports[0]["fault"], &exports[1]["fault"]), (&json!("InvalidState"), &json!(null)));
    assert_eq!((exports[0]["object"].as_str(), exports[1]["object"].as_str()), (Some(&*vm), Some(&*vm)));
    assert!(calls[0]["session"].is_string() && calls.iter().all(|call| call["session"] == calls[0]["session"]));
    assert!(calls.iter().all(|call| call["took_ms"].is_u64() && call["at_ms"].is_u64()), "{told:#}");
    assert_eq!((told["last"].as_u64(), &told["forgotten"]), (u64::try_from(calls.len()).ok(), &json!(0)));
    let later = control.get(&format!("/calls?after={}", calls.len() - 1)).await.json();
    assert_eq!(later["calls"].as_array().unwrap()[..], calls[calls.len() - 1..]);
    for (query, status) in [("?after=x", StatusCode::BAD_REQUEST), ("?after=99", StatusCode::OK)] {
        assert_eq!(control.get(&format!("/calls{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn judges_get_the_raw_bytes_of_disks() {
    let scene = scene(Settings::default()).await;
    let mut control = scene.control().await;
    let answer = control.get(&format!("/disks?{DISK}")).await;
    assert_eq!(answer.headers["content-length"], "3000832");
    let raw = answer.whole();
    assert!(raw == scene.raw(3));
    let hash = control.get(&format!("/disks/sha256?{DISK}")).await.json();
    let expected: String = Sha256::digest(&raw).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, json!({"sha256": expected, "bytes": 3_000_832}));
    for (query, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("?vm=DC0/vm/web/web%2001&disk=x", StatusCode::BAD_REQUEST),
        ("?vm=DC0/vm/web/web%2001&disk=9", StatusCode::NOT_FOUND),
        ("?vm=DC0/vm/web&disk=0", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(control.get(&format!("/disks{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn a_web_page_under_a_name_of_its_own_cannot_stop_the_simulator() {
    let mut scene = scene(Settings::default()).await;
    let mut control = scene.control().await;
    let lured = control.send(Method::POST, "/shutdown", &[("host", "evil.example:80")], "").await;
    assert_eq!(lured.status, StatusCode::FORBIDDEN);
    let wrong = control.get("/shutdown").await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers["allow"], "POST");
    assert_eq!(control.send(Method::POST, "/shutdown", &[], "").await.status, StatusCode::OK);
    scene.simulator.stopped().await;
}
