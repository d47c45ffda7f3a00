//! An export that is run once more, and a VM that somebody holds.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use migrate::ErrorKind;
use migrate::export::{Proof, Request};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;
use vsphere::wire::MoRef;

use crate::lab::{Heard, Lab, WEB01};

fn adopting(lab: &Lab) -> Request {
    Request { adopt: true, ..lab.request("web01") }
}

#[tokio::test]
async fn a_finished_package_is_refused_unless_it_may_be_taken_up_and_then_nothing_is_fetched() {
    let lab = Lab::with(WEB01, Settings::default()).await;
    let first = lab.export("web01").await.unwrap();
    assert_eq!(lab.export("web01").await.unwrap_err().kind(), ErrorKind::Target);
    // What a run that was cut off behind its last rename leaves.
    let claim = format!(
        r#"{{"version":1,"vm":"{}","server":"{}","files":["web01.ovf"],"published":["web01.ovf"]}}"#,
        first.instance_uuid.as_deref().unwrap(),
        signed_server(&lab)
    );
    fs::write(lab.target().join(".web01.export"), claim).unwrap();
    let leases = lab.calls("ExportVm");
    let heard = Arc::new(Heard::default());
    let again = lab.run(&adopting(&lab), &heard, CancellationToken::new()).await.unwrap();
    assert_eq!(lab.calls("ExportVm"), leases, "the server was asked for no lease");
    let digests = |report: &migrate::export::Report| {
        let mut digests: Vec<_> =
            report.files.iter().map(|file| (file.name.clone(), file.sha256.clone(), file.size_bytes)).collect();
        digests.sort();
        digests
    };
    assert_eq!(digests(&again), digests(&first));
    assert_eq!((again.vm_path, again.descriptor), (first.vm_path, first.descriptor));
    assert_eq!((again.received_bytes, again.proof), (0, Some(Proof::Received)));
    assert!(!lab.files().contains(&".web01.export".to_owned()), "its claim has ended");
}

fn signed_server(lab: &Lab) -> String {
    let descriptor = fs::read_to_string(lab.target().join("web01.ovf")).unwrap();
    let (_, rest) = descriptor.trim_end().rsplit_once("server=").unwrap();
    rest.trim_end_matches(" -->").to_owned()
}

#[tokio::test]
async fn a_package_that_is_not_what_its_manifest_says_is_not_taken_up() {
    let lab = Lab::with(WEB01, Settings::default()).await;
    lab.export("web01").await.unwrap();
    let disk = lab.target().join("web01-disk-1.vmdk");
    let mut bytes = fs::read(&disk).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&disk, bytes).unwrap();
    let heard = Arc::new(Heard::default());
    let error = lab.run(&adopting(&lab), &heard, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification);
    assert!(error.chain().contains("web01-disk-1.vmdk"), "{}", error.chain());
    fs::remove_file(&disk).unwrap();
    let error = lab.run(&adopting(&lab), &heard, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target, "{}", error.chain());
}

#[tokio::test]
async fn without_a_finished_package_taking_up_is_an_export() {
    let lab = Lab::with(WEB01, Settings::default()).await;
    let heard = Arc::new(Heard::default());
    let report = lab.run(&adopting(&lab), &heard, CancellationToken::new()).await.unwrap();
    assert_eq!(report.proof, Some(Proof::Manifest));
    assert!(report.received_bytes > 0);
}

#[tokio::test]
async fn an_observer_hears_of_the_lease_its_renewals_and_its_end() {
    let settings = Settings { lease_timeout_s: 1, bytes_per_second: Some(16 << 20), ..Settings::default() };
    let lab = Lab::with(WEB01, settings).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard("web01", &heard).await.unwrap();
    let (holds, released) = heard.holds();
    assert!(holds.len() >= 2, "ready, and at least one renewal: {holds:?}");
    let first = &holds[0];
    assert!(holds.iter().all(|hold| hold == first), "{holds:?}");
    assert_eq!((first.vm_path.as_str(), first.timeout), ("/DC0/vm/web/web01", Duration::from_secs(1)));
    assert_eq!(released, std::slice::from_ref(&first.lease));
}

#[tokio::test]
async fn a_vm_that_somebody_else_holds_is_refused_naming_the_task() {
    let lab = Lab::with(WEB01, Settings::default()).await;
    let other = lab.session().await;
    let vms = vsphere::inventory::list(&other).await.unwrap();
    let vm: MoRef = vms[0].moref.clone();
    let lease = vsphere::Lease::export_vm(&other, &vm, &CancellationToken::new()).await.unwrap();
    let heard: Arc<Heard> = Arc::default();
    let observer = Arc::clone(&heard) as Arc<dyn migrate::export::Observer>;
    let refused =
        migrate::export::export(&lab.source(), &lab.request("web01"), observer, CancellationToken::new()).await;
    let error = refused.unwrap_err();
    assert!(error.is_held() && error.kind() == ErrorKind::State, "{}", error.chain());
    assert!(error.hint().unwrap().contains("task-"), "{:?}", error.hint());
    lease.abort("the test is over").await;
    other.logout().await.unwrap();
    assert!(!lab.export("nobody").await.unwrap_err().is_held());
}
