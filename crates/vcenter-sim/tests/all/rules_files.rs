//! What rules do to the files of leases.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use vcenter_sim::faults::{Lane, Profile, Settings, Shape};

use crate::rules::{add, ruled, struck};
use crate::scene::{VM, scene};

#[tokio::test]
async fn a_body_ends_in_each_of_the_ways_in_which_connections_end() {
    let whole = scene(Settings::default()).await;
    let whole = whole.host().await.get(&whole.items[1].path).await.whole();
    for (action, clean) in [("reset_at", false), ("abort_at", false), ("end_at", true)] {
        let scene = ruled(json!({"name": "r", "when": {"object": "disk-1.vmdk"}, "then": {action: 300_000}})).await;
        let answer = scene.host().await.get(&scene.items[1].path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.error.is_none(), clean, "{action}: {:?}", answer.error);
        assert!(answer.body == whole[..300_000], "{action}: {}", answer.body.len());
        assert_eq!(struck(&scene, "r"), 1);
        // It was not sent to its end, so no manifest lists it.
        assert!(scene.simulator.world().exports.sent("lease-1").is_empty());
        // Others are left alone.
        scene.host().await.get(&scene.items[2].path).await.whole();
    }
}

#[tokio::test]
async fn an_event_behind_the_last_byte_takes_the_place_of_the_end() {
    let scene = ruled(json!({"when": {"object": "file-0.nvram"}, "then": {"abort_at": 8684}})).await;
    let nvram = scene.items.iter().find(|item| item.target_id == "file-0.nvram").unwrap();
    let answer = scene.host().await.get(&nvram.path).await;
    assert_eq!(answer.body.len(), 8684);
}

#[tokio::test]
async fn one_byte_arrives_flipped() {
    let scene =
        ruled(json!({"when": {"object": format!("{VM}/disk-1.vmdk")}, "then": {"flip_at": 70_000}, "times": 1})).await;
    let mut host = scene.host().await;
    let flipped = host.get(&scene.items[1].path).await.whole();
    let right = host.get(&scene.items[1].path).await.whole();
    let different: Vec<usize> = (0..right.len()).filter(|&at| right[at] != flipped[at]).collect();
    assert_eq!(different, [70_000]);
    assert_eq!(right[70_000] ^ flipped[70_000], 0xff);
}

#[tokio::test]
async fn a_stall_and_a_trickle_take_their_time() {
    let scene = ruled(json!([
        {"when": {"object": "disk-1.vmdk"}, "then": {"stall": {"at": 1000, "ms": 90_000}}},
        {"when": {"object": "disk-2.vmdk"}, "then": {"trickle": {"bytes_per_second": 1000}}},
    ]))
    .await;
    let mut host = scene.host().await;
    tokio::time::pause();
    let start = Instant::now();
    host.get(&scene.items[1].path).await.whole();
    assert!(start.elapsed() >= Duration::from_secs(90));
    let start = Instant::now();
    let bytes = u64::try_from(host.get(&scene.items[2].path).await.whole().len()).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(bytes) - Duration::from_millis(50));
}

#[tokio::test]
async fn replies_lie_about_status_headers_and_length() {
    let scene = ruled(json!([
        {"when": {"object": "disk-0.vmdk", "http": "GET"},
         "then": {"edit": {"status": 206, "headers": {"content-range": "bytes 5-9/10", "content-type": ""}, "body_bytes": 10}}},
        {"when": {"object": "file-0.nvram", "http": "GET"}, "then": {"edit": {"body_bytes": 9000}}},
        {"when": {"http": "HEAD"}, "then": {"edit": {"status": 200, "headers": {"content-length": "5", "accept-ranges": "bytes"}}}},
    ]))
    .await;
    let mut host = scene.host().await;
    let short = host.get(&scene.items[0].path).await;
    assert_eq!(short.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(short.headers["content-range"], "bytes 5-9/10");
    assert_eq!(short.headers["content-length"], "10");
    assert!(!short.headers.contains_key("content-type"));
    assert_eq!(short.whole().len(), 10);
    let nvram = scene.items.iter().find(|item| item.target_id == "file-0.nvram").unwrap();
    let long = host.get(&nvram.path).await.whole();
    assert_eq!((long.len(), &long[8684..]), (9000, [0; 316].as_slice()));
    let head = host.send(Method::HEAD, &nvram.path, &[], "").await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(
        (&head.headers["content-length"], &head.headers["accept-ranges"]),
        (&"5".parse().unwrap(), &"bytes".parse().unwrap())
    );
}

#[tokio::test]
async fn a_body_ends_where_it_was_told_to_when_its_header_says_another_length() {
    for (lie, clean) in [("100", false), ("", true)] {
        // The second change says nothing of lengths, so the first lie stays.
        let scene = ruled(json!([
            {"when": {"object": "disk-1.vmdk"}, "then": {"edit": {"body_bytes": 10, "headers": {"content-length": lie}}}},
            {"when": {"object": "disk-1.vmdk"}, "then": {"edit": {"headers": {"x-second": "1"}}}},
        ]))
        .await;
        let answer = scene.host().await.get(&scene.items[1].path).await;
        assert_eq!(answer.headers["x-second"], "1");
        let said = answer.headers.get("content-length").map(|value| value.to_str().unwrap());
        assert_eq!(said.unwrap_or_default(), lie);
        assert_eq!((answer.body.len(), answer.error.is_none()), (10, clean), "{:?}", answer.error);
        scene.simulator.stop().await;
    }
}

#[tokio::test]
async fn a_host_refuses_streams_above_its_number_and_gives_way_when_one_ends() {
    let scene = ruled(json!({
        "name": "crowd", "when": {"listener": "esx1.sim.invalid"},
        "then": {"busy": {"above": 1, "of": "streams", "retry_after_s": 3}},
    }))
    .await;
    add(&scene, json!({"when": {"object": "disk-1.vmdk"}, "then": {"stall": {"at": 1000, "ms": 300}}, "times": 1}));
    let (mut first, mut second) = (scene.host().await, scene.host().await);
    let path = scene.items[1].path.clone();
    let running = tokio::spawn(async move { first.get(&path).await.whole().len() });
    while scene.simulator.world().stats.files.started.get() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = second.get(&scene.items[2].path).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "3");
    assert!(running.await.unwrap() > 1000);
    second.get(&scene.items[2].path).await.whole();
    assert_eq!(struck(&scene, "crowd"), 1);
}

#[tokio::test]
async fn the_format_is_damaged_and_the_manifest_agrees_with_what_was_sent() {
    use sha1::{Digest, Sha1};
    let scene =
        ruled(json!({"when": {"object": "disk-0.vmdk"}, "then": {"vmdk": "no_end_of_stream"}, "times": 1})).await;
    let mut host = scene.host().await;
    let damaged = host.get(&scene.items[0].path).await.whole();
    let hex = |bytes: &[u8]| Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sent = &scene.simulator.world().exports.sent("lease-1")[0];
    assert_eq!((sent.size, &sent.sha1), (u64::try_from(damaged.len()).unwrap(), &hex(&damaged)));
    // The damage is remembered for that one stream only.
    let whole = host.get(&scene.items[0].path).await.whole();
    assert_eq!(whole.len(), damaged.len() + 512);
    assert_eq!(scene.simulator.world().exports.sent("lease-1")[0].sha1, hex(&whole));
}

#[tokio::test]
async fn what_lies_beyond_the_end_of_a_body_does_not_happen_and_is_not_counted() {
    let far = |name: &str, then: Value| json!({"name": name, "when": {"object": "disk-2.vmdk"}, "then": then});
    let deed = json!({
        "name": "deed", "when": {"object": "disk-2.vmdk", "at_byte": 1u64 << 40}, "then": {"kill_session": true},
    });
    let scene = ruled(json!([
        far("near", json!({"stall": {"at": 100, "ms": 1}})),
        far("reset", json!({"reset_at": 1u64 << 40})),
        far("flip", json!({"flip_at": 1u64 << 40})),
        deed,
    ]))
    .await;
    let mut host = scene.host().await;
    let whole = host.get(&scene.items[2].path).await.whole();
    // A connection takes the next request when it is done with the body before.
    assert!(host.get(&scene.items[2].path).await.whole() == whole);
    host.get(&scene.items[3].path).await.whole();
    assert_eq!(["near", "reset", "flip", "deed"].map(|name| struck(&scene, name)), [2, 0, 0, 0]);
}

#[tokio::test]
async fn a_profile_bounds_each_connection_and_all_of_a_host_together() {
    let lane = Lane { bytes_per_second: Some(100_000), host_bytes_per_second: Some(150_000), latency_ms: 20 };
    let shape = Some(Shape { lease: lane, folder: Lane::default() });
    let scene = scene(Settings { shape, ..Settings::default() }).await;
    let (mut first, mut second) = (scene.host().await, scene.host().await);
    tokio::time::pause();
    let path = &scene.items[2].path;
    let start = Instant::now();
    let bytes = u64::try_from(first.get(path).await.whole().len()).unwrap();
    let alone = Duration::from_millis(20 + bytes / 100);
    assert!(start.elapsed() >= alone, "{:?}", start.elapsed());
    let start = Instant::now();
    let (a, b) = tokio::join!(first.get(path), second.get(path));
    assert_eq!(a.whole(), b.whole());
    // Twice the bytes below one and a half times the bandwidth.
    let together = Duration::from_millis(bytes * 2 / 150) - Duration::from_millis(50);
    assert!(start.elapsed() >= together && start.elapsed() > alone, "{:?}", start.elapsed());
    let files = &scene.simulator.world().stats.files;
    assert_eq!(files.latency_ms.get(), 60);
    assert_eq!(files.shaped_time().as_millis(), u128::from(bytes * 3 / 100));
}

#[tokio::test]
async fn a_profile_leaves_calls_and_other_roads_alone() {
    let scene = scene(Settings { profile: Profile::Nfc25, ..Settings::default() }).await;
    let mut vcenter = scene.vcenter().await;
    vcenter.get("/sdk/vimServiceVersions.xml").await.whole();
    assert_eq!(scene.simulator.world().stats.files.latency_ms.get(), 0);
    scene.host().await.get(&scene.items[2].path).await.whole();
    let files = &scene.simulator.world().stats.files;
    assert_eq!(files.latency_ms.get(), 5);
    assert_eq!(files.shaped_time().as_nanos(), u128::from(files.bytes.get()) * 40);
}
