//! What rules do to connections before there is a request.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::rules::{ruled, struck};

#[tokio::test]
async fn a_handshake_stalls() {
    let rule =
        json!({"name": "r", "when": {"listener": "esx1.sim.invalid"}, "then": {"handshake_stall_ms": 300}, "times": 1});
    let scene = ruled(rule).await;
    let start = Instant::now();
    scene.host().await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    scene.vcenter().await;
    assert_eq!(struck(&scene, "r"), 1);
}

#[tokio::test]
async fn a_connection_sees_a_certificate_that_something_is_wrong_with() {
    for kind in ["other", "expired", "other_name"] {
        let scene =
            ruled(json!({"when": {"listener": "esx1.sim.invalid"}, "then": {"certificate": kind}, "times": 1})).await;
        let known = scene.simulator.world().addresses.hosts[0].sha256_thumbprint.replace(':', "").to_lowercase();
        let thumbprint = |der: &[u8]| Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let bad = scene.host().await.certificate.unwrap();
        assert_ne!(thumbprint(&bad), known, "{kind}");
        let text = String::from_utf8_lossy(&bad).into_owned();
        assert_eq!(text.contains("elsewhere.sim.invalid"), kind == "other_name");
        // The end of the validity, as ASN.1 writes a UTCTime.
        assert_eq!(text.contains("000101000000Z"), kind == "expired");
        assert_eq!(thumbprint(&scene.host().await.certificate.unwrap()), known);
    }
}

#[tokio::test]
async fn a_listener_refuses_connections_for_a_time_and_keeps_those_that_are_open() {
    let close = json!({"close_listener": {"listener": "esx1.sim.invalid", "ms": 400}});
    let scene = ruled(json!({"when": {"listener": "vcenter", "path": "/"}, "then": close, "nth": 1})).await;
    let mut open = scene.host().await;
    assert_eq!(scene.vcenter().await.get("/").await.status, StatusCode::OK);
    let addr = scene.simulator.world().addresses.hosts[0].addr;
    let start = Instant::now();
    // The listener hears of it a moment later.
    while TcpStream::connect(addr).await.is_ok() {
        assert!(start.elapsed() < Duration::from_millis(350), "nobody was refused");
        tokio::task::yield_now().await;
    }
    open.get(&scene.items[2].path).await.whole();
    while TcpStream::connect(addr).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the listener stays closed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    scene.host().await.get(&scene.items[2].path).await.whole();
}
