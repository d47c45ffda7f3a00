//! Requests that real vCenters answered, put to the simulator: what both say of the same kind of
//! object has the same elements, in the same order, of the same types.
//!
//! The recordings ([`judges::recordings`]) are of other VMs on other hosts, so values differ, and a
//! simulator knows less. A fitting object stands in for each recorded one; what the simulator says must
//! have the form of what the vCenter said, and what it does not say is listed.

mod recording;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use vcenter_sim::{Inventory, Options};
use vsphere::wire::Element;

use crate::soap::Desk;
use recording::{Exchange, exchanges};
use shape::Comparison;

/// One of everything that was recorded and that the simulator has.
const STAND_INS: &str = r#"
[[datacenter]]
name = "DC0"

[[vm]]
path = "DC0/vm/stand-in"
annotation = "stands in for what was recorded"
firmware = "bios"
power = "poweredOn"

[[vm.disk]]
size = "8 MiB"
controller = "lsilogic"
"#;

/// Recorded object types and what stands in for an object of each.
const PATHS: &[(&str, &str)] = &[
    ("Datacenter", "DC0"),
    ("Datastore", "DC0/datastore/datastore1"),
    ("Folder", "DC0/vm"),
    ("HostSystem", "DC0/host/esx1.sim.invalid/esx1.sim.invalid"),
    ("Network", "DC0/network/VM Network"),
    ("VirtualMachine", "DC0/vm/stand-in"),
];

/// Well-known objects that have one name on every vCenter.
const SERVICES: &[&str] = &["PropertyCollector", "SearchIndex", "ServiceInstance", "SessionManager", "ViewManager"];

/// What the simulator says and no recording shows, so that nothing here vouches for its form: a newer
/// server's properties, what recorded objects had unset, and a device that the stand-in has and they had not.
const UNRECORDED: &[&str] = &[
    "ContainerView.view.ManagedObjectReference",
    "Datacenter.configuration.defaultHardwareVersionKey",
    "HostSystem.summary.config.product.instanceUuid",
    "RetrieveServiceContentResponse.returnval.viewManager",
    "SessionManager.currentSession.callCount",
    "SessionManager.currentSession.extensionSession",
    "SessionManager.currentSession.ipAddress",
    "SessionManager.currentSession.userAgent",
    "VirtualMachine.config.bootOptions.networkBootProtocol",
    "VirtualMachine.config.cpuAllocation.expandableReservation",
    "VirtualMachine.config.hardware.device.backing.uuid",
    "VirtualMachine.config.hardware.device:VirtualLsiLogicController",
    "VirtualMachine.config.latencySensitivity",
    "VirtualMachine.config.memoryAllocation.expandableReservation",
];

#[derive(Default)]
struct Tally {
    replayed: usize,
    comparison: Comparison,
    /// Reason → methods, types or properties.
    left_out: BTreeMap<String, BTreeSet<String>>,
    /// Requests that were left out.
    left_out_count: usize,
}

#[tokio::test]
async fn recorded_requests_are_answered_in_the_form_that_vcenters_answer_in() {
    let unpacked = tempfile::tempdir().unwrap();
    let test = "recorded_requests_are_answered_in_the_form_that_vcenters_answer_in";
    let Some(recordings) = judges::recordings(test, unpacked.path()) else { return };
    let mut tally = Tally::default();
    for recording in recordings {
        replay(&recording, &mut tally).await;
    }
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "replayed: {} requests, {} properties and {} elements compared, {} elements that no recording shows; \
         {} requests left out",
        tally.replayed,
        tally.comparison.properties.len(),
        tally.comparison.elements,
        tally.comparison.unrecorded.len(),
        tally.left_out_count,
    )
    .unwrap();
    for (reason, names) in &tally.left_out {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        writeln!(stderr, "replayed: left out, {reason}: {}", names.join(", ")).unwrap();
    }
    let unset: Vec<&str> = tally.comparison.unset.iter().map(String::as_str).collect();
    writeln!(stderr, "replayed: recorded, but unset in the simulator: {}", unset.join(", ")).unwrap();
    assert!(tally.comparison.differences.is_empty(), "{:#?}", tally.comparison.differences);
    assert_eq!(tally.comparison.unrecorded.iter().map(String::as_str).collect::<Vec<_>>(), UNRECORDED);
    // Every request that was answered in its time and that the simulator has must be answered here.
    let reasons: Vec<&str> = tally.left_out.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["a login, which is made anew", "a recorded fault", "no such method in the simulator"]);
    assert!(tally.replayed >= 1250, "only {} requests were replayed", tally.replayed);
    assert!(tally.comparison.properties.len() >= 60, "{:?}", tally.comparison.properties);
    assert!(tally.comparison.elements >= 9000, "only {} elements were compared", tally.comparison.elements);
}

/// Replays one recording against a fresh simulator, as its session may.
async fn replay(recording: &Path, tally: &mut Tally) {
    let inventory = Inventory::parse(STAND_INS, Path::new(".")).unwrap();
    let mut session = Replay { desk: Desk::over(inventory, Options::default()).await, made: BTreeMap::new() };
    session.desk.log_in().await;
    for exchange in exchanges(recording) {
        match session.ask(&exchange).await {
            Ok(Some(ours)) => {
                tally.replayed += 1;
                tally.comparison.compare(&exchange.reply, &ours);
                session.remember(&exchange.reply, &ours);
            }
            Ok(None) => {}
            Err((reason, name)) => {
                tally.left_out_count += 1;
                tally.left_out.entry(reason.to_owned()).or_default().insert(name);
            }
        }
    }
}

/// A session in which a recording is replayed.
struct Replay {
    desk: Desk,
    /// Views and the like: recorded id → ours.
    made: BTreeMap<String, String>,
}

impl Replay {
    /// Puts a recorded request; `Err` says why not and what.
    async fn ask(&self, exchange: &Exchange) -> Result<Option<Element>, (&'static str, String)> {
        let method = exchange.call.name.clone();
        if exchange.is_fault {
            return Err(("a recorded fault", method));
        }
        if ["Login", "LoginBySSPI"].contains(&method.as_str()) {
            return Err(("a login, which is made anew", method));
        }
        let known = vsphere::wire::method(&method).ok_or(("no such method in the simulator", method))?;
        let mut call = exchange.call.clone();
        self.stand_in(&mut call)?;
        let mut body = String::new();
        call.write_xml(&mut body);
        let body = body.replacen(known.name, &format!("{} xmlns=\"urn:vim25\"", known.name), 1);
        let reply = self.desk.call(&exchange.version, &body).await;
        let ours = recording::body_of(&reply.body).unwrap_or_else(|| panic!("{}", reply.body));
        if reply.status != 200 {
            return Err((
                "refused by the simulator",
                format!("{}: {}", known.name, ours.child("faultstring").map_or("", |t| &t.text)),
            ));
        }
        Ok(Some(ours))
    }

    /// Puts our objects in the place of recorded ones, in a call and all in it.
    fn stand_in(&self, element: &mut Element) -> Result<(), (&'static str, String)> {
        if let Some(kind) = &element.managed_type {
            element.text = self.id(kind, &element.text)?;
        }
        // The only parameter that names an object by something else.
        if element.name == "FindByUuid" {
            let world = self.desk.simulator.world();
            let uuid = vcenter_sim::identity::bios_uuid(&world.inventory.vms[0]).to_string();
            element.children.retain(|child| child.name != "datacenter");
            element
                .children
                .iter_mut()
                .filter(|child| child.name == "uuid")
                .for_each(|child| child.text.clone_from(&uuid));
        }
        element.children.iter_mut().try_for_each(|child| self.stand_in(child))
    }

    fn id(&self, kind: &str, recorded: &str) -> Result<String, (&'static str, String)> {
        if let Some(ours) = self.made.get(recorded) {
            return Ok(ours.clone());
        }
        if SERVICES.contains(&kind) || recorded == "group-d1" {
            return Ok(recorded.to_owned());
        }
        let missing = || ("no object of this type stands in", kind.to_owned());
        let (_, path) = PATHS.iter().find(|(known, _)| *known == kind).ok_or_else(missing)?;
        self.desk.simulator.world().soap.find(path).map(|moref| moref.id).ok_or_else(missing)
    }

    /// Notes what a call made, so that later requests find it.
    fn remember(&mut self, recorded: &Element, ours: &Element) {
        if let (Some(theirs), Some(ours)) = (recorded.child("returnval"), ours.child("returnval"))
            && theirs.managed_type.is_some()
            && theirs.text.starts_with("session[")
        {
            self.made.insert(theirs.text.clone(), ours.text.clone());
        }
    }
}
