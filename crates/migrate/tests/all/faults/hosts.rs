//! Hosts that cannot be reached, are not who they should be, or have no room.

use migrate::ErrorKind;
use migrate::export::Proof;
use serde_json::json;

use super::{right, wrong};
use crate::lab::Lab;

#[tokio::test]
async fn a_host_whose_name_means_nothing_is_unreachable_and_named() {
    let rule = json!({"then": {"lease_url": {"host": "esx7.sim.invalid"}}});
    wrong(rule, ErrorKind::Unreachable, &["esx7.sim.invalid"]).await;
}

#[tokio::test]
async fn a_url_that_leads_to_another_server_gets_no_credential_and_no_package() {
    // The vCenter listens at its own port; its certificate is not the pinned one of the host.
    let lab = Lab::with(super::WEB01, Default::default()).await;
    let vcenter = lab.simulator.world().addresses.vcenter.to_string();
    let rules = json!({"then": {"lease_url": {"host": vcenter, "thumbprint": "wrong"}}}).to_string();
    lab.simulator.world().faults.add_rules(vcenter_sim::faults::rule::parse_json(&rules).unwrap()).unwrap();
    let error = lab.failing_export("web01").await;
    lab.assert_struck();
    // It is known by its own pin, and has no such file.
    assert_eq!(error.kind(), ErrorKind::Server, "{}", error.chain());
    assert!(error.chain().contains("404") && error.chain().contains(&vcenter), "{}", error.chain());
}

#[tokio::test]
async fn a_certificate_that_is_not_the_pinned_one_is_not_trusted() {
    for kind in ["other", "expired", "other_name"] {
        let rule = json!({"when": {"listener": "esx1.sim.invalid"}, "then": {"certificate": kind}});
        let (lab, error) = wrong(rule, ErrorKind::Certificate, &["web01-"]).await;
        assert_eq!(lab.file_bytes_sent(), 0);
        assert!(error.hint().is_some(), "{}", error.chain());
    }
}

#[tokio::test]
async fn the_servers_own_certificate_is_checked_before_the_password_is_sent() {
    let rule = json!({"when": {"listener": "vcenter"}, "then": {"certificate": "other"}});
    let (lab, _) = wrong(rule, ErrorKind::Certificate, &[]).await;
    assert_eq!(lab.calls("Login"), 0);
}

#[tokio::test]
async fn a_host_that_refuses_connections_for_a_moment_is_asked_again() {
    let close = json!({"close_listener": {"listener": "esx1.sim.invalid", "ms": 1500}});
    right(json!({"when": {"method": "HttpNfcLeaseSetManifestChecksumType"}, "then": close, "nth": 1})).await;
}

#[tokio::test]
async fn a_host_that_refuses_connections_is_unreachable() {
    let close = json!({"close_listener": {"listener": "esx1.sim.invalid", "ms": 60_000}});
    let rule = json!({"when": {"method": "HttpNfcLeaseSetManifestChecksumType"}, "then": close});
    wrong(rule, ErrorKind::Unreachable, &["connect to 127.0.0.1"]).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up_and_begun_again_and_one_that_always_does_is_unreachable() {
    let stall = json!({"when": {"listener": "esx1.sim.invalid"}, "then": {"handshake_stall_ms": 60_000}, "nth": 1});
    let lab = Lab::ruled(super::WEB01, stall).await.with_handshake_timeout("2s");
    assert_eq!(lab.export("web01").await.unwrap().proof, Some(Proof::Manifest));
    lab.assert_struck();
    let always = json!({"when": {"listener": "esx1.sim.invalid"}, "then": {"handshake_stall_ms": 60_000}});
    let lab = Lab::ruled(super::WEB01, always).await.with_handshake_timeout("1s");
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    lab.assert_struck();
}

#[tokio::test]
async fn a_host_in_maintenance_mode_refuses_with_its_reason() {
    let message = "The operation is not allowed in the current state: the host is in maintenance mode.";
    let fault = json!({"fault": {"type": "InvalidState", "message": message}});
    let rule = json!({"when": {"method": "ExportVm"}, "then": fault});
    wrong(rule, ErrorKind::State, &["/DC0/vm/web/web01", "maintenance mode"]).await;
}

#[tokio::test]
async fn streams_that_a_host_has_no_room_for_wait_for_the_others() {
    let busy = json!({"busy": {"above": 1, "of": "streams"}});
    // Long enough for the others to give up trying.
    let slow = json!({"stall": {"at": 5000, "ms": 5_000}});
    right(json!([
        {"when": {"listener": "esx1.sim.invalid"}, "then": busy},
        {"when": {"path": "/nfc/*"}, "then": slow, "nth": 1},
    ]))
    .await;
}
