//! A VM whose files move to another datastore: before, while and after it is exported.
//!
//! A vCenter refuses to move a VM that a lease holds; what a rule moves all the same is sent on, as a host keeps
//! open what it reads. The package is right either way, and what is read from the datastore is followed.

use std::fs;
use std::sync::Arc;

use migrate::ErrorKind;
use migrate::export::{Proof, Request, SnapshotPolicy};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vcenter_sim::Options;
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;
use vsphere::inventory;
use vsphere::properties;
use vsphere::wire::MoRef;
use vsphere::wire::generated::{RelocateVMTask, VirtualMachineRelocateSpec};

use crate::lab::{Heard, Lab, until};

/// A VM with an image, whose lease has no nvram, and another of its name where it may go.
const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
datastores = ["old", "fast"]
[[vm]]
path = "DC0/vm/web01"
isos = ["[old] iso/x.iso"]
nvram_bytes = 270840
guest_writes = 0.2
[[vm.disk]]
size = "8MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
[[vm.disk]]
size = "4MiB"
file = "[fast] data/d.vmdk"
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }
[[vm.snapshot]]
name = "somebody's"
[[vm]]
path = "DC0/vm/other/web01"
datastore = "fast"
"#;

const PATH: &str = "DC0/vm/web01";
const FILES: [&str; 5] = ["web01-disk-0.vmdk", "web01-disk-1.vmdk", "web01-nvram.nvram", "web01.mf", "web01.ovf"];

async fn lab(rules: Value) -> Lab {
    lab_of(INVENTORY, rules).await
}

async fn lab_of(inventory: &str, rules: Value) -> Lab {
    let rules = parse_json(&rules.to_string()).unwrap();
    let settings = Some(Settings { lease_without_nvram: true, ..Settings::default() });
    Lab::with_options(inventory, Options { settings, rules, ..Options::default() }).await
}

/// The VM goes to a datastore when something happens.
fn when(event: &Value, datastore: &str) -> Value {
    json!({"when": event, "then": {"move_vm": {"vm": PATH, "datastore": datastore}}, "nth": 1})
}

/// Returns the bytes of the package's files by name, but for the descriptor and the manifest, which have the
/// moment of their making.
fn contents(lab: &Lab) -> Vec<(String, Vec<u8>)> {
    let files = lab.files().into_iter().filter(|name| !name.ends_with(".ovf") && !name.ends_with(".mf"));
    files.map(|name| (name.clone(), fs::read(lab.target().join(name)).unwrap())).collect()
}

/// Exports a VM that does not move.
async fn undisturbed() -> Vec<(String, Vec<u8>)> {
    let lab = lab(json!([])).await;
    lab.export(PATH).await.unwrap();
    assert_eq!(lab.files(), FILES);
    contents(&lab)
}

async fn vm_path_name(lab: &Lab) -> String {
    let session = lab.session().await;
    let name = inventory::find(&session, PATH).await.unwrap().config.vm_path_name;
    session.logout().await.unwrap();
    name
}

#[tokio::test]
async fn a_vm_that_moves_at_any_step_of_its_export_is_exported_right() {
    let right = undisturbed().await;
    let folder = json!({"path": "/folder/*"});
    let disk = json!({"object": "disk-0.vmdk", "at_byte": 100_000});
    for event in [
        json!({"method": "SearchDatastore_Task"}),
        json!({"method": "ExportVm"}),
        json!({"method": "HttpNfcLeaseSetManifestChecksumType"}),
        disk,
        json!({"method": "HttpNfcLeaseGetManifest"}),
        folder,
        json!({"path": "/folder/*", "at_byte": 100_000}),
        json!({"method": "CreateDescriptor"}),
        json!({"method": "HttpNfcLeaseComplete"}),
    ] {
        let lab = lab(when(&event, "fast")).await;
        let heard = Arc::new(Heard::default());
        let report = lab.export_heard(PATH, &heard).await.unwrap_or_else(|error| panic!("{event}: {}", error.chain()));
        lab.assert_struck();
        assert_eq!(report.proof, Some(Proof::Received), "{event}: the nvram has no manifest");
        assert_eq!(lab.files(), FILES, "{event}: {:?}", heard.warnings());
        assert!(contents(&lab) == right, "{event}");
        assert_eq!(vm_path_name(&lab).await, "[fast] web01_1/web01_1.vmx");
        // And from there once more.
        fs::remove_dir_all(lab.target()).unwrap();
        lab.export(PATH).await.unwrap_or_else(|error| panic!("{event}, again: {}", error.chain()));
        assert!(contents(&lab) == right, "{event}, again");
    }
}

#[tokio::test]
async fn a_vm_that_moves_under_its_snapshot_is_exported_as_the_snapshot_has_it() {
    for method in ["CreateSnapshot_Task", "ExportSnapshot", "HttpNfcLeaseGetManifest", "RemoveSnapshot_Task"] {
        let lab = lab(when(&json!({"method": method}), "fast")).await;
        let request = Request { snapshot: Some(SnapshotPolicy::Crash), ..lab.request(PATH) };
        let result = lab.run(&request, &Arc::default(), CancellationToken::new()).await;
        result.unwrap_or_else(|error| panic!("{method}: {}", error.chain()));
        lab.assert_struck();
        assert!(contents(&lab) == undisturbed().await, "{method}");
    }
}

#[tokio::test]
async fn a_move_that_costs_the_lease_fails_the_export_and_the_next_one_finds_the_vm() {
    let then = json!({"move_vm": {"datastore": "fast", "lease_fails": true}});
    let rule = json!({"when": {"object": "disk-0.vmdk", "at_byte": 100_000}, "then": then, "nth": 1});
    let lab = lab(rule).await;
    let error = lab.failing_export(PATH).await;
    lab.assert_struck();
    assert_eq!(error.kind(), ErrorKind::Server, "{}", error.chain());
    assert!(error.chain().contains("lease") && error.hint().is_some(), "{}", error.chain());
    lab.export(PATH).await.unwrap();
    assert!(contents(&lab) == undisturbed().await);
}

#[tokio::test]
async fn an_nvram_that_never_stays_is_missed_and_said() {
    let wander = ["fast", "old", "fast", "old", "fast", "old"];
    let rules: Vec<Value> = (1..)
        .zip(wander)
        .map(|(nth, datastore)| {
            let then = json!({"move_vm": {"vm": PATH, "datastore": datastore}});
            json!({"when": {"path": "/folder/*"}, "then": then, "nth": nth})
        })
        .collect();
    // Without an image the VM has nothing left where it was, so no host is asked there.
    let lab = lab_of(&INVENTORY.replace("isos =", "missing_isos = []\nisos = [] #"), json!(rules)).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard(PATH, &heard).await.unwrap();
    assert!(!lab.files().contains(&FILES[2].to_owned()), "{:?}", lab.files());
    assert!(heard.warnings().iter().any(|warning| warning.contains("nvram is missing")), "{:?}", heard.warnings());
}

#[tokio::test]
async fn somebody_elses_wish_to_move_a_vm_waits_for_the_end_of_its_export() {
    let stall = json!({"when": {"object": "disk-0.vmdk"}, "then": {"stall": {"at": 100_000, "ms": 60_000}}});
    let lab = lab(stall).await;
    let (cancel, heard) = (CancellationToken::new(), Arc::<Heard>::default());
    let other = async {
        let session = lab.session().await;
        until("bytes of the disk", || heard.received_bytes() >= 100_000).await;
        let vm = inventory::find(&session, PATH).await.unwrap().moref;
        let datastores: Vec<MoRef> =
            properties::read(&session, &vm, &["datastore"]).await.unwrap().list("datastore").unwrap();
        let spec = VirtualMachineRelocateSpec { datastore: datastores.last().cloned(), ..Default::default() };
        let call = RelocateVMTask { this: vm.clone(), spec, priority: None };
        let refused = session.call(&vm, &call).await.unwrap_err();
        session.logout().await.unwrap();
        cancel.cancel();
        refused
    };
    let (ended, refused) = tokio::join!(lab.export_until(PATH, &heard, cancel.clone()), other);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(refused.kind(), vsphere::ErrorKind::State, "{refused}");
    assert!(
        refused.to_string().contains("in progress") || format!("{refused:?}").contains("TaskInProgress"),
        "{refused:?}"
    );
    assert_eq!(vm_path_name(&lab).await, "[old] web01/web01.vmx");
}
