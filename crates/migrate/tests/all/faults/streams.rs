//! Streams that fail.

use std::time::{Duration, Instant};

use migrate::ErrorKind;
use migrate::export::Proof;
use migrate::source::Patience;
use serde_json::{Value, json};
use vcenter_sim::Options;
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;

use super::{WEB01, right, wrong};
use crate::lab::Lab;

const DISK: &str = "web01-disk-1.vmdk";

fn disk(then: Value) -> Value {
    json!({"when": {"object": "disk-1.vmdk"}, "then": then})
}

fn once(then: Value) -> Value {
    json!({"when": {"object": "disk-1.vmdk"}, "then": then, "nth": 1})
}

#[tokio::test]
async fn a_ticket_that_is_refused_is_not_tried_again() {
    for status in [401, 403] {
        let rule = disk(json!({"answer": {"status": status}}));
        let (lab, _) = wrong(rule, ErrorKind::Permission, &[DISK, &status.to_string()]).await;
        assert_eq!(lab.simulator.world().faults.struck()["rule-1"], 1);
    }
}

#[tokio::test]
async fn a_host_that_fails_or_is_too_busy_once_is_asked_again() {
    for status in [500, 502, 503, 504] {
        right(once(json!({"answer": {"status": status}}))).await;
    }
}

#[tokio::test]
async fn a_host_that_says_when_to_come_back_is_left_alone_until_then() {
    let started = Instant::now();
    right(once(json!({"answer": {"status": 503, "retry_after_s": 3}}))).await;
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_host_that_always_fails_is_given_up_after_a_few_tries() {
    for status in [500, 503] {
        let rule = disk(json!({"answer": {"status": status}}));
        let (lab, _) = wrong(rule, ErrorKind::Unreachable, &[DISK, &status.to_string()]).await;
        assert_eq!(lab.simulator.world().faults.struck()["rule-1"], 3);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_begun_again_however_it_broke() {
    for then in [json!({"reset": true}), json!({"close": true}), json!({"abort_at": 700_000}), json!({"reset_at": 0})] {
        right(once(then)).await;
    }
}

#[tokio::test]
async fn a_stream_that_always_breaks_off_is_given_up_after_a_few_tries() {
    let (lab, _) = wrong(disk(json!({"abort_at": 700_000})), ErrorKind::Unreachable, &[DISK, "700000"]).await;
    assert_eq!(lab.simulator.world().faults.struck()["rule-1"], 3);
}

#[tokio::test]
async fn a_stream_that_ends_early_and_clean_is_no_disk() {
    wrong(disk(json!({"end_at": 700_000})), ErrorKind::Verification, &[DISK]).await;
    let nvram = json!({"when": {"object": "file-0.nvram"}, "then": {"edit": {"body_bytes": 100}}});
    wrong(nvram, ErrorKind::Verification, &["web01-file-0.nvram", "100 bytes"]).await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up_and_begun_again() {
    let patience = Patience { idle: Duration::from_secs(2), ..Patience::default() };
    let lab = Lab::ruled(WEB01, once(json!({"stall": {"at": 500_000, "ms": 60_000}}))).await.with_patience(patience);
    assert_eq!(lab.export("web01").await.unwrap().proof, Some(Proof::Manifest));
    lab.assert_struck();
    let lab = Lab::ruled(WEB01, disk(json!({"stall": {"at": 0, "ms": 60_000}}))).await.with_patience(patience);
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    assert!(error.chain().contains("nothing came for 2 s"), "{}", error.chain());
    assert_eq!(lab.simulator.world().faults.struck()["rule-1"], 3);
}

#[tokio::test]
async fn a_stream_that_crawls_arrives_and_the_lease_is_kept_meanwhile() {
    let rules = json!({"when": {"object": "file-0.nvram"}, "then": {"trickle": {"bytes_per_second": 2000}}});
    let settings = Some(Settings { lease_timeout_s: 2, ..Settings::default() });
    let rules = parse_json(&rules.to_string()).unwrap();
    let lab = Lab::with_options(WEB01, Options { rules, settings, ..Options::default() }).await;
    let report = lab.export("web01").await.unwrap();
    lab.assert_struck();
    assert!(report.copy_ms > 4_000, "{} ms are no crawl", report.copy_ms);
}

#[tokio::test]
async fn an_answer_that_is_not_the_whole_file_is_refused() {
    let part = json!({"edit": {"status": 206, "headers": {"content-range": "bytes 0-99/100"}, "body_bytes": 100}});
    wrong(disk(part), ErrorKind::Server, &[DISK, "206"]).await;
    let long = json!({"when": {"object": "file-0.nvram"}, "then": {"edit": {"body_bytes": 9000}}});
    wrong(long, ErrorKind::Verification, &["web01-file-0.nvram", "9000 bytes"]).await;
    let moved = json!({"answer": {"status": 302, "headers": {"location": "https://192.0.2.1/"}}});
    wrong(disk(moved), ErrorKind::Server, &[DISK, "302"]).await;
}

#[tokio::test]
async fn what_head_says_makes_no_difference_because_nobody_asks() {
    let lie = json!({"when": {"http": "HEAD"}, "then": {"edit": {"status": 200, "headers": {"content-length": "5"}}}});
    let lab = Lab::ruled(WEB01, lie).await;
    lab.export("web01").await.unwrap();
    assert_eq!(lab.stats()["files"]["heads"], 0);
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_found() {
    for at in [20, 70_001, 1_500_000] {
        wrong(disk(json!({"flip_at": at})), ErrorKind::Verification, &[DISK]).await;
    }
    let nvram = json!({"when": {"object": "file-0.nvram"}, "then": {"flip_at": 17}});
    wrong(nvram, ErrorKind::Verification, &["web01-file-0.nvram"]).await;
}

#[tokio::test]
async fn a_manifest_that_lies_by_rule_is_found() {
    for lie in ["size", "hash", "missing"] {
        wrong(disk(json!({"manifest": lie})), ErrorKind::Verification, &[DISK]).await;
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_had_fails_the_export_unless_the_server_never_has_one() {
    let get = |kind: &str| {
        let fault = json!({"type": kind, "message": "not today", "fields": {}});
        json!({"when": {"method": "HttpNfcLeaseGetManifest"}, "then": {"fault": fault}})
    };
    wrong(get("InvalidRequest"), ErrorKind::Server, &["not today"]).await;
    let lab = Lab::ruled(WEB01, get("NotSupported")).await;
    assert_eq!(lab.export("web01").await.unwrap().proof, Some(Proof::Received));
    lab.assert_struck();
}
