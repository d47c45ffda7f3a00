//! Servers and hosts that differ from the easy case.

use std::sync::Arc;

use migrate::export::Proof;
use migrate::{ErrorKind, inventory};
use tokio_util::sync::CancellationToken;
use vcenter_sim::Options;
use vcenter_sim::faults::{HashName, Settings, ThumbprintKind};

use crate::lab::{Heard, Lab, WEB01};

/// Disks come from another name with a certificate that only the lease's thumbprint vouches for.
fn elsewhere(hash: HashName, kind: ThumbprintKind) -> Options {
    Options {
        url_name: Some("localhost".to_owned()),
        host_certificate_names: Some(vec!["esx7.somewhere.invalid".to_owned()]),
        settings: Some(Settings { thumbprint_hash: hash, host_thumbprint: kind, ..Settings::default() }),
        ..Options::default()
    }
}

#[tokio::test]
async fn disks_from_another_host_are_trusted_by_the_leases_thumbprint() {
    for hash in [HashName::Sha1, HashName::Sha256] {
        let lab = Lab::with_options(WEB01, elsewhere(hash, ThumbprintKind::Right)).await;
        assert_eq!(lab.export("web01").await.unwrap().proof, Some(Proof::Manifest));
    }
}

#[tokio::test]
async fn a_wrong_or_empty_thumbprint_does_not_open_the_door() {
    for kind in [ThumbprintKind::Wrong, ThumbprintKind::Empty] {
        let lab = Lab::with_options(WEB01, elsewhere(HashName::Sha1, kind)).await;
        let error = lab.failing_export("web01").await;
        assert_eq!(error.kind(), ErrorKind::Certificate, "{}", error.chain());
    }
}

#[tokio::test]
async fn an_asterisk_as_host_means_the_server_itself() {
    let lab = Lab::with(WEB01, Settings { star_host: true, ..Settings::default() }).await;
    assert_eq!(lab.export("web01").await.unwrap().proof, Some(Proof::Manifest));
}

#[tokio::test]
async fn a_ticket_that_works_once_is_enough() {
    let lab = Lab::with(WEB01, Settings { single_use_tickets: true, ..Settings::default() }).await;
    lab.export("web01").await.unwrap();
}

#[tokio::test]
async fn a_lease_that_cannot_be_completed_is_aborted_and_the_package_stays_right() {
    let lab = Lab::with(WEB01, Settings { complete_fault: true, ..Settings::default() }).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard("web01", &heard).await.unwrap();
    assert!(!heard.warnings().is_empty());
}

#[tokio::test]
async fn a_descriptor_that_cannot_be_made_fails_the_export() {
    let lab = Lab::with(WEB01, Settings { create_descriptor_fault: true, ..Settings::default() }).await;
    assert_eq!(lab.failing_export("web01").await.kind(), ErrorKind::Server);
}

#[tokio::test]
async fn a_server_that_pages_as_it_likes_is_listed_whole() {
    let mut inventory = String::from("[[datacenter]]\nname = \"DC0\"\nfolder = \"Lab\"\n");
    for number in 0..40 {
        inventory += &format!("[[vm]]\npath = \"Lab/DC0/vm/f{}/vm{number}\"\n", number % 3);
    }
    let lab = Lab::with(&inventory, Settings { max_page_size: Some(7), ..Settings::default() }).await;
    let vms = inventory::list(&lab.source(), false, &CancellationToken::new()).await.unwrap();
    let mut expected: Vec<_> = (0..40).map(|number| format!("/Lab/DC0/vm/f{}/vm{number}", number % 3)).collect();
    expected.sort();
    assert_eq!(vms.iter().map(|vm| vm.path.clone()).collect::<Vec<_>>(), expected);
    lab.assert_nothing_left();
}

#[tokio::test]
async fn capacities_are_read_where_they_are_asked_for() {
    let inventory =
        format!("{WEB01}[[vm]]\npath = \"DC0/vm/bare\"\n[[vm]]\npath = \"DC0/vm/lost\"\nconnection = \"orphaned\"\n");
    let lab = Lab::with(&inventory, Settings::default()).await;
    for (capacities, expected) in [(false, [None, None, None]), (true, [Some(0), None, Some(96 << 20)])] {
        let vms = inventory::list(&lab.source(), capacities, &CancellationToken::new()).await.unwrap();
        assert_eq!(vms.iter().map(|vm| vm.capacity_bytes).collect::<Vec<_>>(), expected);
        lab.assert_nothing_left();
    }
}
