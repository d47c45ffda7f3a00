//! What rules do to leases, tasks and VMs.

use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};
use vcenter_sim::faults::rule::parse_json;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::client::Client;
use crate::rules::{ruled, struck};
use crate::rules_calls::{Caller, assert_fault, text_of};
use crate::scene::{Scene, VM};

/// Logs in and exports; returns the VM and the lease.
async fn exporting(scene: &Scene) -> (Caller, String, String) {
    let mut caller = Caller::logged_in(scene).await;
    let vm = caller.vm().await;
    let lease = text_of(&caller.ask("ExportVm", "VirtualMachine", &vm, "").await, "returnval");
    (caller, vm, lease)
}

async fn progress(caller: &mut Caller, lease: &str) -> crate::client::Answer {
    caller.call("HttpNfcLeaseProgress", "HttpNfcLease", lease, "<percent>1</percent>").await
}

async fn open_leases(scene: &Scene) -> Value {
    scene.control().await.get("/report").await.json()["soap"]["open"]["leases"].clone()
}

#[tokio::test]
async fn a_lease_fails_with_a_fault_before_it_is_ready() {
    let fault = json!({"type": "SystemError", "message": "disk chain is broken", "fields": {"reason": "x"}});
    let then = json!({"lease": {"becomes": "error", "fault": fault}});
    let scene = ruled(json!({"when": {"method": "ExportVm"}, "then": then})).await;
    let (mut caller, _, lease) = exporting(&scene).await;
    assert!(caller.fetch("HttpNfcLease", &lease, "state").await.contains(">error<"));
    let error = caller.fetch("HttpNfcLease", &lease, "error").await;
    assert!(error.contains("disk chain is broken") && error.contains("SystemError"), "{error}");
    assert_fault(progress(&mut caller, &lease).await, "InvalidState");
    assert_eq!(open_leases(&scene).await, 0);
    caller.ask("HttpNfcLeaseAbort", "HttpNfcLease", &lease, "").await;
}

#[tokio::test]
async fn a_lease_times_out_or_vanishes_at_a_call() {
    for (becomes, kind) in [("timed_out", "Timedout"), ("gone", "ManagedObjectNotFound")] {
        let then = json!({"lease": {"becomes": becomes}});
        let scene = ruled(json!({"when": {"method": "HttpNfcLeaseProgress"}, "then": then, "nth": 2})).await;
        let (mut caller, _, lease) = exporting(&scene).await;
        for _ in 0..2 {
            assert_eq!(progress(&mut caller, &lease).await.status, StatusCode::OK);
        }
        assert_fault(progress(&mut caller, &lease).await, kind);
        assert_eq!(open_leases(&scene).await, 0, "{becomes}");
    }
}

#[tokio::test]
async fn the_urls_of_a_lease_point_elsewhere() {
    let url = json!({"lease_url": {"host": "nowhere.sim.invalid", "thumbprint": "empty"}});
    let scene = ruled(json!({"then": url})).await;
    let (mut caller, _, lease) = exporting(&scene).await;
    let info = caller.fetch("HttpNfcLease", &lease, "info").await;
    let port = scene.simulator.world().addresses.hosts[0].addr.port();
    assert!(text_of(&info, "url").starts_with(&format!("https://nowhere.sim.invalid:{port}/nfc/")), "{info}");
    assert_eq!(text_of(&info, "sslThumbprint"), "");
}

#[tokio::test]
async fn a_manifest_lies_by_rule() {
    let scene = ruled(json!({"name": "lie", "when": {"object": "disk-2.vmdk"}, "then": {"manifest": "missing"}})).await;
    let (mut caller, _, lease) = exporting(&scene).await;
    let info = caller.fetch("HttpNfcLease", &lease, "info").await;
    let mut host = scene.host().await;
    for url in info.split("<url>").skip(1).filter(|url| url.contains("disk-2") || url.contains("disk-1")) {
        let path = url.split_once("/nfc").unwrap().1.split_once('<').unwrap().0;
        host.get(&format!("/nfc{path}")).await.whole();
    }
    let manifest = caller.ask("HttpNfcLeaseGetManifest", "HttpNfcLease", &lease, "").await;
    assert_eq!(manifest.matches("<key>").count(), 1, "{manifest}");
    assert_eq!(struck(&scene, "lie"), 1);
}

#[tokio::test]
async fn a_task_fails_after_its_progress_or_never_ends() {
    let fails = json!({"fails": {"type": "SystemError", "message": "no power", "fields": {"reason": "r"}}});
    for (fate, state) in [(fails, "error"), (json!({"never_ends": true}), "running")] {
        let scene = ruled(json!({"when": {"method": "PowerOnVM_Task"}, "then": {"task": fate}})).await;
        let mut caller = Caller::logged_in(&scene).await;
        let vm = caller.vm().await;
        let task = text_of(&caller.ask("PowerOnVM_Task", "VirtualMachine", &vm, "").await, "returnval");
        tokio::time::sleep(std::time::Duration::from_millis(80)).await;
        let info = caller.fetch("Task", &task, "info").await;
        assert_eq!(text_of(&info, "state"), state, "{info}");
        assert_eq!(info.contains("no power"), state == "error");
        assert_eq!(info.contains("<progress>50</progress>"), state == "running");
        assert!(caller.fetch("VirtualMachine", &vm, "runtime.powerState").await.contains("poweredOff"));
    }
}

#[tokio::test]
async fn a_vm_moves_while_its_disk_is_read_and_the_lease_goes_on_or_fails() {
    for (fails, open) in [(false, 1), (true, 0)] {
        let then = json!({"move_vm": {"lease_fails": fails}});
        let scene = ruled(json!({"when": {"object": "disk-1.vmdk", "at_byte": 1000}, "then": then})).await;
        let (mut caller, vm, lease) = exporting(&scene).await;
        let before = caller.fetch("VirtualMachine", &vm, "runtime.host").await;
        let info = caller.fetch("HttpNfcLease", &lease, "info").await;
        let url = info.split("<url>").find(|url| url.contains("disk-1")).unwrap();
        let path = url.split_once("/nfc").unwrap().1.split_once('<').unwrap().0;
        let answer = scene.host().await.get(&format!("/nfc{path}")).await;
        assert_eq!(answer.error.is_some(), fails, "{:?}", answer.error);
        let after = caller.fetch("VirtualMachine", &vm, "runtime.host").await;
        assert_ne!(before, after);
        assert_eq!(open_leases(&scene).await, open);
        let host = text_of(&after, "returnval");
        assert!(caller.fetch("HostSystem", &host, "vm").await.contains(&format!(">{vm}<")));
    }
}

#[tokio::test]
async fn a_vm_is_switched_on_behind_a_lease() {
    let then = json!({"power": {"vm": VM, "state": "on"}});
    let scene = ruled(json!({"when": {"method": "HttpNfcLeaseProgress"}, "then": then})).await;
    let (mut caller, vm, lease) = exporting(&scene).await;
    assert_eq!(progress(&mut caller, &lease).await.status, StatusCode::OK);
    assert!(caller.fetch("VirtualMachine", &vm, "runtime.powerState").await.contains("poweredOn"));
    assert_eq!(open_leases(&scene).await, 1);
}

#[tokio::test]
async fn a_task_rule_leaves_the_task_of_another_call_alone() {
    let never = json!({"task": {"never_ends": true}});
    let scene = ruled(json!({"name": "r", "when": {"method": "PowerOnVM_Task"}, "then": never, "nth": 2})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    let task = text_of(&caller.ask("PowerOnVM_Task", "VirtualMachine", &vm, "").await, "returnval");
    let refused = caller.call("PowerOnVM_Task", "VirtualMachine", &vm, "").await;
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
    tokio::time::sleep(std::time::Duration::from_millis(80)).await;
    assert_eq!(text_of(&caller.fetch("Task", &task, "info").await, "state"), "success");
    assert_eq!(struck(&scene, "r"), 0);
}

#[tokio::test]
async fn a_deed_that_comes_to_nothing_is_not_counted_and_strikes_later() {
    let fails = json!({"lease": {"becomes": "error"}});
    let scene = ruled(json!([
        {"name": "lease", "when": {"method": "*"}, "then": fails, "times": 1},
        {"name": "off", "when": {"method": "*"}, "then": {"power": {"vm": VM, "state": "off"}}},
        {"name": "stay", "when": {"method": "*"}, "then": {"move_vm": {"vm": VM, "host": "esx1.sim.invalid"}}},
        {"name": "url", "when": {"method": "ExportVm"}, "then": {"lease_url": {"host": "x.sim.invalid"}}},
    ]))
    .await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    assert_eq!(["lease", "off", "stay"].map(|rule| struck(&scene, rule)), [0; 3]);
    let lease = text_of(&caller.ask("ExportVm", "VirtualMachine", &vm, "").await, "returnval");
    assert!(caller.fetch("HttpNfcLease", &lease, "state").await.contains(">error<"));
    assert_eq!(["lease", "off", "stay", "url"].map(|rule| struck(&scene, rule)), [1, 0, 0, 0]);
    let listed = scene.control().await.get("/rules").await.json();
    assert_eq!((&listed[0]["strikes"], &listed[1]["strikes"]), (&json!(1), &json!(0)));
    assert!(listed[1]["matches"].as_u64().unwrap() > 2, "{listed}");
}

#[tokio::test]
async fn a_request_for_a_file_of_a_datastore_is_about_the_vm_that_has_it() {
    let scene = ruled(json!([
        {"name": "on", "when": {"path": "/folder/*"}, "then": {"power": {"state": "on"}}},
        {"name": "seen", "when": {"object": VM, "http": "GET"}, "then": {"delay_ms": 1}},
    ]))
    .await;
    let mut client = scene.vcenter().await;
    client.get("/folder/elsewhere/x.vmx?dcPath=DC0&dsName=datastore1").await;
    assert_eq!(["on", "seen"].map(|rule| struck(&scene, rule)), [0, 0]);
    client.get("/folder/web%2001/web%2001.vmx?dcPath=DC0&dsName=datastore1").await;
    assert_eq!(["on", "seen"].map(|rule| struck(&scene, rule)), [1, 1]);
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    assert!(caller.fetch("VirtualMachine", &vm, "runtime.powerState").await.contains("poweredOn"));
}

#[tokio::test]
async fn a_vm_moves_to_no_host_of_another_datacenter_and_not_from_the_only_one() {
    let text = "[[datacenter]]\nname = \"DC0\"\nhosts = [\"a\"]\n[[datacenter]]\nname = \"DC1\"\nhosts = [\"b\", \"c\"]\n\
                [[vm]]\npath = \"DC0/vm/x\"\n[[vm]]\npath = \"DC1/vm/y\"\n";
    let simulator =
        Simulator::start(Inventory::parse(text, Path::new(".")).unwrap(), Options::default()).await.unwrap();
    let rules = json!([
        {"name": "other", "when": {"path": "/there"}, "then": {"move_vm": {"vm": "DC0/vm/x", "host": "b"}}},
        {"name": "only", "when": {"path": "/there"}, "then": {"move_vm": {"vm": "DC0/vm/x"}}},
        {"name": "right", "when": {"path": "/there"}, "then": {"move_vm": {"vm": "DC1/vm/y", "host": "c"}}},
    ]);
    simulator.world().faults.add_rules(parse_json(&rules.to_string()).unwrap()).unwrap();
    Client::tls(simulator.world().addresses.vcenter).await.get("/there").await;
    let struck = simulator.world().faults.struck();
    assert_eq!(struck.into_iter().collect::<Vec<_>>(), [("right".to_owned(), 1)]);
}
