//! `./dev bench`: rows of figures, each a ratio against a peer on the same work in the same run.

mod convert;
mod guest;
mod inventory;
mod resident;
mod served;
mod sim;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{cargo, step};

/// One measured row.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was done.
    work: String,
    /// Unit of both figures.
    unit: &'static str,
    ours: f64,
    /// Figure of the peer, or the limit that stands in for one.
    peer: f64,
    peer_name: &'static str,
    /// Ratio at which the row is as good as asked for.
    goal: f64,
}

/// Name of a row → what measures it.
type Bench = (&'static str, fn() -> Result<Vec<Row>>);

const BENCHES: &[Bench] =
    &[("sim", sim::run), ("inventory", inventory::run), ("convert", convert::run), ("compress", convert::run_compress)];

/// Runs the named rows, or all, and prints them.
pub(crate) fn run(names: &[String], json_file: Option<&Path>) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !BENCHES.iter().any(|(bench, _)| bench == name)) {
        let known: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("there is no bench `{unknown}`; there are: {}", known.join(", "));
    }
    let mut rows = Vec::new();
    for (_, measure) in BENCHES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name)) {
        rows.extend(measure()?);
    }
    print(&rows)?;
    if let Some(file) = json_file {
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
        let text = serde_json::to_string_pretty(&rows)?;
        fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    match rows.iter().find(|row| !row.holds()) {
        Some(row) => bail!("{}: {:.2} × {} is above {:.2} ×", row.work, row.ratio(), row.peer_name, row.goal),
        None => Ok(()),
    }
}

/// Builds the programs that are measured.
fn build_for_speed() -> Result<()> {
    let mut build = cargo(&["build", "--release"]);
    for program in ["hyperctl", "hypervisord", "vcenter-sim"] {
        build.args(["--package", program, "--bin", program]);
    }
    step("build for speed", &mut build)
}

impl Row {
    /// Makes a row whose peer is a limit.
    fn against_limit(work: String, unit: &'static str, ours: f64, limit: f64) -> Self {
        Self { work, unit, ours, peer: limit, peer_name: "limit", goal: 1.0 }
    }

    fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    fn holds(&self) -> bool {
        self.ratio() <= self.goal
    }

    fn to_json(&self) -> Value {
        json!({
            "work": self.work,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "ratio": self.ratio(),
            "goal": self.goal,
            "holds": self.holds(),
        })
    }
}

#[expect(clippy::print_stdout, reason = "the result of a development task")]
fn print(rows: &[Row]) -> Result<()> {
    println!("machine: {}", machine()?);
    for row in rows {
        let verdict = if row.holds() { "holds" } else { "DOES NOT HOLD" };
        println!(
            "{}: {:.3} {} (ours) / {:.3} ({}) = {:.2}, goal ≤ {:.2}: {verdict}",
            row.work,
            row.ours,
            row.unit,
            row.peer,
            row.peer_name,
            row.ratio(),
            row.goal
        );
    }
    Ok(())
}

/// Describes the machine that figures were taken on.
fn machine() -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's version")?;
    let model = model.map_or("unknown processor", |(_, name)| name);
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}
