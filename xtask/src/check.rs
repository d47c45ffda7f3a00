//! `./dev check`: what can be known without running the product.

mod edges;
mod lengths;

use std::process::Command;

use anyhow::{Result, bail};

use crate::{bindings, cache, cargo, step};

/// Runs all checks; the first that fails ends them.
///
/// Returns those that could not run here, each as `name: reason`.
pub(crate) fn run() -> Result<Vec<String>> {
    step("check the formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    step(
        "check the lints",
        &mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    )?;
    step("check the shell script", Command::new("bash").args(["-n", "dev"]))?;
    edges::run()?;
    lengths::run()?;
    Ok([generated()?, licences()?].into_iter().flatten().collect())
}

fn generated() -> Result<Option<String>> {
    if !bindings::wheel_path()?.exists() {
        return skip("the generated bindings", "pyvmomi's wheel is not there; `./dev check` fetches it");
    }
    bindings::run(true).map(|()| None)
}

fn licences() -> Result<Option<String>> {
    let deny = cache()?.join("bin/cargo-deny");
    if !deny.exists() {
        return skip("licences, bans and sources", "cargo-deny is not installed; `./dev check` installs it");
    }
    let mut command = Command::new(deny);
    command.args(["--log-level", "error", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    step("check licences, bans and sources", &mut command).map(|()| None)
}

/// Says that a check cannot run here; where judges are required that is a failure.
#[expect(clippy::print_stderr, reason = "progress of a development task")]
fn skip(what: &str, reason: &str) -> Result<Option<String>> {
    if std::env::var("HYPER2KVM_JUDGES").as_deref() == Ok("required") {
        bail!("check {what}: {reason}");
    }
    eprintln!("xtask: skipped: check {what}: {reason}");
    Ok(Some(format!("check {what}: {reason}")))
}
