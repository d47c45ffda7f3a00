//! Leases that end before their time, and calls on them that fail.

use std::sync::Arc;

use migrate::ErrorKind;
use serde_json::{Value, json};

use super::{WEB01, exported, right, wrong};
use crate::lab::{Heard, Lab};

fn system_error(message: &str) -> Value {
    json!({"type": "SystemError", "message": message, "fields": {"reason": "r"}})
}

fn becomes(state: &str) -> Value {
    json!({"lease": {"becomes": state, "fault": system_error("a disk of the chain is locked")}})
}

#[tokio::test]
async fn a_lease_that_fails_before_it_is_ready_says_why() {
    let rule = json!({"when": {"method": "ExportVm"}, "then": becomes("error")});
    let (lab, _) = wrong(rule, ErrorKind::Server, &["/DC0/vm/web/web01", "a disk of the chain is locked"]).await;
    assert_eq!(lab.file_bytes_sent(), 0);
    let rule = json!({"when": {"method": "ExportVm"}, "then": becomes("timed_out")});
    wrong(rule, ErrorKind::State, &["/DC0/vm/web/web01"]).await;
}

#[tokio::test]
async fn a_lease_that_ends_in_the_middle_of_a_stream_ends_the_export() {
    for state in ["error", "timed_out", "gone"] {
        let rule = json!({"when": {"object": "disk-1.vmdk", "at_byte": 600_000}, "then": becomes(state), "nth": 1});
        let (_, result) = exported(rule).await;
        let chain = result.expect_err(state).chain();
        assert!(chain.contains("lease"), "{state}: {chain}");
    }
}

#[tokio::test]
async fn renewals_that_fail_are_repeated() {
    let rule = json!({
        "when": {"method": "HttpNfcLeaseProgress"}, "then": {"fault": system_error("busy")}, "nth": 1, "times": 3,
    });
    let slow = json!({"when": {"object": "file-0.nvram"}, "then": {"trickle": {"bytes_per_second": 2000}}});
    right(json!([rule, slow])).await;
}

#[tokio::test]
async fn a_lease_that_cannot_be_completed_is_aborted() {
    let rule = json!({"when": {"method": "HttpNfcLeaseComplete"}, "then": {"fault": system_error("not now")}});
    let lab = Lab::ruled(WEB01, rule).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard("web01", &heard).await.unwrap();
    lab.assert_struck();
    assert!(heard.warnings().iter().any(|warning| warning.contains("end of the lease")), "{:?}", heard.warnings());
    assert_eq!(lab.soap()["lease_endings"]["aborted"], 1, "{:#}", lab.soap());
}

#[tokio::test]
async fn an_abort_that_fails_is_repeated_until_the_vm_is_free() {
    let abort = |then: Value| json!({"when": {"method": "HttpNfcLeaseAbort"}, "then": then, "nth": 1, "times": 2});
    let broken = json!({"when": {"object": "disk-1.vmdk"}, "then": {"end_at": 1000}});
    for then in [json!({"fault": system_error("busy")}), json!({"answer": {"status": 503}}), json!({"reset": true})] {
        let (lab, _) = wrong(json!([abort(then), broken]), ErrorKind::Verification, &["web01-disk-1.vmdk"]).await;
        assert_eq!(lab.soap()["lease_endings"]["aborted"], 1, "{:#}", lab.soap());
    }
}

#[tokio::test]
async fn a_hash_that_the_server_does_not_know_is_done_without() {
    for kind in ["MethodNotFound", "NotSupported", "InvalidState"] {
        let fields = match kind {
            "MethodNotFound" => json!({"receiver": {"type": "HttpNfcLease", "id": "x"}, "method": "y"}),
            _ => json!({}),
        };
        let fault = json!({"fault": {"type": kind, "fields": fields}});
        right(json!({"when": {"method": "HttpNfcLeaseSetManifestChecksumType"}, "then": fault})).await;
    }
}
