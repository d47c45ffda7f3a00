//! What cannot be exported, said before a byte moves.

use migrate::{Error, ErrorKind};
use vcenter_sim::faults::Settings;

use crate::lab::{Lab, WEB01};

const OFFICE: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/a/twin"
[[vm]]
path = "DC0/vm/b/twin"
[[vm]]
path = "DC0/vm/running"
power = "poweredOn"
[[vm]]
path = "DC0/vm/sleeping"
power = "suspended"
[[vm]]
path = "DC0/vm/lost"
connection = "inaccessible"
[[vm]]
path = "DC0/vm/golden"
template = true
[[vm.disk]]
size = "1MiB"
content = { kind = "seeded", seed = 1, fill = 1.0, compressibility = 0.5 }
"#;

async fn refused(lab: &Lab, vm: &str) -> Error {
    let error = lab.failing_export(vm).await;
    assert_eq!(lab.file_bytes_sent(), 0);
    error
}

#[tokio::test]
async fn a_vm_that_cannot_be_exported_is_refused_with_a_way_out() {
    let lab = Lab::with(OFFICE, Settings::default()).await;
    for (vm, kind, word) in [
        ("running", ErrorKind::State, "powered"),
        ("sleeping", ErrorKind::State, "suspended"),
        ("lost", ErrorKind::State, "inaccessible"),
        ("nowhere", ErrorKind::NotFound, "nowhere"),
        ("twin", ErrorKind::NotFound, "/DC0/vm/a/twin, /DC0/vm/b/twin"),
    ] {
        let error = refused(&lab, vm).await;
        assert_eq!(error.kind(), kind, "{vm}: {}", error.chain());
        assert!(error.to_string().contains(word), "{vm}: {}", error.chain());
        assert!(error.hint().is_some(), "{vm}");
    }
}

#[tokio::test]
async fn a_template_is_exported_like_a_vm() {
    let lab = Lab::with(OFFICE, Settings::default()).await;
    lab.export("golden").await.unwrap();
    assert!(lab.finished_files().contains(&"golden.ovf".to_owned()));
}

#[tokio::test]
async fn a_refused_login_says_so() {
    let inventory = format!("[vcenter]\nusername = \"administrator@vsphere.local\"\npassword = \"other\"\n{WEB01}");
    let lab = Lab::with(&inventory, Settings::default()).await;
    assert_eq!(refused(&lab, "web01").await.kind(), ErrorKind::Login);
}
