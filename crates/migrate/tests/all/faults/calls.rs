//! Calls and sessions that fail.

use std::sync::Arc;
use std::time::Duration;

use migrate::ErrorKind;
use migrate::source::Patience;
use serde_json::{Value, json};

use super::{WEB01, exported, right, wrong};
use crate::lab::{Heard, Lab};

fn at(method: &str, then: Value) -> Value {
    json!({"when": {"method": method}, "then": then, "nth": 1})
}

#[tokio::test]
async fn a_session_that_dies_before_there_is_a_lease_is_renewed_and_nothing_is_missed() {
    for method in ["CreateContainerView", "RetrievePropertiesEx", "ExportVm"] {
        let (lab, _) = right(at(method, json!({"kill_session": true}))).await;
        assert_eq!(lab.soap()["sessions"]["logins"], 2, "{method}: {:#}", lab.soap());
    }
}

#[tokio::test]
async fn a_session_that_dies_with_the_lease_fails_the_export_and_says_so() {
    for method in ["CreateFilter", "WaitForUpdatesEx", "HttpNfcLeaseSetManifestChecksumType", "HttpNfcLeaseGetManifest"]
    {
        let (lab, result) = exported(at(method, json!({"kill_session": true}))).await;
        let error = result.expect_err(method);
        let chain = error.chain();
        assert!(chain.contains("session") || chain.contains("lease"), "{method}: {chain}");
        // The first, its renewal, and one more where a lease that nobody can name is let go with its session.
        assert!(lab.soap()["sessions"]["logins"].as_u64().unwrap() <= 3, "{method}: {:#}", lab.soap());
    }
}

#[tokio::test]
async fn a_session_that_dies_in_the_middle_of_a_stream_fails_the_export_and_says_so() {
    let rule = json!({"when": {"object": "disk-1.vmdk", "at_byte": 500_000}, "then": {"kill_session": true}, "nth": 1});
    let (_, result) = exported(rule).await;
    let chain = result.expect_err("its lease is gone").chain();
    assert!(chain.contains("lease"), "{chain}");
}

#[tokio::test]
async fn a_session_that_dies_at_the_end_does_not_spoil_what_is_proven() {
    for method in ["HttpNfcLeaseComplete", "Logout"] {
        let lab = Lab::ruled(WEB01, at(method, json!({"kill_session": true}))).await;
        let heard = Arc::new(Heard::default());
        lab.export_heard("web01", &heard).await.unwrap();
        lab.assert_struck();
        assert_eq!(heard.warnings().is_empty(), method == "Logout", "{method}: {:?}", heard.warnings());
    }
}

#[tokio::test]
async fn a_server_that_is_too_busy_for_a_logout_is_told_again() {
    for then in [json!({"answer": {"status": 503, "retry_after_s": 1}}), json!({"reset": true})] {
        right(at("Logout", then)).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_asked_again() {
    let patience = Patience { call: Duration::from_secs(2), ..Patience::default() };
    let lab = Lab::ruled(WEB01, at("RetrievePropertiesEx", json!({"delay_ms": 20_000}))).await.with_patience(patience);
    lab.export("web01").await.unwrap();
    lab.assert_struck();
    let always = json!({"when": {"method": "RetrievePropertiesEx"}, "then": {"delay_ms": 20_000}});
    let lab = Lab::ruled(WEB01, always).await.with_patience(patience);
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    assert!(error.chain().contains("did not answer in time"), "{}", error.chain());
}

#[tokio::test]
async fn a_password_that_was_changed_is_tried_once_and_no_more() {
    let rules = json!([
        {"when": {"method": "HttpNfcLeaseGetManifest"}, "then": {"password_changed": true}},
        {"when": {"method": "HttpNfcLeaseGetManifest"}, "then": {"kill_session": true}},
    ]);
    let (lab, error) = wrong(rules, ErrorKind::Login, &["log in"]).await;
    assert_eq!(lab.soap()["sessions"]["refused"], 1, "{:#}", lab.soap());
    assert!(error.hint().is_some_and(|hint| hint.contains("lock the account")), "{:?}", error.hint());
}

#[tokio::test]
async fn a_server_that_is_too_busy_for_a_question_is_asked_again() {
    for method in ["RetrievePropertiesEx", "HttpNfcLeaseGetManifest", "CreateDescriptor"] {
        let busy = json!({"answer": {"status": 503}});
        let (lab, _) = right(at(method, busy)).await;
        assert!(lab.calls(method) >= 1);
    }
}

#[tokio::test]
async fn a_server_that_is_always_too_busy_is_unreachable() {
    let busy = json!({"when": {"method": "RetrievePropertiesEx"}, "then": {"answer": {"status": 503}}});
    wrong(busy, ErrorKind::Unreachable, &["503"]).await;
    let sessions = json!({"then": {"busy": {"above": 0, "of": "sessions"}}});
    wrong(sessions, ErrorKind::Unreachable, &["503", "log in"]).await;
}

#[tokio::test]
async fn a_question_whose_answer_breaks_off_is_asked_again() {
    for then in [json!({"reset": true}), json!({"close": true}), json!({"abort_at": 300}), json!({"reset_at": 300})] {
        right(at("RetrievePropertiesEx", then.clone())).await;
        right(at("HttpNfcLeaseGetManifest", then)).await;
    }
}

#[tokio::test]
async fn the_call_that_makes_the_lease_is_not_made_twice() {
    // The answer is lost and with it the lease's id: nobody can say whether there is one.
    let (lab, _) = wrong(at("ExportVm", json!({"reset": true})), ErrorKind::Unreachable, &["ExportVm"]).await;
    assert_eq!(lab.calls("ExportVm"), 0);
}

#[tokio::test]
async fn an_answer_that_is_no_xml_is_an_error_that_says_what_it_answered() {
    for (edit, words) in [
        (json!("html"), "RetrievePropertiesEx"),
        (json!("empty"), "RetrievePropertiesEx"),
        (json!("truncated"), "not well-formed"),
        (json!("huge"), "more than 67108864 bytes"),
    ] {
        wrong(at("RetrievePropertiesEx", json!({"xml": edit})), ErrorKind::Server, &[words]).await;
    }
    let page = json!({"answer": {"status": 500}});
    wrong(at("RetrievePropertiesEx", page), ErrorKind::Server, &["RetrievePropertiesEx"]).await;
    let page = json!({"answer": {"status": 404}});
    wrong(at("RetrievePropertiesEx", page), ErrorKind::Server, &["404"]).await;
}

#[tokio::test]
async fn types_that_these_bindings_do_not_know_are_passed_over() {
    let rename = |from: &str, to: &str| {
        let replace = json!({"find": format!("xsi:type=\"{from}\""), "with": format!("xsi:type=\"{to}\"")});
        json!({"when": {"method": "RetrievePropertiesEx"}, "then": {"xml": {"replace": replace}}})
    };
    right(json!([
        rename("VirtualVmxnet3", "VirtualVmxnet9"),
        rename("ParaVirtualSCSIController", "QuantumController")
    ]))
    .await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_years_makes_no_difference() {
    for seconds in [-1_000_000_000, 1_000_000_000] {
        right(json!({"when": {"method": "*"}, "then": {"clock_skew_s": seconds}})).await;
    }
}

#[tokio::test]
async fn a_descriptor_that_cannot_be_made_fails_the_export_with_the_servers_reasons() {
    let fault = json!({"type": "SystemError", "message": "no memory left", "fields": {"reason": "x"}});
    let (lab, _) = wrong(at("CreateDescriptor", json!({"fault": fault})), ErrorKind::Server, &["no memory left"]).await;
    assert_eq!(lab.soap()["lease_endings"]["aborted"], 1, "{:#}", lab.soap());
    let spec = json!({"type": "OvfUnableToExportDisk", "message": "disk-1 has no backing",
                      "fields": {"vmPath": "DC0/vm/web/web01", "diskName": "disk-1"}});
    wrong(json!({"then": {"descriptor_error": spec}}), ErrorKind::Server, &["disk-1 has no backing"]).await;
}

#[tokio::test]
async fn replies_are_understood_compressed_in_chunks_and_on_a_connection_each() {
    let settings = vcenter_sim::faults::Settings {
        gzip_replies: true,
        chunked_replies: true,
        close_after_reply: true,
        ..Default::default()
    };
    let lab = Lab::with(WEB01, settings).await;
    lab.export("web01").await.unwrap();
}
