//! `/folder` from outside: who may read, which bytes come, and what is said when none do.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Method, StatusCode};
use vcenter_sim::content::DiskContent;
use vcenter_sim::faults::Settings;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::client::{Answer, Client};
use crate::soap::Desk;

/// Two datacenters, the first in folders; names with all that URLs and pages trip over.
const INVENTORY: &str = r#"
host_account = { username = "root", password = "of the host" }

[[datacenter]]
name = "DC0"
folder = "Lab/EU"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
datastores = ["datastore1", "data & more", "old"]
vmfs5 = ["old"]

[[datacenter]]
name = "R&D"
hosts = ["esx3.sim.invalid"]

[[vm]]
path = "Lab/EU/DC0/vm/web/web 01"
isos = ["[datastore1] iso/linux/x.iso"]

[[vm.disk]]
size = 3146240
content = { kind = "seeded", seed = 1, fill = 0.7, compressibility = 0.5 }

[[vm]]
path = "Lab/EU/DC0/vm/busy"
datastore = "old"
power = "poweredOn"
guest_writes = 0.2

[[vm.disk]]
size = "4 MiB"
content = { kind = "seeded", seed = 2, fill = 0.7, compressibility = 0.5 }

[[vm.snapshot]]
name = "before"

[[vm]]
path = "Lab/EU/DC0/vm/<i>50%2525 \"x\" é"
datastore = "data & more"

[[vm]]
path = "R&D/vm/other"
"#;

const WEB: &str = "Lab/EU/DC0/vm/web/web 01";
const FLAT: &str = "/folder/web%2001/web%2001-flat.vmdk?dcPath=Lab%2FEU%2FDC0&dsName=datastore1";

struct Scene {
    simulator: Simulator,
    vcenter: Client,
    credentials: String,
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

impl Scene {
    async fn open(settings: Settings) -> Self {
        Self::of(INVENTORY, settings).await
    }

    async fn of(inventory: &str, settings: Settings) -> Self {
        let inventory = Inventory::parse(inventory, Path::new(".")).unwrap();
        let options = Options { settings: Some(settings), ..Options::default() };
        let simulator = Simulator::start(inventory, options).await.unwrap();
        let vcenter = Client::tls(simulator.world().addresses.vcenter).await;
        Self { simulator, vcenter, credentials: basic("administrator@vsphere.local", "simulated") }
    }

    async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let credentials = self.credentials.clone();
        let mut all = vec![("authorization", credentials.as_str())];
        all.extend(headers);
        self.vcenter.send(method, path, &all, "").await
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    async fn range(&mut self, path: &str, range: &str) -> Answer {
        self.send(Method::GET, path, &[("range", range)]).await
    }

    async fn host(&self, index: usize) -> Client {
        Client::tls(self.simulator.world().addresses.hosts[index].addr).await
    }

    /// Returns the bytes of a VM's first disk as its guest sees them.
    fn raw(&self, vm: &str) -> Vec<u8> {
        let world = self.simulator.world();
        let deltas = world.soap.deltas(vm, None).unwrap();
        let content = DiskContent::layered(&world.exports.disk(vm, 0).unwrap(), 0, &deltas);
        let mut bytes = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
        content.read_range(0, &mut bytes).unwrap();
        bytes
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_flat_extent_has_the_bytes_of_the_disk_its_length_and_a_stable_version() {
    let mut scene = Scene::open(Settings::default()).await;
    let answer = scene.get(FLAT).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(header(&answer, "content-length"), "3146240");
    assert_eq!(header(&answer, "accept-ranges"), "bytes");
    assert_eq!(header(&answer, "last-modified"), "Wed, 01 Jan 2025 00:00:00 GMT");
    let version = header(&answer, "etag").to_owned();
    assert!(answer.whole() == scene.raw(WEB));
    assert_eq!(header(&scene.get(FLAT).await, "etag"), version);
    let folder = &scene.simulator.world().stats.vcenter.folder;
    assert_eq!((folder.requests.get(), folder.bytes.get(), folder.ranges.get()), (2, 2 * 3_146_240, 0));
}

#[tokio::test]
async fn a_privilege_that_the_account_lacks_is_lacking_at_folder_too() {
    for (privilege, status) in [
        ("Datastore.Browse", StatusCode::FORBIDDEN),
        ("Datastore.FileManagement", StatusCode::FORBIDDEN),
        ("VApp.Export", StatusCode::OK),
    ] {
        let text = format!("[vcenter]\ndenied_privileges = [\"{privilege}\"]\n");
        let text = INVENTORY.replacen("[[datacenter]]", &format!("{text}[[datacenter]]"), 1);
        let mut scene = Scene::of(&text, Settings::default()).await;
        let answer = scene.get(FLAT).await;
        assert_eq!(answer.status, status, "{privilege}");
        let denied = u64::from(status == StatusCode::FORBIDDEN);
        assert_eq!(scene.simulator.world().stats.vcenter.folder.denied.get(), denied);
        if denied == 1 {
            assert_eq!(answer.whole(), format!("permission denied: {privilege}\n").into_bytes());
        }
        // Who may do what is said to those only who are known.
        scene.credentials = basic("somebody", "else");
        assert_eq!(scene.get(FLAT).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_disk_in_the_directory_of_another_vm_is_served_beside_its_files() {
    let text = format!(
        "{INVENTORY}\n[[vm]]\npath = \"Lab/EU/DC0/vm/guest\"\n[[vm.disk]]\nsize = \"1 MiB\"\n\
         file = \"[datastore1] web 01/data.vmdk\"\ncontent = {{ kind = \"seeded\", seed = 9, fill = 1.0, compressibility = 0.0 }}\n"
    );
    let mut scene = Scene::of(&text, Settings::default()).await;
    let flat = FLAT.replace("web%2001-flat", "data-flat");
    let (guest, own) = (scene.get(&flat).await.whole(), scene.get(FLAT).await.whole());
    assert!(guest == scene.raw("Lab/EU/DC0/vm/guest"));
    assert!(own == scene.raw(WEB));
}

#[tokio::test]
async fn nvram_and_images_have_the_bytes_that_a_lease_gives_them() {
    let mut scene = Scene::open(Settings::default()).await;
    let world = std::sync::Arc::clone(scene.simulator.world());
    let items = world.exports.open("lease", world.inventory.vm(WEB).unwrap(), "vm-1");
    let mut host = scene.host(0).await;
    for (item, path) in items[1..].iter().zip(["web%2001/web%2001.nvram", "iso/linux/x.iso"]) {
        let leased = host.get(&item.path).await.whole();
        let stored = scene.get(&format!("/folder/{path}?dcPath=/Lab/EU/DC0&dsName=datastore1")).await.whole();
        assert!(leased == stored && !leased.is_empty(), "{path}");
    }
    let config = scene.get("/folder/web%2001/web%2001.vmx?dcPath=/Lab/EU/DC0&dsName=datastore1").await.whole();
    let config = String::from_utf8(config).unwrap();
    assert!(config.contains("scsi0:0.fileName = \"web 01.vmdk\""), "{config}");
    assert!(config.contains("fileName = \"[datastore1] iso/linux/x.iso\""), "{config}");
}

#[tokio::test]
async fn ranges_are_parts_and_those_behind_the_end_are_refused() {
    let mut scene = Scene::open(Settings::default()).await;
    let whole = scene.raw(WEB);
    for (range, part, said) in [
        ("bytes=0-0", 0..1, "bytes 0-0/3146240"),
        ("bytes=1000000-1300000", 1_000_000..1_300_001, "bytes 1000000-1300000/3146240"),
        ("bytes=3146000-9999999", 3_146_000..3_146_240, "bytes 3146000-3146239/3146240"),
        ("bytes=-512", 3_145_728..3_146_240, "bytes 3145728-3146239/3146240"),
    ] {
        let answer = scene.range(FLAT, range).await;
        assert_eq!((answer.status, header(&answer, "content-range")), (StatusCode::PARTIAL_CONTENT, said));
        assert!(answer.whole() == whole[part], "{range}");
    }
    let behind = scene.range(FLAT, "bytes=3146240-").await;
    assert_eq!(behind.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&behind, "content-range"), "bytes */3146240");
    let malformed = scene.range(FLAT, "bytes=5-4").await;
    assert_eq!(malformed.status, StatusCode::OK);
    assert_eq!(scene.simulator.world().stats.vcenter.folder.ranges.get(), 4);
}

#[tokio::test]
async fn several_ranges_come_in_parts_that_say_what_they_are() {
    let mut scene = Scene::open(Settings::default()).await;
    let whole = scene.raw(WEB);
    let answer = scene.range(FLAT, "bytes=10-19,100-,300000-300009").await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    let kind = header(&answer, "content-type").to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let length: usize = header(&answer, "content-length").parse().unwrap();
    let body = answer.whole();
    assert_eq!(body.len(), length);
    let mut rest = &body[..];
    for part in [10..20, 100..whole.len(), 300_000..300_010] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {}-{}/3146240\r\n\r\n",
            part.start,
            part.end - 1
        );
        rest = rest.strip_prefix(head.as_bytes()).expect("the head of the part");
        rest = rest.strip_prefix(&whole[part]).expect("the bytes of the part");
    }
    assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
}

#[tokio::test]
async fn whoever_has_a_part_of_another_version_gets_all_of_this_one() {
    let mut scene = Scene::open(Settings::default()).await;
    let first = scene.range(FLAT, "bytes=0-9").await;
    let (version, modified) = (header(&first, "etag").to_owned(), header(&first, "last-modified").to_owned());
    for (condition, status) in [
        (version.as_str(), StatusCode::PARTIAL_CONTENT),
        (modified.as_str(), StatusCode::PARTIAL_CONTENT),
        ("\"another\"", StatusCode::OK),
        ("Thu, 02 Jan 2025 00:00:00 GMT", StatusCode::OK),
    ] {
        let answer = scene.send(Method::GET, FLAT, &[("range", "bytes=0-9"), ("if-range", condition)]).await;
        assert_eq!(answer.status, status, "{condition}");
    }
}

#[tokio::test]
async fn head_describes_the_file_unless_it_is_told_to_hide_or_to_refuse() {
    let mut scene = Scene::open(Settings::default()).await;
    let head = scene.send(Method::HEAD, FLAT, &[]).await;
    assert_eq!((head.status, header(&head, "content-length"), head.body.len()), (StatusCode::OK, "3146240", 0));
    assert_eq!(header(&head, "accept-ranges"), "bytes");
    let faults = &std::sync::Arc::clone(scene.simulator.world()).faults;
    faults.update(|settings| settings.folder_head_hides_ranges = true);
    assert_eq!(header(&scene.send(Method::HEAD, FLAT, &[]).await, "accept-ranges"), "");
    assert_eq!(header(&scene.get(FLAT).await, "accept-ranges"), "bytes");
    faults.update(|settings| settings.folder_head_405 = true);
    let refused = scene.send(Method::HEAD, FLAT, &[]).await;
    assert_eq!((refused.status, header(&refused, "allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET"));
}

#[tokio::test]
async fn nothing_is_changed_here() {
    let mut scene = Scene::open(Settings::default()).await;
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        let answer = scene.send(method.clone(), FLAT, &[]).await;
        assert_eq!(
            (answer.status, header(&answer, "allow")),
            (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"),
            "{method}"
        );
    }
    assert!(scene.get(FLAT).await.whole() == scene.raw(WEB));
}

#[tokio::test]
async fn the_vcenter_lets_sessions_and_its_account_in_and_nobody_else() {
    let mut scene = Scene::open(Settings::default()).await;
    let refused = scene.vcenter.get(FLAT).await;
    assert_eq!((refused.status, header(&refused, "www-authenticate")), {
        (StatusCode::UNAUTHORIZED, "Basic realm=\"VMware HTTP server\"")
    });
    let wrong = basic("administrator@vsphere.local", "wrong");
    for headers in [("authorization", wrong.as_str()), ("cookie", "vmware_soap_session=\"guessed\"")] {
        assert_eq!(scene.vcenter.send(Method::GET, FLAT, &[headers], "").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(scene.vcenter.get("/folder").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.simulator.world().stats.vcenter.folder.denied.get(), 4);
    let mut desk = Desk { simulator: scene.simulator, cookie: None };
    desk.log_in().await;
    let cookie = desk.cookie.clone().unwrap();
    let answer = scene.vcenter.send(Method::GET, FLAT, &[("cookie", &cookie)], "").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_host_takes_its_own_account_and_notices_that_of_the_vcenter() {
    let scene = Scene::open(Settings::default()).await;
    let (mut host, leaked) = (scene.host(0).await, &scene.simulator.world().stats.credentials_leaked_to_host);
    let own = basic("root", "of the host");
    for query in
        ["dsName=datastore1", "dcPath=ha-datacenter&dsName=datastore1", "dcName=/ha-datacenter/&dsName=datastore1"]
    {
        let path = format!("/folder/web%2001/web%2001-flat.vmdk?{query}");
        let answer = host.send(Method::GET, &path, &[("authorization", &own)], "").await;
        assert!(answer.status == StatusCode::OK && answer.whole() == scene.raw(WEB), "{query}");
    }
    // A host knows its own datastores only, and no path of the inventory.
    assert_eq!(host.send(Method::GET, FLAT, &[("authorization", &own)], "").await.status, StatusCode::NOT_FOUND);
    let mut other = scene.host(2).await;
    let path = "/folder/web%2001/web%2001-flat.vmdk?dsName=datastore1";
    assert_eq!(other.send(Method::GET, path, &[("authorization", &own)], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(leaked.get(), 0);
    for header in [("authorization", scene.credentials.as_str()), ("cookie", "vmware_soap_session=\"x\"")] {
        assert_eq!(host.send(Method::GET, path, &[header], "").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(leaked.get(), 2);
    let folder = &scene.simulator.world().stats.hosts[0].folder;
    assert_eq!((folder.requests.get(), folder.denied.get(), folder.bytes.get()), (6, 2, 3 * 3_146_240));
}

/// Asks for a ticket, and returns the reply.
async fn ticket(desk: &Desk, version: &str, method: &str, url: &str) -> vcenter_sim::soap::SdkReply {
    let url = url.replace('&', "&amp;");
    let call = format!(
        "<AcquireGenericServiceTicket xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
         <spec xsi:type=\"SessionManagerHttpServiceRequestSpec\"><method>{method}</method><url>{url}</url></spec>\
         </AcquireGenericServiceTicket>"
    );
    desk.call(version, &call).await
}

fn inner<'a>(body: &'a str, element: &str) -> &'a str {
    let start = body.split_once(&format!("<{element}>")).map_or("", |(_, rest)| rest);
    start.split_once(&format!("</{element}>")).map_or("", |(inner, _)| inner)
}

#[tokio::test]
async fn a_ticket_opens_one_url_at_one_host_once() {
    let scene = Scene::open(Settings::default()).await;
    let (mut first, mut second) = (scene.host(0).await, scene.host(1).await);
    let raw = scene.raw(WEB);
    let mut desk = Desk { simulator: scene.simulator, cookie: None };
    desk.log_in().await;
    let path = "/folder/web%2001/web%2001-flat.vmdk?dsName=datastore1";
    let reply = ticket(&desk, "8.0.3.0", "httpGet", &format!("https://esx1.sim.invalid{path}")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let host = &desk.simulator.world().addresses.hosts[0];
    assert_eq!(inner(&reply.body, "hostName"), host.url_name);
    assert_eq!(inner(&reply.body, "sslThumbprint"), host.sha1_thumbprint);
    assert_eq!(reply.body.matches("<certThumbprintList>").count(), 2, "{}", reply.body);
    let cookie = format!("vmware_cgi_ticket={}", inner(&reply.body, "id"));
    let fetch = [("cookie", cookie.as_str())];
    for (method, path) in [(Method::HEAD, path), (Method::GET, "/folder?dsName=datastore1")] {
        assert_eq!(first.send(method, path, &fetch, "").await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(second.send(Method::GET, path, &fetch, "").await.status, StatusCode::FORBIDDEN);
    assert!(first.send(Method::GET, path, &fetch, "").await.whole() == raw);
    assert_eq!(first.send(Method::GET, path, &fetch, "").await.status, StatusCode::UNAUTHORIZED);
    let stats = &desk.simulator.world().stats;
    assert_eq!((stats.tickets_issued.get(), stats.tickets_used.get()), (1, 1));
    assert_eq!((stats.credentials_leaked_to_host.get(), stats.hosts[0].folder.denied.get()), (0, 3));
}

#[tokio::test]
async fn tickets_are_for_files_at_hosts_and_tell_what_their_version_knows() {
    let scene = Scene::open(Settings::default()).await;
    let mut desk = Desk { simulator: scene.simulator, cookie: None };
    let good = "https://esx1.sim.invalid/folder/x?dsName=datastore1";
    crate::soap::assert_fault(&ticket(&desk, "8.0.3.0", "httpGet", good).await, "NotAuthenticated");
    desk.log_in().await;
    for (method, url) in [
        ("httpGet", "https://nobody.invalid/folder/x"),
        ("httpGet", "https://esx1.sim.invalid/nfc/x"),
        ("httpGet", "http://esx1.sim.invalid/folder/x"),
        ("get", good),
    ] {
        crate::soap::assert_fault(&ticket(&desk, "8.0.3.0", method, url).await, "InvalidArgument");
    }
    let old = ticket(&desk, "6.7", "httpGet", good).await;
    assert!(old.status == 200 && !old.body.contains("certThumbprintList"), "{}", old.body);
    desk.simulator.world().faults.update(|s| s.thumbprint_hash = vcenter_sim::faults::HashName::Sha256);
    let reply = ticket(&desk, "8.0.3.0", "httpGet", good).await;
    assert_eq!(inner(&reply.body, "sslThumbprint"), desk.simulator.world().addresses.hosts[0].sha256_thumbprint);
}

#[tokio::test]
async fn the_active_link_of_a_running_vm_is_locked_and_the_others_by_a_switch() {
    let mut scene = Scene::open(Settings::default()).await;
    let path = |name: &str| format!("/folder/busy/{name}?dcPath=Lab/EU/DC0&dsName=old");
    let (top, base) = (path("busy-000001-delta.vmdk"), path("busy-flat.vmdk"));
    assert_eq!(scene.get(&top).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(scene.get(&base).await.status, StatusCode::OK);
    assert_eq!(scene.get(&path("busy-000001.vmdk")).await.status, StatusCode::OK);
    let world = std::sync::Arc::clone(scene.simulator.world());
    world.faults.update(|settings| settings.folder_locked_status = 403);
    world.faults.update(|settings| settings.folder_lower_links_locked = true);
    for locked in [&top, &base] {
        assert_eq!(scene.get(locked).await.status, StatusCode::FORBIDDEN, "{locked}");
    }
    assert_eq!(world.stats.vcenter.folder.locked.get(), 3);
}

#[tokio::test]
async fn pages_lead_from_the_datacenters_to_every_file_whatever_its_name() {
    let mut scene = Scene::open(Settings::default()).await;
    let mut pages = vec!["/folder".to_owned()];
    let (mut files, mut seen) = (0, Vec::new());
    while let Some(path) = pages.pop() {
        let answer = scene.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        seen.push(path.clone());
        if !header(&answer, "content-type").starts_with("text/html") {
            assert_eq!(header(&answer, "content-length"), answer.body.len().to_string());
            files += 1;
            continue;
        }
        let page = String::from_utf8(answer.whole()).unwrap();
        assert!(!page.contains("<i>") && page.contains("SIMULATED"), "{page}");
        let links = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
        // The disk of the VM that runs is locked, which another test looks at.
        pages.extend(links.filter(|link| !link.contains("-delta") && !link.contains("busy-flat")));
    }
    // Per VM: configuration, list of snapshots, log, nvram; descriptor and extent of a disk; image; snapshot.
    assert_eq!(files, 4 * 4 + 2 + 2 + 1 + 1, "{seen:#?}");
    assert!(seen.iter().any(|path| path.contains("dsName=data%20%26%20more")), "{seen:#?}");
}

#[tokio::test]
async fn a_name_is_never_a_way_out_and_is_decoded_once() {
    let mut scene = Scene::open(Settings::default()).await;
    let query = "?dcPath=Lab/EU/DC0&dsName=datastore1";
    for path in [
        "..",
        "%2e%2e/%2e%2e/etc/passwd",
        "web%2001/../web%2001/web%2001.vmx",
        "web%2001%2Fweb%2001.vmx",
        "web%252001",
        "nothing",
    ] {
        assert_eq!(scene.get(&format!("/folder/{path}{query}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/folder/web%2001", "/folder/web%2001/", "/folder//web%2001//web%2001.vmx"] {
        assert_eq!(scene.get(&format!("{path}{query}")).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(scene.get(&format!("/folder/%ff{query}")).await.status, StatusCode::BAD_REQUEST);
    for query in ["?dcPath=DC0&dsName=datastore1", "?dcPath=Lab/EU/DC0&dsName=datastore9", "?dsName=datastore1"] {
        assert_eq!(scene.get(&format!("/folder/web%2001{query}")).await.status, StatusCode::NOT_FOUND, "{query}");
    }
}

#[tokio::test]
async fn a_server_that_decodes_twice_finds_some_names_only_when_they_are_encoded_twice() {
    let mut scene = Scene::open(Settings::default()).await;
    let (once, twice) = ("/folder?dcPath=R%26D", "/folder?dcPath=R%2526D");
    assert_eq!(scene.get(once).await.status, StatusCode::OK);
    assert_eq!(scene.get(twice).await.status, StatusCode::NOT_FOUND);
    scene.simulator.world().faults.update(|settings| settings.folder_double_decode = true);
    assert_eq!(scene.get(once).await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.get(twice).await.status, StatusCode::OK);
    assert_eq!(scene.get(FLAT).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_file_takes_the_time_that_the_bandwidth_asks_for() {
    let settings = Settings { bytes_per_second: Some(50 << 20), ..Settings::default() };
    let mut scene = Scene::open(settings).await;
    assert!(scene.get(FLAT).await.whole() == scene.raw(WEB));
    let files = &scene.simulator.world().stats.files;
    let exact = 3_146_240.0 / f64::from(50 << 20);
    let shaped = files.shaped_time().as_secs_f64();
    assert!((shaped - exact).abs() < exact / 100.0, "{shaped} instead of {exact}");
    assert!(files.shaped_pieces.get() >= 48, "{}", files.shaped_pieces.get());
}
