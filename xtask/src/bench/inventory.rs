//! Row `inventory`: 10,000 VMs listed by `hyperctl list` against the simulator.
//!
//! Three figures: CPU-seconds, wall time, and the memory of the processes that list (`hyperctl` and the
//! child that it starts). `govc` reads the same properties in the same run, interleaved, so that the row
//! says also what others need for it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::resident::watch;
use super::served::{Served, cpu_of_children_s, program};
use super::{Row, build_for_speed};
use crate::cache;

/// VMs of the scenario `10k`.
const VMS: usize = 10_000;
/// Lists of each kind; the median counts.
const RUNS: usize = 5;
/// Seconds that a list may take.
const LIMIT_S: f64 = 2.0;
/// MiB that the listing processes may have resident at the same time.
const LIMIT_MIB: f64 = 200.0;
/// Measures the rows.
pub(super) fn run() -> Result<Vec<Row>> {
    build_for_speed()?;
    let folder = std::env::temp_dir().join(format!("hyper2kvm-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let rows = measure(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    rows
}

fn measure(folder: &Path) -> Result<Vec<Row>> {
    let served = Served::start(folder, &["--scenario", "10k"])?;
    let govc = Some(cache()?.join("bin/govc")).filter(|program| program.exists());
    // The first list of each also warms what is only slow once.
    list_with_us(&served, AsJson::Yes)?;
    let (mut ours, mut plain, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(list_with_us(&served, AsJson::Yes)?);
        plain.push(list_with_us(&served, AsJson::No)?);
        if let Some(govc) = &govc {
            theirs.push(list_with_govc(&served, govc)?);
        }
    }
    let wall_s = median(&ours, |seen| seen.wall_s);
    let memory_mib = ours.iter().map(|seen| seen.memory_mib).fold(0.0, f64::max);
    let mut rows = vec![
        Row::against_limit(format!("inventory: list {VMS} VMs with capacities"), "s", wall_s, LIMIT_S),
        Row::against_limit(format!("inventory: memory for {VMS} VMs with capacities"), "MiB", memory_mib, LIMIT_MIB),
    ];
    if !theirs.is_empty() {
        let beside = |what: &str, unit, figure: fn(&Seen) -> f64| Row {
            work: format!("inventory: {what} of listing {VMS} VMs"),
            unit,
            ours: median(&plain, figure),
            peer: median(&theirs, figure),
            peer_name: "govc object.collect -type m",
            goal: 1.0,
        };
        rows.insert(0, beside("CPU", "CPU-s", |seen| seen.cpu_s));
        rows.push(beside("wall time", "s", |seen| seen.wall_s));
    }
    Ok(rows)
}

/// What one list took.
struct Seen {
    cpu_s: f64,
    wall_s: f64,
    memory_mib: f64,
}

/// As JSON a list has the capacities of all disks too, for which every VM's devices are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AsJson {
    Yes,
    No,
}

fn list_with_us(served: &Served, as_json: AsJson) -> Result<Seen> {
    let (begun, before) = (Instant::now(), cpu_of_children_s()?);
    let mut command = served.client(&program("hyperctl")?);
    let out = served.folder().join("list");
    let file = fs::File::create(&out).with_context(|| format!("make {}", out.display()))?;
    let format = (as_json == AsJson::Yes).then_some("--json");
    let child = command.arg("list").args(format).stdout(file).spawn().context("start hyperctl")?;
    let memory_mib = watch(child)?;
    let (wall_s, cpu_s) = (begun.elapsed().as_secs_f64(), cpu_of_children_s()? - before);
    let listed = fs::read(&out).context("read what hyperctl listed")?;
    let count = match as_json {
        AsJson::Yes => {
            let listed: Value = serde_json::from_slice(&listed).context("read what hyperctl listed")?;
            listed.as_array().or_else(|| listed["vms"].as_array()).map_or(0, Vec::len)
        }
        AsJson::No => String::from_utf8_lossy(&listed).lines().filter(|line| line.contains("/vm/")).count(),
    };
    if count != VMS {
        bail!("hyperctl listed {count} VMs instead of {VMS}");
    }
    Ok(Seen { cpu_s, wall_s, memory_mib })
}

/// Asks govc for what a list shows, of all VMs at once.
fn list_with_govc(served: &Served, govc: &Path) -> Result<Seen> {
    let (begun, before) = (Instant::now(), cpu_of_children_s()?);
    let mut command = served.client(govc);
    command.env("GOVC_PERSIST_SESSION", "false");
    command.args(["object.collect", "-json", "-type", "m", "/"]);
    command.args(["name", "parent", "runtime.powerState", "summary.config", "summary.storage.committed"]);
    let output = command.stderr(Stdio::inherit()).output().context("run govc")?;
    if !output.status.success() || output.stdout.len() < VMS {
        bail!("govc: {}", output.status);
    }
    Ok(Seen { cpu_s: cpu_of_children_s()? - before, wall_s: begun.elapsed().as_secs_f64(), memory_mib: 0.0 })
}

fn median(seen: &[Seen], figure: impl Fn(&Seen) -> f64) -> f64 {
    let mut figures: Vec<f64> = seen.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
