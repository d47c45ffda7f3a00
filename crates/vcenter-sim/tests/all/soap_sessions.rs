//! What a session makes belongs to it, and dies with it.

use std::time::Duration;

use vcenter_sim::faults::Settings;

use crate::soap::{Desk, assert_fault, retrieve};

const VERSION: &str = "8.0.3.0";

/// Returns the text of the only `returnval`.
fn returned(body: &str) -> &str {
    let start = body.find("<returnval").unwrap_or_else(|| panic!("nothing returned: {body}"));
    let text = &body[start..];
    &text[text.find('>').unwrap() + 1..text.find("</returnval>").unwrap()]
}

pub(crate) async fn export(desk: &Desk, vm: &str) -> String {
    let call = format!("<ExportVm xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">{vm}</_this></ExportVm>");
    let reply = desk.call(VERSION, &call).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    returned(&reply.body).to_owned()
}

pub(crate) async fn first_vm(desk: &Desk) -> String {
    let path = "<FindByInventoryPath xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">SearchIndex</_this>\
                <inventoryPath>DC0/vm/vm0</inventoryPath></FindByInventoryPath>";
    let reply = desk.call(VERSION, path).await;
    returned(&reply.body).to_owned()
}

pub(crate) fn on_lease(method: &str, lease: &str, parameters: &str) -> String {
    format!("<{method} xmlns=\"urn:vim25\"><_this type=\"HttpNfcLease\">{lease}</_this>{parameters}</{method}>")
}

#[tokio::test]
async fn a_lease_does_not_exist_for_another_session_and_ends_with_its_own() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let vm = first_vm(&desk).await;
    let lease = export(&desk, &vm).await;
    let owner = desk.cookie.take();
    desk.log_in().await;
    for (method, parameters) in [
        ("HttpNfcLeaseProgress", "<percent>1</percent>"),
        ("HttpNfcLeaseComplete", ""),
        ("HttpNfcLeaseAbort", ""),
        ("HttpNfcLeaseGetManifest", ""),
    ] {
        assert_fault(&desk.call(VERSION, &on_lease(method, &lease, parameters)).await, "ManagedObjectNotFound");
    }
    assert_eq!(desk.simulator.world().soap.report()["open"]["leases"], 1);
    desk.cookie = owner;
    let logout = "<Logout xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this></Logout>";
    assert_eq!(desk.call(VERSION, logout).await.status, 200);
    let report = desk.simulator.world().soap.report();
    assert_eq!(report["lease_endings"]["session ended"], 1, "{report:#}");
    assert_eq!(report["blocked_vms"].as_array().unwrap().len(), 0, "{report:#}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_a_wait_leaves_a_session_that_can_die() {
    let mut desk = Desk::open(Settings { session_idle_s: 1, ..Settings::default() }, false).await;
    desk.log_in().await;
    let wait = "<WaitForUpdatesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">propertyCollector</_this>\
                </WaitForUpdatesEx>";
    // Nothing is filtered, so the wait is dropped in the middle.
    assert!(tokio::time::timeout(Duration::from_millis(50), desk.call(VERSION, wait)).await.is_err());
    while desk.simulator.world().soap.session_valid(desk.cookie.as_deref()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(desk.simulator.world().soap.report()["sessions"]["expired"], 1);
}

#[tokio::test]
async fn a_page_without_objects_and_a_view_into_a_vm_are_refused() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let options = "<options><maxObjects>0</maxObjects></options>";
    assert_fault(&desk.call(VERSION, &retrieve(&["name"], options)).await, "InvalidArgument");
    let vm = first_vm(&desk).await;
    let view = |container: &str, kind: &str| {
        format!(
            "<CreateContainerView xmlns=\"urn:vim25\"><_this type=\"ViewManager\">ViewManager</_this>{container}\
             <type>{kind}</type><recursive>true</recursive></CreateContainerView>"
        )
    };
    let in_vm = view(&format!("<container type=\"VirtualMachine\">{vm}</container>"), "VirtualMachine");
    assert_fault(&desk.call(VERSION, &in_vm).await, "InvalidArgument");
    let of_nothing = view("<container type=\"Folder\">group-d1</container>", "VirtualMachin");
    assert_fault(&desk.call(VERSION, &of_nothing).await, "InvalidType");
}
