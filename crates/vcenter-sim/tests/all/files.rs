//! Fetching the files of a lease, with and without faults.

use http::{Method, StatusCode};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use vcenter_sim::Options;
use vcenter_sim::faults::{CorruptByte, CutAfter, Settings};

use crate::scene::{VM, scene, with_options};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_disk_is_chunked_without_a_length_and_the_manifest_tells_the_truth() {
    let scene = scene(Settings::default()).await;
    let mut host = scene.host().await;
    for item in &scene.items {
        let answer = host.get(&item.path).await;
        assert_eq!(answer.status, StatusCode::OK);
        let length = answer.headers.get("content-length").map(|value| value.to_str().unwrap().parse().unwrap());
        assert_eq!(length, item.file_size, "{}", item.target_id);
        if item.disk {
            assert_eq!(answer.headers["transfer-encoding"], "chunked");
            assert_eq!(answer.headers["content-type"], "application/x-vnd.vmware-streamVmdk");
        }
        let body = answer.whole();
        let sent = scene.simulator.world().exports.sent("lease-1").pop().unwrap();
        assert_eq!(sent.key, item.key);
        assert_eq!(sent.size, u64::try_from(body.len()).unwrap());
        assert_eq!(sent.sha1, hex(&Sha1::digest(&body)));
        assert_eq!(sent.sha256, hex(&Sha256::digest(&body)));
    }
    let files = &scene.simulator.world().stats.files;
    assert_eq!((files.started.get(), files.completed.get()), (6, 6));
    let host = &scene.simulator.world().stats.hosts[0];
    assert_eq!((host.connections_total(), host.connections_peak()), (1, 1));
    assert_eq!(scene.simulator.world().stats.hosts[1].connections_total(), 0);
    assert!(host.wire_bytes_out.get() > files.bytes.get());
}

#[tokio::test]
async fn a_second_export_is_the_same_and_costs_no_hashing() {
    let scene = scene(Settings::default()).await;
    let world = scene.simulator.world();
    let first = scene.host().await.get(&scene.items[0].path).await.whole();
    let hashed = world.stats.files.hashed_bytes.get();
    assert_eq!(hashed, u64::try_from(first.len()).unwrap());
    let again = world.exports.open("lease-2", world.inventory.vm(VM).unwrap(), "vm-62");
    let second = scene.host().await.get(&again[0].path).await.whole();
    assert!(first == second);
    assert_eq!(world.stats.files.hashed_bytes.get(), hashed);
    assert_eq!(world.exports.sent("lease-1"), world.exports.sent("lease-2"));
}

#[tokio::test]
async fn a_range_is_ignored_and_head_is_not_allowed() {
    let scene = scene(Settings::default()).await;
    let mut host = scene.host().await;
    let path = &scene.items[1].path;
    let answer = host.send(Method::GET, path, &[("range", "bytes=1000-")], "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("accept-ranges"));
    assert_eq!(&answer.whole()[..4], b"KDMV");
    let head = host.send(Method::HEAD, path, &[], "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::METHOD_NOT_ALLOWED, 0));
    let world = scene.simulator.world();
    world.faults.update(|settings| settings.head_405 = false);
    let head = host.send(Method::HEAD, path, &[], "").await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(!head.headers.contains_key("content-length"));
    let post = host.send(Method::POST, path, &[], "").await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!((world.stats.files.ranges_ignored.get(), world.stats.files.heads.get()), (1, 2));
}

#[tokio::test]
async fn credentials_at_a_host_are_noticed_and_of_no_use() {
    let scene = scene(Settings::default()).await;
    let mut host = scene.host().await;
    host.get(&scene.items[2].path).await.whole();
    let leaked = &scene.simulator.world().stats.credentials_leaked_to_host;
    assert_eq!(leaked.get(), 0);
    host.send(Method::GET, &scene.items[2].path, &[("cookie", "vmware_soap_session=\"x\"")], "").await.whole();
    let answer = host.send(Method::GET, "/nfc/guessed/disk-0.vmdk", &[("authorization", "Basic eDp5")], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(leaked.get(), 2);
}

#[tokio::test]
async fn every_listener_has_a_certificate_of_its_own_whose_thumbprint_is_known() {
    let scene = scene(Settings::default()).await;
    let thumbprint = |der: &[u8]| hex(&Sha256::digest(der)).to_uppercase();
    let mut seen = std::collections::BTreeSet::new();
    for host in &scene.simulator.world().addresses.hosts {
        let client = crate::client::Client::tls(host.addr).await;
        let sha256 = thumbprint(&client.certificate.unwrap());
        assert_eq!(sha256, host.sha256_thumbprint.replace(':', ""));
        seen.insert(sha256);
    }
    let vcenter = scene.vcenter().await;
    let sha256 = thumbprint(&vcenter.certificate.unwrap());
    assert_eq!(sha256, scene.simulator.sha256_thumbprint().replace(':', ""));
    seen.insert(sha256);
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_counted_and_harms_nobody() {
    let scene = scene(Settings::default()).await;
    let host = &scene.simulator.world().addresses.hosts[0];
    let mut tcp = tokio::net::TcpStream::connect(host.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut tcp, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // Returns when the server has given up.
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut answer).await.ok();
    scene.host().await.get(&scene.items[2].path).await.whole();
    let stats = &scene.simulator.world().stats.hosts[0];
    assert_eq!((stats.handshakes_failed.get(), stats.requests.get()), (1, 1));
}

#[tokio::test]
async fn the_vcenter_serves_files_only_when_urls_say_star() {
    let scene = scene(Settings::default()).await;
    let mut vcenter = scene.vcenter().await;
    let path = &scene.items[2].path;
    assert_eq!(vcenter.get(path).await.status, StatusCode::NOT_FOUND);
    scene.simulator.world().faults.update(|settings| settings.star_host = true);
    assert_eq!(&vcenter.get(path).await.whole()[..4], b"KDMV");
    assert_eq!(scene.host().await.get("/sdk/vimServiceVersions.xml").await.status, StatusCode::NOT_FOUND);
    let page = vcenter.get("/").await.whole();
    assert!(String::from_utf8(page).unwrap().contains("SIMULATED"));
}

#[tokio::test]
async fn a_ticket_can_be_good_for_one_fetch() {
    let scene = scene(Settings { single_use_tickets: true, ..Settings::default() }).await;
    let mut host = scene.host().await;
    host.get(&scene.items[2].path).await.whole();
    assert_eq!(host.get(&scene.items[2].path).await.status, StatusCode::NOT_FOUND);
    host.get(&scene.items[3].path).await.whole();
    assert_eq!(scene.simulator.world().stats.files.refused.get(), 1);
}

#[tokio::test]
async fn a_corrupt_byte_is_one_byte_and_not_in_the_manifest() {
    let fault = CorruptByte { file: "disk-0.vmdk".to_owned(), offset: 200_001, times: Some(1) };
    let scene = scene(Settings { corrupt_byte: Some(fault), ..Settings::default() }).await;
    let mut host = scene.host().await;
    let damaged = host.get(&scene.items[0].path).await.whole();
    let sent = scene.simulator.world().exports.sent("lease-1");
    let right = host.get(&scene.items[0].path).await.whole();
    let different: Vec<_> = (0..right.len()).filter(|&at| right[at] != damaged[at]).collect();
    assert_eq!((different, damaged.len()), (vec![200_001], right.len()));
    assert_eq!(damaged[200_001], !right[200_001]);
    assert_eq!(sent[0].sha256, hex(&Sha256::digest(&right)));
    assert_eq!(scene.simulator.world().faults.struck()["corrupt_byte"], 1);
}

#[tokio::test]
async fn a_reset_ends_the_stream_with_an_error_and_without_a_manifest() {
    let fault = CutAfter { file: format!("{VM}/disk-0.vmdk"), bytes: 300_000, times: None };
    let scene = scene(Settings { reset_after_bytes: Some(fault), ..Settings::default() }).await;
    let answer = scene.host().await.get(&scene.items[0].path).await;
    assert!(answer.error.is_some());
    assert!(answer.body.len() <= 300_000, "{}", answer.body.len());
    assert_eq!(scene.simulator.world().exports.sent("lease-1"), []);
    scene.host().await.get(&scene.items[1].path).await.whole();
    assert_eq!(scene.simulator.world().exports.sent("lease-1").len(), 1);
}

#[tokio::test]
async fn an_early_end_looks_complete_but_is_not_in_the_manifest() {
    let fault = CutAfter { file: "*".to_owned(), bytes: 300_000, times: Some(1) };
    let scene = scene(Settings { clean_end_after_bytes: Some(fault), ..Settings::default() }).await;
    let mut host = scene.host().await;
    let body = host.get(&scene.items[0].path).await.whole();
    assert_eq!(body.len(), 300_000);
    assert_eq!(scene.simulator.world().exports.sent("lease-1"), []);
    // The connection is as good as before.
    let whole = host.get(&scene.items[0].path).await.whole();
    assert!(whole.len() > 300_000 && whole[..300_000] == body);
}

#[tokio::test]
async fn the_end_of_a_lease_cuts_its_streams_and_no_others() {
    let scene = scene(Settings { bytes_per_second: Some(4096), ..Settings::default() }).await;
    let world = scene.simulator.world();
    let other = world.exports.open("lease-2", world.inventory.vm(VM).unwrap(), "vm-62");
    let (mut first, mut second) = (scene.host().await, scene.host().await);
    let (path, other_path) = (scene.items[0].path.clone(), other[2].path.clone());
    let cut = tokio::spawn(async move { first.get(&path).await });
    let whole = tokio::spawn(async move { second.get(&other_path).await });
    while world.stats.files.started.get() < 2 || world.stats.files.bytes.get() == 0 {
        tokio::task::yield_now().await;
    }
    world.exports.close("lease-1");
    assert!(cut.await.unwrap().error.is_some());
    world.faults.update(|settings| settings.bytes_per_second = None);
    whole.await.unwrap().whole();
    assert_eq!(scene.host().await.get(&scene.items[0].path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stop_closes_listeners_and_running_streams() {
    let scene = scene(Settings { bytes_per_second: Some(1024), ..Settings::default() }).await;
    let addr = scene.simulator.world().addresses.hosts[0].addr;
    let world = std::sync::Arc::clone(scene.simulator.world());
    let mut host = scene.host().await;
    let path = scene.items[0].path.clone();
    let stream = tokio::spawn(async move { host.get(&path).await });
    while world.stats.files.started.get() == 0 {
        tokio::task::yield_now().await;
    }
    scene.simulator.stop().await;
    assert!(stream.await.unwrap().error.is_some());
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    assert_eq!(world.stats.hosts[0].connections_now(), 0);
}

#[tokio::test]
async fn an_address_that_is_not_loopback_must_be_allowed() {
    let remote = Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() };
    let inventory = vcenter_sim::Inventory::scenario("demo").unwrap();
    let error = vcenter_sim::Simulator::start(inventory, remote).await.unwrap_err();
    assert_eq!(error.kind(), vcenter_sim::ErrorKind::Listen);
    assert!(error.to_string().contains("0.0.0.0"), "{error}");
}

#[tokio::test]
async fn urls_can_name_hosts_otherwise_than_their_certificates_do() {
    let scene = with_options(Options {
        url_name: Some("localhost".to_owned()),
        host_certificate_names: Some(vec!["other.sim.invalid".to_owned()]),
        ..Options::default()
    })
    .await;
    let host = &scene.simulator.world().addresses.hosts[0];
    assert_eq!(host.url_name, format!("localhost:{}", host.addr.port()));
    let der = scene.host().await.certificate.unwrap();
    let contains = |name: &[u8]| der.windows(name.len()).any(|window| window == name);
    assert!(contains(b"other.sim.invalid") && !contains(b"localhost"));
}
