//! `./dev check`: what can be known without running the product.

mod edges;
mod lengths;

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{bindings, cache, cargo, step};

/// Runs all checks; the first that fails ends them.
pub(crate) fn run() -> Result<()> {
    step("check the formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    step(
        "check the lints",
        &mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    )?;
    step("check the shell script", Command::new("bash").args(["-n", "dev"]))?;
    edges::run()?;
    lengths::run()?;
    generated()?;
    licences()
}

fn generated() -> Result<()> {
    if !bindings::wheel_path()?.exists() {
        return skip("the generated bindings", "pyvmomi's wheel is not there; `./dev check` fetches it");
    }
    bindings::run(true)
}

fn licences() -> Result<()> {
    let deny = cache()?.join("bin/cargo-deny");
    if !deny.exists() {
        return skip("licences, bans and sources", "cargo-deny is not installed; `./dev check` installs it");
    }
    let mut command = Command::new(deny);
    command.args(["--log-level", "error", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    step("check licences, bans and sources", &mut command)
}

/// Says that a check cannot run here; where judges are required that is a failure.
#[expect(clippy::print_stderr, reason = "progress of a development task")]
fn skip(what: &str, reason: &str) -> Result<()> {
    if std::env::var("HYPER2KVM_JUDGES").as_deref() == Ok("required") {
        anyhow::bail!("check {what}: {reason}");
    }
    eprintln!("xtask: skipped: check {what}: {reason}");
    if let Some(log) = std::env::var_os("HYPER2KVM_SKIP_LOG") {
        let mut text = fs::read_to_string(&log).unwrap_or_default();
        text.push_str(&format!("check {what}: {reason}\n"));
        fs::write(&log, text).context("write the skip log")?;
    }
    Ok(())
}
