//! Bandwidth, measured by counting and on a clock that only moves when everybody waits.

use std::time::Duration;

use tokio::time::Instant;
use vcenter_sim::faults::Settings;

use crate::scene::scene;

const RATE: u64 = 100_000;

/// What the shaped stream of so many bytes takes.
fn time(bytes: u64) -> Duration {
    Duration::from_millis(bytes * 1000 / RATE)
}

#[tokio::test]
async fn a_stream_is_cut_into_small_pieces_that_take_their_time() {
    let scene = scene(Settings { bytes_per_second: Some(RATE), ..Settings::default() }).await;
    let mut host = scene.host().await;
    tokio::time::pause();
    let start = Instant::now();
    let body = host.get(&scene.items[3].path).await.whole();
    let bytes = u64::try_from(body.len()).unwrap();
    let files = &scene.simulator.world().stats.files;
    assert!(start.elapsed() >= time(bytes));
    assert!(files.shaped_time() >= time(bytes) && files.shaped_time() < time(bytes) + Duration::from_millis(1));
    // 50 pieces a second, and one more at the end of each piece that was made.
    let pieces = bytes / (RATE / 50);
    assert!((pieces..=pieces + pieces / 10 + 2).contains(&files.shaped_pieces.get()), "{}", files.shaped_pieces.get());
}

#[tokio::test]
async fn each_connection_has_its_bandwidth_and_its_requests_share_it() {
    let scene = scene(Settings { bytes_per_second: Some(RATE), ..Settings::default() }).await;
    let (mut first, mut second) = (scene.host().await, scene.host().await);
    tokio::time::pause();
    let path = &scene.items[2].path;
    let start = Instant::now();
    let bytes = u64::try_from(first.get(path).await.whole().len()).unwrap();
    let alone = start.elapsed();
    assert!(alone >= time(bytes));

    let start = Instant::now();
    let (a, b) = tokio::join!(first.get(path), second.get(path));
    assert_eq!(a.whole(), b.whole());
    assert!(start.elapsed() < time(bytes) * 3 / 2);

    let start = Instant::now();
    first.get(path).await.whole();
    first.get(path).await.whole();
    assert!(start.elapsed() >= time(bytes) * 2 - Duration::from_millis(100));
}
