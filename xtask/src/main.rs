//! What `./dev` does once everything is installed: checks, tests, demo, benches, generators.
//!
//! One file per verb. Nothing here is part of the product.

mod bench;
mod bindings;
mod check;
mod demo;
mod harness;
mod soak;
mod suite;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Development tasks; `./dev` calls them")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Formatting, lints, crate edges, generated files, licences.
    Check,
    /// Everything that CI runs; ends with the counts.
    Test,
    /// Builds, starts the simulator, exports a VM from it.
    Demo {
        /// Arguments for `hyperctl demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measures rows against peers on the same work.
    Bench {
        /// Rows; all by default.
        names: Vec<String>,
        /// Also writes the rows as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Runs the long versions of the tests.
    Soak {
        /// Which; all by default.
        names: Vec<String>,
    },
    /// Generates the vim25 bindings.
    Bindings {
        /// Only compares them with the committed file.
        #[arg(long)]
        check: bool,
    },
}

#[expect(clippy::print_stderr, reason = "the edge at which an error is printed")]
fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    env::set_current_dir(workspace()).context("enter the workspace")?;
    match verb {
        Verb::Check => check::run().map(drop),
        Verb::Test => suite::run(),
        Verb::Demo { arguments } => demo::run(&arguments),
        Verb::Bench { names, json } => bench::run(&names, json.as_deref()),
        Verb::Soak { names } => soak::run(&names),
        Verb::Bindings { check } => bindings::run(check),
    }
}

/// Returns the folder of the workspace.
fn workspace() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

/// Returns the folder in which `./dev` keeps what it fetched.
fn cache() -> Result<PathBuf> {
    let home = env::var_os("HOME").context("HOME is not set")?;
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from(home).join(".cache"), PathBuf::from);
    Ok(cache.join("hyper2kvm"))
}

/// Returns a cargo command of the toolchain that runs us.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Says what runs, runs it, and fails with it.
#[expect(clippy::print_stderr, reason = "progress of a development task")]
fn step(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("xtask: {what}");
    let status = command.status().with_context(|| format!("{what}: start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{what}: {status}");
    }
    Ok(())
}
