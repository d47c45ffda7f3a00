//! `./dev soak`: the tests whose full counts take hours.

use anyhow::{Result, bail};

use crate::{cargo, harness, step};

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
#[expect(clippy::print_stdout, reason = "the result of a development task")]
pub(crate) fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !SOAKS.iter().any(|soak| soak.name == **name)) {
        let known: Vec<_> = SOAKS.iter().map(|soak| soak.name).collect();
        bail!("there is no soak `{unknown}`; there are: {}", known.join(", "));
    }
    step("build all programs", &mut cargo(&["build", "--workspace", "--bins"]))?;
    for soak in SOAKS.iter().filter(|soak| names.is_empty() || names.iter().any(|name| soak.name == name)) {
        let arguments = ["test", "--package", soak.package, "--test", "all", soak.filter, "--", "--nocapture"];
        let tally = harness::run(cargo(&arguments).env("HYPER2KVM_SEEDS", soak.seeds))?;
        println!("soak {}: {} seeds each, {} passed, {} failed", soak.name, soak.seeds, tally.passed, tally.failed);
        if tally.failed > 0 || tally.passed == 0 {
            bail!("soak {}: {}", soak.name, if tally.failed > 0 { "tests failed" } else { "no test ran" });
        }
    }
    Ok(())
}
