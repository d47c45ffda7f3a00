//! What an export reads of datastores: the nvram that a lease does not offer, and whether images are there.

use std::fs;
use std::sync::Arc;

use migrate::ErrorKind;
use migrate::export::{Proof, Request, SnapshotPolicy};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;

use crate::lab::{Heard, Lab};

/// Two datacenters of one name in folders whose names mean something in URLs, and two hosts each.
const TWINS: &str = r#"
[[datacenter]]
name = "R&D"
folder = "a b"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
[[vm]]
path = "a b/R&D/vm/uefi"
power = "poweredOff"
nvram_bytes = 270840
[[vm.disk]]
size = "256KiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
[[datacenter]]
name = "R&D"
folder = "c"
hosts = ["esx3.sim.invalid"]
[[vm]]
path = "c/R&D/vm/uefi"
nvram_bytes = 8684
"#;

const VM: &str = "a b/R&D/vm/uefi";

/// The name of an nvram that came from the datastore.
const NVRAM: &str = "uefi-nvram.nvram";

async fn lab(rules: &[&str]) -> Lab {
    let lab = Lab::with(TWINS, Settings { lease_without_nvram: true, ..Settings::default() }).await;
    lab.rules(rules);
    lab
}

/// Returns the bytes of the nvram as a lease that offers it gives them.
async fn offered() -> Vec<u8> {
    let lab = Lab::with(TWINS, Settings::default()).await;
    lab.export(VM).await.unwrap();
    fs::read(lab.target().join("uefi-file-0.nvram")).unwrap()
}

/// Exports and checks that the package has the nvram whole, in descriptor and manifest too.
async fn arrives(lab: &Lab) {
    let report = lab.export(VM).await.unwrap();
    assert_eq!(lab.files(), ["uefi-disk-0.vmdk", NVRAM, "uefi.mf", "uefi.ovf"]);
    assert!(fs::read(lab.target().join(NVRAM)).unwrap() == offered().await);
    let file = report.files.iter().find(|file| file.name == NVRAM).unwrap();
    assert_eq!((file.proof, file.size_bytes, report.proof), (Some(Proof::Received), 270_840, Some(Proof::Received)));
    let descriptor = fs::read_to_string(lab.target().join("uefi.ovf")).unwrap();
    assert!(descriptor.contains("ovf:href=\"uefi-nvram.nvram\"") && descriptor.contains("vmw:key=\"nvram\""));
    assert!(fs::read_to_string(lab.target().join("uefi.mf")).unwrap().contains(NVRAM));
}

/// Refuses files at the vCenter, as one does whose account may not read datastores.
const NOT_THROUGH_VCENTER: &str =
    r#"{"when":{"path":"/folder/*","listener":"vcenter"},"then":{"answer":{"status":403}}}"#;

#[tokio::test]
async fn an_nvram_that_the_lease_lacks_comes_from_the_datastore_of_the_right_datacenter() {
    let lab = lab(&[]).await;
    arrives(&lab).await;
    assert_eq!(lab.simulator.world().stats.tickets_issued.get(), 0, "the session's own cookie is enough");
}

#[tokio::test]
async fn a_server_that_decodes_names_twice_is_understood() {
    let lab = lab(&[]).await;
    lab.change(|settings| settings.folder_double_decode = true);
    arrives(&lab).await;
}

#[tokio::test]
async fn where_the_vcenter_refuses_a_host_gives_it_for_one_ticket() {
    let lab = lab(&[NOT_THROUGH_VCENTER]).await;
    arrives(&lab).await;
    let stats = &lab.simulator.world().stats;
    assert_eq!((stats.tickets_issued.get(), stats.tickets_used.get()), (1, 1));
}

#[tokio::test]
async fn a_vm_that_moves_meanwhile_is_asked_for_where_it_is_now() {
    let moved = r#"{"when":{"method":"HttpNfcLeaseGetManifest"},"then":{"move_vm":{"lease_fails":false}}}"#;
    let lab = lab(&[NOT_THROUGH_VCENTER, moved]).await;
    arrives(&lab).await;
    let asked: Vec<_> = lab.simulator.world().stats.hosts.iter().map(|host| host.folder.requests.get()).collect();
    assert_eq!(asked, [0, 1, 0]);
}

#[tokio::test]
async fn a_refused_cookie_leaves_no_second_session() {
    let once = r#"{"when":{"path":"/folder/*","listener":"vcenter"},"then":{"answer":{"status":401}},"nth":1}"#;
    let lab = lab(&[once]).await;
    arrives(&lab).await;
    assert_eq!(lab.soap()["sessions"]["logins"], 1, "{:#}", lab.soap());
}

#[tokio::test]
async fn an_nvram_that_nobody_gives_is_missed_and_said() {
    let lab = lab(&[r#"{"when":{"path":"/folder/*"},"then":{"answer":{"status":500}}}"#]).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard(VM, &heard).await.unwrap();
    assert_eq!(lab.files(), ["uefi-disk-0.vmdk", "uefi.mf", "uefi.ovf"]);
    assert!(heard.warnings().iter().any(|warning| warning.contains("nvram is missing")), "{:?}", heard.warnings());
    assert!(!fs::read_to_string(lab.target().join("uefi.ovf")).unwrap().contains("nvram"));
}

/// A VM with an image in its drive.
fn with_image() -> String {
    TWINS.replace("nvram_bytes = 270840", "isos = [\"[datastore1] iso/install.iso\"]")
}

#[tokio::test]
async fn an_image_that_is_gone_is_named_before_a_byte_moves() {
    let gone = r#"{"type":"FileNotFound","fields":{"file":"[datastore1] iso/install.iso"}}"#;
    for (method, policy) in
        [("SearchDatastore_Task", None), ("SearchDatastore_Task", Some(SnapshotPolicy::Crash)), ("ExportVm", None)]
    {
        let rule = format!(r#"{{"when":{{"method":"{method}"}},"then":{{"fault":{gone}}}}}"#);
        let lab = Lab::with(&with_image(), Settings::default()).await;
        lab.rules(&[&rule]);
        let request = Request { snapshot: policy, ..lab.request(VM) };
        let error = lab.run(&request, &Arc::default(), CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{rule}: {}", error.chain());
        let said = format!("{} {}", error.chain(), error.hint().unwrap());
        assert!(said.contains("[datastore1] iso/install.iso") && said.contains("eject"), "{said}");
        assert_eq!(lab.file_bytes_sent(), 0);
        assert_eq!(lab.soap()["calls"]["CreateSnapshot_Task"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_looked_for_is_left_to_the_lease() {
    let lab = Lab::with(&with_image(), Settings::default()).await;
    lab.rules(&[r#"{"when":{"method":"SearchDatastore_Task"},"then":{"fault":{"type":"NoPermission"}}}"#]);
    lab.export(VM).await.unwrap();
}
