//! The version in `SOAPAction` is honoured: what a version does not have is not there, over all
//! methods and properties that the bindings know.

use vcenter_sim::Options;
use vcenter_sim::faults::Settings;

use vsphere::wire::{ApiVersion, managed_type, methods};

use crate::lab::lab;
use crate::soap::{Desk, assert_fault};

/// Returns the newest known version below `since`; `None` when there is none but the first.
fn before(since: ApiVersion) -> Option<String> {
    const KNOWN: [&str; 13] = [
        "5.5", "6.0", "6.5", "6.7", "6.7.1", "6.8.7", "6.9.1", "7.0.0.0", "7.0.1.0", "7.0.2.0", "7.0.3.0", "8.0.0.0",
        "8.0.1.0",
    ];
    let parsed = |version: &&str| ApiVersion::parse(version).unwrap();
    KNOWN.iter().rev().find(|version| parsed(version) < since).map(|&version| version.to_owned())
}

#[tokio::test]
async fn methods_newer_than_the_version_are_not_found() {
    let mut desk = Desk::open(Settings::default(), false).await;
    desk.log_in().await;
    let mut checked = 0;
    for method in methods().iter().filter(|method| method.name != "Login") {
        let Some(older) = before(method.since) else { continue };
        let call = format!("<{0} xmlns=\"urn:vim25\"><_this type=\"{1}\">x</_this></{0}>", method.name, method.on);
        let reply = desk.call(&older, &call).await;
        if method.since > ApiVersion::parse("5.5").unwrap() {
            assert_fault(&reply, "MethodNotFound");
            checked += 1;
        }
    }
    assert!(checked >= 2, "only {checked} methods are newer than the oldest version");
}

#[tokio::test]
async fn properties_newer_than_the_version_are_invalid_and_those_of_the_version_are_not() {
    let mut desk = Desk::over(lab(), Options::default()).await;
    desk.log_in().await;
    let (mut newer, mut present) = (0, 0);
    for kind in ["VirtualMachine", "Folder", "ClusterComputeResource", "HostSystem", "Datastore", "ResourcePool"] {
        let mut current = Some(kind);
        while let Some(info) = current.and_then(managed_type) {
            for property in info.properties {
                if let Some(older) = before(property.since) {
                    assert_fault(&desk.call(&older, &read(kind, property.name)).await, "InvalidProperty");
                    newer += 1;
                }
                if property.since <= ApiVersion::parse("8.0.3.0").unwrap() {
                    let reply = desk.call("8.0.3.0", &read(kind, property.name)).await;
                    assert_eq!(reply.status, 200, "{kind}.{}: {}", property.name, reply.body);
                    present += 1;
                }
            }
            current = Some(info.base);
        }
    }
    assert!(newer >= 10 && present >= 100, "{newer} newer, {present} present");
}

/// Reads one property of all objects of a type.
fn read(kind: &str, path: &str) -> String {
    format!(
        "<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">propertyCollector</_this><specSet>\
         <propSet><type>{kind}</type><pathSet>{path}</pathSet></propSet><objectSet><obj type=\"Folder\">group-d1</obj>\
         <skip>true</skip></objectSet></specSet><options/></RetrievePropertiesEx>"
    )
}
