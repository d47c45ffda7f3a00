//! `./dev demo`: from a fresh clone to an exported VM.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cargo, step};

/// The programs that the demo starts; they find each other by lying in one folder.
const PROGRAMS: [&str; 3] = ["hyperctl", "hypervisord", "vcenter-sim"];

/// Builds the programs and hands over to `hyperctl demo`.
///
/// The development profile: a newcomer waits for the compiler, and that takes half as long as the
/// release profile does, while the bytes go through the few crates that are optimised in both.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let mut build = cargo(&["build"]);
    for program in PROGRAMS {
        build.args(["--package", program, "--bin", program]);
    }
    step("build hyperctl, hypervisord and vcenter-sim", &mut build)?;
    let hyperctl = programs()?.join("hyperctl");
    step("run the demo", Command::new(hyperctl).arg("demo").args(arguments))
}

/// Returns the folder that cargo builds programs into: the one that this program lies in.
pub(crate) fn programs() -> Result<PathBuf> {
    let this = env::current_exe().context("find this program")?;
    Ok(this.parent().context("find this program's folder")?.to_path_buf())
}
