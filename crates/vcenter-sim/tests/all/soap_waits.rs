//! Waiting: what wakes a waiter and what it is told; and the descriptor's lists.

use std::sync::Arc;

use vcenter_sim::faults::Settings;

use crate::soap::{Desk, assert_fault};
use crate::soap_sessions::{export, first_vm, on_lease};

const VERSION: &str = "8.0.3.0";
const COLLECTOR: &str = "<_this type=\"PropertyCollector\">propertyCollector</_this>";

fn wait(version: &str) -> String {
    format!(
        "<WaitForUpdatesEx xmlns=\"urn:vim25\">{COLLECTOR}<version>{version}</version>\
         <options><maxWaitSeconds>30</maxWaitSeconds></options></WaitForUpdatesEx>"
    )
}

/// Logs in, exports and filters what the lease says of itself.
async fn waiting() -> (Arc<Desk>, String) {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let vm = first_vm(&desk).await;
    let lease = export(&desk, &vm).await;
    let filter = format!(
        "<CreateFilter xmlns=\"urn:vim25\">{COLLECTOR}<spec><propSet><type>HttpNfcLease</type><pathSet>state</pathSet>\
         <pathSet>transferProgress</pathSet></propSet><objectSet><obj type=\"HttpNfcLease\">{lease}</obj></objectSet>\
         </spec><partialUpdates>false</partialUpdates></CreateFilter>"
    );
    assert_eq!(desk.call(VERSION, &filter).await.status, 200);
    let first = desk.call(VERSION, &wait("")).await;
    assert!(first.body.contains("<version>1</version>") && first.body.contains("<kind>enter</kind>"), "{}", first.body);
    (Arc::new(desk), lease)
}

#[tokio::test]
async fn progress_of_a_lease_wakes_a_waiter() {
    let (desk, lease) = waiting().await;
    let waiter = {
        let desk = Arc::clone(&desk);
        async move { desk.call(VERSION, &wait("1")).await }
    };
    let progress = on_lease("HttpNfcLeaseProgress", &lease, "<percent>7</percent>");
    let (woken, told) = tokio::join!(waiter, desk.call(VERSION, &progress));
    assert_eq!(told.status, 200);
    assert!(woken.body.contains("<kind>modify</kind>") && woken.body.contains(">7</val>"), "{}", woken.body);
    assert!(!woken.body.contains("<name>state</name>"), "{}", woken.body);
}

#[tokio::test]
async fn the_end_of_a_lease_is_told_as_a_leave_and_an_unknown_version_is_refused() {
    let (desk, lease) = waiting().await;
    assert_eq!(desk.call(VERSION, &on_lease("HttpNfcLeaseComplete", &lease, "")).await.status, 200);
    let gone = desk.call(VERSION, &wait("1")).await;
    assert!(gone.body.contains("<kind>leave</kind>"), "{}", gone.body);
    assert_fault(&desk.call(VERSION, &wait("1")).await, "InvalidCollectorVersion");
}

#[tokio::test]
async fn a_file_of_no_device_is_an_error_in_the_list_and_a_path_upwards_a_fault() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let vm = first_vm(&desk).await;
    let describe = |device: &str, path: &str| {
        format!(
            "<CreateDescriptor xmlns=\"urn:vim25\"><_this type=\"OvfManager\">OvfManager</_this>\
             <obj type=\"VirtualMachine\">{vm}</obj><cdp><ovfFiles><deviceId>/{vm}/{device}</deviceId><path>{path}</path>\
             <size>1</size></ovfFiles></cdp></CreateDescriptor>"
        )
    };
    let known = desk.call(VERSION, &describe("nvram", "a.nvram")).await;
    assert!(known.status == 200 && !known.body.contains("<error>"), "{}", known.body);
    let unknown = desk.call(VERSION, &describe("VirtualIDEController0:0", "a.vmdk")).await;
    assert!(unknown.body.contains("<fault xsi:type=\"OvfUnableToExportDisk\">"), "{}", unknown.body);
    assert_fault(&desk.call(VERSION, &describe("nvram", "../a.nvram")).await, "InvalidArgument");
}
