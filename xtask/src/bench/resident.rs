//! How much memory a command of ours had, and the process that it starts.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

const KIB_PER_MIB: f64 = 1024.0;

/// Waits for a process and returns the most memory that it and its children had at the same time.
pub(super) fn watch(mut child: Child) -> Result<f64> {
    let (mut most_kib, mut with_child) = (0, false);
    let status = loop {
        if let Some(status) = child.try_wait().context("wait for hyperctl")? {
            break status;
        }
        let (own, below) = resident_kib(child.id());
        (most_kib, with_child) = (most_kib.max(own + below), with_child || below > 0);
        std::thread::sleep(LOOK_EVERY);
    };
    if !status.success() {
        bail!("hyperctl: {status}");
    }
    if !with_child {
        bail!("the process that hyperctl starts was never seen: its memory is unknown");
    }
    Ok(most_kib as f64 / KIB_PER_MIB)
}

/// Returns the resident KiB of a process, and of all below it; what is gone has none.
fn resident_kib(process: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let own = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children: Vec<PathBuf> = tasks.map(|task| task.path().join("children")).collect();
    let children = children.iter().filter_map(|list| fs::read_to_string(list).ok());
    let below: u64 = children
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .map(resident_kib)
        .map(|(own, below)| own + below)
        .sum();
    (own, below)
}
