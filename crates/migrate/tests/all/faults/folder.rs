//! Reads of datastore files that fail. `crate::datastores` has what an export makes of them.

use std::ops::Range;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vsphere::datastore::{DatastorePath, FileAddress, FileSource, Road};
use vsphere::{Error, ErrorKind, Session};

use super::WEB01;
use crate::lab::Lab;

const FILE: &str = "web01/web01_1-flat.vmdk";

/// Reads a part of a file under rules that must all strike, and checks that nothing is left.
async fn read(rules: Value, range: Range<u64>) -> (Lab, vsphere::Result<Vec<u8>>) {
    let lab = Lab::ruled(WEB01, rules).await;
    let session = lab.session().await;
    let result = read_with(&session, range).await;
    session.logout().await.unwrap();
    lab.assert_struck();
    lab.assert_nothing_left();
    (lab, result)
}

async fn read_with(session: &Session, range: Range<u64>) -> vsphere::Result<Vec<u8>> {
    let file = DatastorePath::parse(&format!("[datastore1] {FILE}")).unwrap();
    let address = FileAddress { datacenter: "DC0".to_owned(), file };
    let source = FileSource::new(session, address, Road::Server, CancellationToken::new());
    let read = move || {
        let mut stream = source.open(Some(range))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next_chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn on_folder(then: Value) -> Value {
    json!({"when": {"path": "/folder/*", "http": "GET"}, "then": then})
}

async fn wrong(then: Value, kind: ErrorKind, words: &str) -> Error {
    let (_, result) = read(on_folder(then.clone()), 4096..1_000_000).await;
    let error = result.map(|bytes| panic!("{then}: {} bytes", bytes.len())).unwrap_err();
    let mut chain = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(reason) = next {
        chain = format!("{chain}: {reason}");
        next = reason.source();
    }
    assert_eq!(error.kind(), kind, "{then}: {chain}");
    assert!(chain.contains(words), "{then}: {words} in: {chain}");
    error
}

fn right(lab: &Lab, range: Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
    let disk = lab.simulator.world().exports.disk("DC0/vm/web/web01", 1).unwrap();
    disk.read_range(range.start, &mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_file_in_place_of_a_part_is_not_taken() {
    wrong(json!({"ignore_range": true}), ErrorKind::Protocol, "200").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_part_than_was_asked_for_is_not_taken() {
    for said in ["bytes 0-995903/8388608", "bytes 4096-999998/8388608", "bytes 4096-999999/*", "bytes"] {
        let edit = json!({"edit": {"headers": {"content-range": said}}});
        wrong(edit, ErrorKind::Protocol, said).await;
    }
    wrong(json!({"edit": {"headers": {"content-range": ""}}}), ErrorKind::Protocol, "asked for bytes 4096-1000000")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_shorter_or_longer_than_it_says_is_not_taken() {
    for bytes in [0, 1000, 995_903, 995_905, 2_000_000] {
        wrong(json!({"edit": {"body_bytes": bytes}}), ErrorKind::Protocol, "the part has 995904").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_breaks_off_is_an_error_that_says_where() {
    for then in [json!({"reset_at": 300_000}), json!({"abort_at": 300_000})] {
        wrong(then, ErrorKind::Unreachable, "broke after 300000 bytes").await;
    }
    wrong(json!({"answer": {"status": 500}}), ErrorKind::Unreachable, "500").await;
    let error = wrong(json!({"answer": {"status": 503, "retry_after_s": 9}}), ErrorKind::Unreachable, "503").await;
    assert_eq!(error.busy(), Some(std::time::Duration::from_secs(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_dies_under_a_read_is_renewed_and_the_part_is_right() {
    let rule = json!({"when": {"path": "/folder/*"}, "then": {"kill_session": true}, "nth": 1});
    let (lab, result) = read(rule, 4096..1_000_000).await;
    assert!(result.unwrap() == right(&lab, 4096..1_000_000));
    assert_eq!(lab.soap()["sessions"]["logins"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_asked_about_once_and_then_believed() {
    let rule = json!({"when": {"path": "/folder/*"}, "then": {"answer": {"status": 401}}, "nth": 1});
    let (lab, result) = read(rule, 0..10_000).await;
    assert!(result.unwrap() == right(&lab, 0..10_000));
    // The session was there all the time.
    assert_eq!(lab.soap()["sessions"]["logins"], 1);
    wrong(json!({"answer": {"status": 401}}), ErrorKind::SessionLost, FILE).await;
    wrong(json!({"deny": "Datastore.Browse"}), ErrorKind::Permission, FILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_head_says_of_a_file_makes_no_difference() {
    let lie = json!({"edit": {"status": 405, "headers": {"accept-ranges": ""}}});
    let lab = Lab::ruled(WEB01, json!({"when": {"http": "HEAD"}, "then": lie})).await;
    let session = lab.session().await;
    assert!(read_with(&session, 5..500_000).await.unwrap() == right(&lab, 5..500_000));
    session.logout().await.unwrap();
}
