//! Each scenario is what its line in the list promises.

use super::*;
use crate::export::Exports;
use crate::inventory::{DiskLayout, ParentPlace, Personality, Vm};

fn load(name: &str) -> Inventory {
    Inventory::scenario(name).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

#[test]
fn every_scenario_loads_and_its_disks_open() {
    for scenario in SCENARIOS {
        let inventory = load(scenario.name);
        assert!(!inventory.vms.is_empty(), "{}", scenario.name);
        Exports::new(&inventory).unwrap();
    }
}

#[test]
fn the_demo_is_a_small_office_with_96_mib_to_export() {
    let inventory = load("demo");
    assert_eq!(inventory.vms.len(), load("small-office").vms.len());
    assert_eq!(inventory.vms.len(), 6);
    let web01 = inventory.vm("DC0/vm/web/web01").unwrap();
    assert_eq!(web01.power, "poweredOff");
    assert!(web01.nvram_bytes > 0);
    let exports = Exports::new(&inventory).unwrap();
    let populated = |disk| exports.disk("DC0/vm/web/web01", disk).unwrap().populated_bytes().unwrap();
    let mib = (populated(0) + populated(1)) >> 20;
    assert!((90..=102).contains(&mib), "{mib} MiB");
    assert!(inventory.vms.iter().any(|vm| vm.power == "poweredOn"));
    assert!(inventory.vms.iter().any(|vm| vm.template));
}

#[test]
fn ten_thousand_vms_stand_in_folders_of_three_datacenters_and_the_file_is_short() {
    let inventory = load("10k");
    assert_eq!(inventory.vms.len(), 10_000);
    assert_eq!(inventory.datacenters.len(), 3);
    for datacenter in &inventory.datacenters {
        let folders: std::collections::BTreeSet<_> =
            inventory.vms.iter().filter_map(|vm| vm.folder_path_in(datacenter)).collect();
        assert!(folders.len() >= 10, "{}: {}", datacenter.name, folders.len());
    }
    assert!(Scenario::named("10k").unwrap().text.lines().count() < 200);
}

#[test]
fn hostile_names_are_all_there() {
    let inventory = load("hostile-names");
    let names: Vec<&str> = inventory.vms.iter().map(Vm::name).collect();
    let has = |what: &str, fits: &dyn Fn(&str) -> bool| assert!(names.iter().any(|name| fits(name)), "{what}");
    for part in [" ", "%2f", "%5c", "%25", "\n", "\u{1b}", "..%2f", "\u{301}", "\u{202e}", "ש", "<", "$("] {
        has(part, &|name| name.contains(part));
    }
    has("a leading dot", &|name| name.starts_with('.'));
    has("a leading dash", &|name| name.starts_with('-'));
    has("300 characters", &|name| name.chars().count() == 300);
    assert_eq!(names.iter().filter(|name| **name == "twin").count(), 3);
}

#[test]
fn every_kind_of_disk_is_there_and_every_reason_not_to_export() {
    let inventory = load("every-disk");
    let disks: Vec<_> = inventory.vms.iter().flat_map(|vm| &vm.disks).collect();
    for controller in ["pvscsi", "lsilogic", "lsilogicsas", "buslogic", "nvme", "sata", "ide"] {
        assert!(disks.iter().any(|disk| disk.controller == controller), "{controller}");
    }
    for backing in ["flat", "rdm-virtual", "rdm-physical"] {
        assert!(disks.iter().any(|disk| disk.backing == backing), "{backing}");
    }
    for layout in [DiskLayout::Flat, DiskLayout::Split, DiskLayout::Delta, DiskLayout::SeSparse] {
        assert!(disks.iter().any(|disk| disk.layout == layout), "{layout:?}");
    }
    let parents: Vec<_> = disks.iter().filter(|disk| disk.link_count() > 0).map(|disk| &disk.parent).collect();
    for parent in [ParentPlace::Beside, ParentPlace::Absolute, ParentPlace::Datastore("datastore1".to_owned())] {
        assert!(parents.contains(&&parent), "{parent:?}");
    }
    assert!(disks.iter().any(|disk| !disk.is_in_snapshots()) && disks.iter().any(|disk| disk.size.0 >= 4 << 40));
    assert!(inventory.vms.iter().any(|vm| vm.disks.len() == 11) && inventory.vms.iter().any(|vm| vm.disks.is_empty()));
    assert!(inventory.vms.iter().any(|vm| vm.snapshots.len() > 11 && vm.disks.len() > 1));
    let any = |fits: fn(&Vm) -> bool| inventory.vms.iter().any(fits);
    assert!(any(|vm| vm.encrypted) && any(|vm| !vm.missing_isos.is_empty()) && any(|vm| !vm.unreadable.is_empty()));
    assert!(any(|vm| vm.connection == "orphaned") && any(|vm| vm.connection == "inaccessible"));
    assert!(any(|vm| vm.template) && any(|vm| vm.vapp.is_some()));
}

#[test]
fn the_esxi_host_is_one() {
    let inventory = load("esxi");
    assert_eq!(inventory.vcenter.personality, Personality::Esxi);
    assert!(inventory.vms.iter().any(|vm| vm.power == "poweredOff" && !vm.disks.is_empty()));
}

#[test]
fn an_unknown_scenario_is_named_with_those_that_are_known() {
    let error = Inventory::scenario("dmeo").unwrap_err().to_string();
    assert!(error.contains("`dmeo`") && error.contains("demo") && error.contains("10k"), "{error}");
}
