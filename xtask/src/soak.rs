//! `./dev soak`: the tests whose full counts take hours.

use anyhow::{Result, bail};

use crate::{cargo, step};

/// A test with a count of its own.
struct Soak {
    name: &'static str,
    package: &'static str,
    filter: &'static str,
    /// Value of `HYPER2KVM_SEEDS`.
    seeds: &'static str,
}

const SOAKS: &[Soak] = &[Soak { name: "kill", package: "hyperctl", filter: "kill::", seeds: "200" }];

/// Runs the named ones, or all.
pub(crate) fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !SOAKS.iter().any(|soak| soak.name == **name)) {
        let known: Vec<_> = SOAKS.iter().map(|soak| soak.name).collect();
        bail!("there is no soak `{unknown}`; there are: {}", known.join(", "));
    }
    step("build all programs", &mut cargo(&["build", "--workspace", "--bins"]))?;
    for soak in SOAKS.iter().filter(|soak| names.is_empty() || names.iter().any(|name| soak.name == name)) {
        let mut test = cargo(&["test", "--package", soak.package, "--test", "all", soak.filter, "--", "--nocapture"]);
        step(&format!("soak {} over {} seeds", soak.name, soak.seeds), test.env("HYPER2KVM_SEEDS", soak.seeds))?;
    }
    Ok(())
}
