//! Names that break tools: listed, found, and offered for export, in XML that stays well-formed.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use vcenter_sim::{Inventory, Options};
use vsphere::wire::{Element, Limits};

use crate::soap::{Desk, retrieve};

const VERSION: &str = "8.0.3.0";

/// What a reader of XML sees of a name: what XML cannot hold has become U+FFFD.
fn as_sent(name: &str) -> String {
    name.chars().map(|c| if c < ' ' && !matches!(c, '\t' | '\n' | '\r') { '\u{fffd}' } else { c }).collect()
}

/// Escapes a text for a request.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

async fn desk() -> Desk {
    let mut desk = Desk::over(Inventory::scenario("hostile-names").unwrap(), Options::default()).await;
    desk.log_in().await;
    desk
}

fn parse(body: &str) -> Element {
    Element::parse(body, Limits::default()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Returns the texts of all elements of this name.
fn texts(element: &Element, name: &str, found: &mut Vec<String>) {
    if element.name == name {
        found.push(element.text.clone());
    }
    element.children.iter().for_each(|child| texts(child, name, found));
}

#[tokio::test]
async fn every_name_is_listed_as_xml_can_say_it() {
    let desk = desk().await;
    let reply = desk.call(VERSION, &retrieve(&["name"], "<options/>")).await;
    let mut names = Vec::new();
    texts(&parse(&reply.body), "val", &mut names);
    names.sort();
    let mut expected: Vec<String> = desk.simulator.world().inventory.vms.iter().map(|vm| as_sent(vm.name())).collect();
    expected.sort();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn every_vm_is_found_by_its_path_and_offers_its_disk() {
    let desk = desk().await;
    let mut found = 0;
    for vm in &desk.simulator.world().inventory.vms {
        // A client can only ask for what XML can say.
        if as_sent(&vm.path) != vm.path {
            continue;
        }
        let find = format!(
            "<FindByInventoryPath xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">SearchIndex</_this>\
             <inventoryPath>{}</inventoryPath></FindByInventoryPath>",
            escaped(&vm.path)
        );
        let reply = desk.call(VERSION, &find).await;
        let mut ids = Vec::new();
        texts(&parse(&reply.body), "returnval", &mut ids);
        let [id] = ids.as_slice() else { panic!("{:?} is not found: {}", vm.path, reply.body) };
        let export = format!("<ExportVm xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">{id}</_this></ExportVm>");
        let lease = desk.call(VERSION, &export).await;
        assert_eq!(lease.status, 200, "{:?}: {}", vm.path, lease.body);
        found += 1;
    }
    assert!(found >= 25, "only {found} names were tried");
    assert_eq!(desk.simulator.world().soap.report()["open"]["leases"], found);
}

#[tokio::test]
async fn children_are_found_by_name_and_files_stay_in_directories_of_their_own() {
    let desk = desk().await;
    let reply = desk.call(VERSION, &retrieve(&["config.files.vmPathName"], "<options/>")).await;
    let mut files = Vec::new();
    texts(&parse(&reply.body), "val", &mut files);
    let mut directories: Vec<&str> = files
        .iter()
        .map(|file| {
            let path = file.split_once("] ").unwrap().1;
            let (directory, name) = path.split_once('/').unwrap();
            assert!(!name.contains('/') && directory != ".." && directory != ".", "{file:?}");
            assert!(!file.contains(char::is_control), "{file:?}");
            file.rsplit_once('/').map_or(directory, |(above, _)| above)
        })
        .collect();
    let count = directories.len();
    directories.sort_unstable();
    directories.dedup();
    assert_eq!(directories.len(), count, "two VMs share a directory");
    let child = |name: &str| {
        format!(
            "<FindChild xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">SearchIndex</_this>\
             <entity type=\"Folder\">group-d1</entity><name>{}</name></FindChild>",
            escaped(name)
        )
    };
    assert!(desk.call(VERSION, &child("Ünï & <Lab>")).await.body.contains("type=\"Folder\""));
    assert!(!desk.call(VERSION, &child("Ünï & <Lab")).await.body.contains("returnval"));
}

#[tokio::test]
async fn the_control_endpoint_knows_every_disk_by_the_path_of_its_vm() {
    let desk = desk().await;
    let address = desk.simulator.control_url();
    let mut control = crate::client::Client::plain(address.strip_prefix("http://").unwrap().parse().unwrap()).await;
    for vm in &desk.simulator.world().inventory.vms {
        let path = utf8_percent_encode(&vm.path, NON_ALPHANUMERIC);
        let answer = control.get(&format!("/disks/sha256?vm={path}&disk=0")).await.json();
        assert_eq!(answer["bytes"], 65536, "{:?}", vm.path);
    }
    control.get("/report").await.json();
}
