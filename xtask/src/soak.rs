//! `./dev soak`: the tests whose full counts take hours.

mod fuzz;

use anyhow::{Result, bail};

use crate::{cargo, harness, step};

/// Name of the soak that runs the fuzz targets; they come from `fuzz`, not from the list.
const FUZZ: &str = "fuzz";

/// A test with a count of its own.
struct Soak {
    name: &'static str,
    package: &'static str,
    filter: &'static str,
    /// Value of `HYPER2KVM_SEEDS`.
    seeds: &'static str,
}

const SOAKS: &[Soak] = &[
    Soak { name: "kill", package: "hyperctl", filter: "kill::", seeds: "200" },
    Soak { name: "jobs", package: "hypervisord", filter: "kill::", seeds: "200" },
    Soak { name: "writers", package: "migrate", filter: "writers::", seeds: "100" },
];

/// Runs the named ones, or all.
#[expect(clippy::print_stdout, reason = "the result of a development task")]
pub(crate) fn run(names: &[String]) -> Result<()> {
    let known: Vec<_> = SOAKS.iter().map(|soak| soak.name).chain([FUZZ]).collect();
    // `fuzz:TARGET` runs one of the targets.
    let is_known = |name: &str| known.contains(&name.split_once(':').map_or(name, |(first, _)| first));
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        bail!("there is no soak `{unknown}`; there are: {}", known.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    if SOAKS.iter().any(|soak| wanted(soak.name)) {
        step("build all programs", &mut cargo(&["build", "--workspace", "--bins"]))?;
    }
    for soak in SOAKS.iter().filter(|soak| wanted(soak.name)) {
        let arguments = ["test", "--package", soak.package, "--test", "all", soak.filter, "--", "--nocapture"];
        let tally = harness::run(cargo(&arguments).env("HYPER2KVM_SEEDS", soak.seeds))?;
        println!("soak {}: {} seeds each, {} passed, {} failed", soak.name, soak.seeds, tally.passed, tally.failed);
        if tally.failed > 0 || tally.passed == 0 {
            bail!("soak {}: {}", soak.name, if tally.failed > 0 { "tests failed" } else { "no test ran" });
        }
    }
    let targets: Vec<_> = names.iter().filter_map(|name| name.strip_prefix("fuzz:")).collect();
    if wanted(FUZZ) || !targets.is_empty() {
        fuzz::run(if wanted(FUZZ) { &[] } else { &targets })?;
    }
    Ok(())
}
