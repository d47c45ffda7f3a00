//! The product page says everything that an inventory may say.

use serde::de::DeserializeOwned;
use vcenter_sim::Inventory;
use vcenter_sim::faults::{CorruptByte, CutAfter, ManifestLie, Rule, Settings};
use vcenter_sim::inventory::{Account, Cluster, Content, Datacenter, Disk, SCENARIOS, Snapshot, VCenter, Vm};

const PAGE: &str = include_str!("../../../../docs/vcenter-sim.md");

/// Returns the keys of a table: what its reader says when it meets another.
fn keys<T: DeserializeOwned>(enough: &str) -> Vec<String> {
    assert!(toml::from_str::<T>(enough).is_ok(), "{enough} is enough");
    let Err(error) = toml::from_str::<T>(&format!("{enough}\nno_such_key = 1\n")) else { panic!("{enough}") };
    let message = error.message().to_owned();
    let listed = message.split_once("expected ").unwrap_or_else(|| panic!("{message}")).1;
    let keys: Vec<String> = listed.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!keys.is_empty(), "{message}");
    keys
}

/// Returns the part of the page below a heading.
fn below(heading: &str) -> &'static str {
    let after = PAGE.split_once(heading).unwrap_or_else(|| panic!("the page has no {heading}")).1;
    after.split_once("\n## ").map_or(after, |(part, _)| part)
}

#[test]
fn every_key_of_an_inventory_is_on_the_page() {
    let tables = [
        ("## The inventory file", keys::<Inventory>("")),
        ("## The inventory file", keys::<Account>("username = \"a\"\npassword = \"b\"")),
        ("### `[vcenter]`", keys::<VCenter>("")),
        ("### `[[datacenter]]`", keys::<Datacenter>("name = \"a\"")),
        ("### `[[datacenter]]`", keys::<Cluster>("name = \"a\"\nhosts = []")),
        ("### `[[vm]]`", keys::<Vm>("path = \"a\"")),
        ("### `[[vm]]`", keys::<Snapshot>("name = \"a\"")),
        ("### `[[vm.disk]]`", keys::<Disk>("size = 512")),
        ("### `[[vm.disk]]`", keys::<Content>("kind = \"file\"\npath = \"x\"")),
        ("### `[[vm.disk]]`", keys::<Content>("kind = \"seeded\"\nseed = 1\nfill = 0.0\ncompressibility = 0.0")),
        ("### `[faults]`", keys::<Settings>("")),
        ("### `[faults]`", keys::<CorruptByte>("file = \"*\"\noffset = 1")),
        ("### `[faults]`", keys::<CutAfter>("file = \"*\"\nbytes = 1")),
        ("### `[faults]`", keys::<ManifestLie>("kind = \"hash\"\nfile = \"*\"")),
        ("### `[[rule]]`", keys::<Rule>("then = { kill_session = true }")),
    ];
    for (heading, keys) in tables {
        let missing: Vec<_> = keys.iter().filter(|key| !below(heading).contains(&format!("`{key}`"))).collect();
        assert!(missing.is_empty(), "{heading} says nothing of {missing:?}");
    }
}

#[test]
fn every_scenario_is_on_the_page_and_the_example_loads() {
    for scenario in SCENARIOS {
        assert!(below("## Scenarios").contains(&format!("`{}`", scenario.name)), "{}", scenario.name);
    }
    for example in PAGE.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0) {
        let whole = if example.contains("[[datacenter]]") {
            example.to_owned()
        } else {
            format!("[[datacenter]]\nname = \"DC0\"\n{example}")
        };
        Inventory::parse(&whole, std::path::Path::new(".")).unwrap_or_else(|error| panic!("{example}: {error:?}"));
    }
}
