//! VMs that move, start, or may not be exported.

use migrate::ErrorKind;
use serde_json::{Value, json};

use super::wrong;
use crate::lab::Lab;

/// Two hosts to move between.
const MOVING: &str = r#"
[[datacenter]]
name = "DC0"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
[[vm]]
path = "DC0/vm/web01"
[[vm.disk]]
size = "64MiB"
content = { kind = "seeded", seed = 1, fill = 0.25, compressibility = 0.5 }
"#;

fn moved(lease_fails: bool) -> Value {
    let then = json!({"move_vm": {"lease_fails": lease_fails}});
    json!({"when": {"object": "disk-0.vmdk", "at_byte": 300_000}, "then": then, "nth": 1})
}

#[tokio::test]
async fn a_vm_that_moves_while_it_is_copied_is_copied_on() {
    let lab = Lab::ruled(MOVING, moved(false)).await;
    lab.export("web01").await.unwrap();
    lab.assert_struck();
}

#[tokio::test]
async fn a_move_that_costs_the_lease_fails_the_export_with_the_reason() {
    let lab = Lab::ruled(MOVING, moved(true)).await;
    let error = lab.failing_export("web01").await;
    lab.assert_struck();
    assert!(error.chain().contains("lease"), "{}", error.chain());
    // The same command again finds it at its new place.
    lab.export("web01").await.unwrap();
}

#[tokio::test]
async fn a_vm_that_was_switched_on_while_it_was_copied_is_no_package() {
    let then = json!({"power": {"state": "on"}});
    let rule = json!({"when": {"object": "disk-1.vmdk", "at_byte": 300_000}, "then": then, "nth": 1});
    wrong(rule, ErrorKind::State, &["/DC0/vm/web/web01", "poweredOn"]).await;
}

#[tokio::test]
async fn an_image_that_is_missing_is_named() {
    let fault = json!({"type": "FileNotFound", "message": "", "fields": {"file": "[ds1] iso/tools.iso"}});
    let rule = json!({"when": {"method": "ExportVm"}, "then": {"fault": fault}});
    let (_, error) = wrong(rule, ErrorKind::State, &["/DC0/vm/web/web01"]).await;
    assert!(error.hint().is_some_and(|hint| hint.contains("[ds1] iso/tools.iso")), "{:?}", error.hint());
}

#[tokio::test]
async fn a_missing_privilege_is_named_with_the_object() {
    let (lab, _) =
        wrong(json!({"then": {"deny": "VApp.Export"}}), ErrorKind::Permission, &["VApp.Export", "vm-"]).await;
    assert_eq!(lab.calls("ExportVm"), 1);
    wrong(json!({"then": {"deny": "System.View"}}), ErrorKind::Permission, &["System.View"]).await;
    let fields = json!({"privilegeId": "VApp.Export"});
    for method in ["HttpNfcLeaseSetManifestChecksumType", "HttpNfcLeaseGetManifest", "CreateDescriptor"] {
        let fault = json!({"fault": {"type": "NoPermission", "fields": fields}});
        wrong(json!({"when": {"method": method}, "then": fault}), ErrorKind::Permission, &["VApp.Export"]).await;
    }
}

#[tokio::test]
async fn a_licence_that_does_not_allow_it_is_said_in_the_servers_words() {
    let message = "Current license or ESXi version prohibits execution of the requested operation.";
    let fault = json!({"fault": {"type": "RestrictedVersion", "message": message}});
    let rule = json!({"when": {"method": "ExportVm"}, "then": fault});
    wrong(rule, ErrorKind::Permission, &["license or ESXi version"]).await;
}
