//! Which crate may know which: the table of DESIGN, held against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Crate → the crates of ours that it may depend on. A crate that is missing here is an error, so
/// that a new one is a decision.
const EDGES: &[(&str, &[&str])] = &[
    ("diskimage", &[]),
    ("hyper-api", &[]),
    ("hyperctl", &["hyper-api"]),
    ("hypervisord", &["hyper-api", "migrate"]),
    ("judges", &[]),
    ("migrate", &["diskimage", "transfer", "vsphere"]),
    ("transfer", &[]),
    ("vcenter-sim", &["diskimage", "vsphere"]),
    ("vsphere", &[]),
    ("xtask", &[]),
];

/// What tests may use on top of that.
const TEST_ONLY: &[&str] = &["judges", "vcenter-sim"];

/// A crate's dependencies on crates of ours.
#[derive(Debug, Default)]
struct Uses {
    build: BTreeSet<String>,
    test: BTreeSet<String>,
}

/// Checks the workspace.
pub(super) fn run() -> Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec().context("ask cargo for the crates")?;
    let wrong = violations(&uses(&metadata));
    if !wrong.is_empty() {
        bail!("crate edges that xtask/src/check/edges.rs does not allow:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn uses(metadata: &Metadata) -> BTreeMap<String, Uses> {
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut all = BTreeMap::new();
    for package in &metadata.packages {
        let mut uses = Uses::default();
        for dependency in package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str())) {
            let set = if dependency.kind == DependencyKind::Development { &mut uses.test } else { &mut uses.build };
            set.insert(dependency.name.clone());
        }
        all.insert(package.name.to_string(), uses);
    }
    all
}

fn violations(all: &BTreeMap<String, Uses>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, uses) in all {
        let Some((_, allowed)) = EDGES.iter().find(|(crate_name, _)| crate_name == name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        let in_build = uses.build.iter().filter(|used| !allowed.contains(&used.as_str()));
        wrong.extend(in_build.map(|used| format!("{name} → {used}")));
        let for_tests = |used: &&String| allowed.contains(&used.as_str()) || TEST_ONLY.contains(&used.as_str());
        let in_tests = uses.test.iter().filter(|used| !for_tests(used));
        wrong.extend(in_tests.map(|used| format!("tests of {name} → {used}")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, build: &[&str], test: &[&str]) -> Vec<String> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        violations(&BTreeMap::from([(name.to_owned(), Uses { build: set(build), test: set(test) })]))
    }

    #[test]
    fn edges_of_the_table_pass_and_tests_may_use_the_simulator() {
        assert!(one("migrate", &["vsphere", "transfer"], &["vcenter-sim", "judges"]).is_empty());
    }

    #[test]
    fn every_other_edge_is_named() {
        assert_eq!(one("diskimage", &["vsphere"], &[]), ["diskimage → vsphere"]);
        assert_eq!(one("hyperctl", &["migrate"], &["migrate"]), ["hyperctl → migrate", "tests of hyperctl → migrate"]);
        assert_eq!(one("migrate", &["vcenter-sim"], &[]), ["migrate → vcenter-sim"]);
        assert_eq!(one("newcomer", &[], &[]), ["newcomer is not in the table"]);
    }
}
