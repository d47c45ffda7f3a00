//! Row `sim`: what the simulator spends on sending, without what anybody spends on receiving.
//!
//! Everything else is measured against this server, so it must be cheap: at most 0.6 CPU-seconds per
//! GiB sent, TLS included. The first export makes it hash what it sends; the second is measured.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::served::{Served, program};
use super::{Row, build_for_speed};

/// Two disks that travel as about 1 GiB in all.
const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/bench"
[[vm.disk]]
size = "4GiB"
content = { kind = "seeded", seed = 1, fill = 0.25, compressibility = 0.5 }
[[vm.disk]]
size = "4GiB"
content = { kind = "seeded", seed = 2, fill = 0.25, compressibility = 0.5 }
"#;

/// The limit that the simulator is held to, in CPU-seconds per GiB.
const LIMIT: f64 = 0.6;

const GIB: f64 = (1u64 << 30) as f64;

/// Measures the row.
pub(super) fn run() -> Result<Vec<Row>> {
    build_for_speed()?;
    let folder = std::env::temp_dir().join(format!("hyper2kvm-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let row = measure(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(vec![row?])
}

fn measure(folder: &Path) -> Result<Row> {
    let inventory = folder.join("inventory.toml");
    fs::write(&inventory, INVENTORY).context("write the inventory")?;
    let served = Served::start(folder, &[Path::new("--inventory"), &inventory])?;
    export(&served, &folder.join("first"))?;
    let before = served.cpu_s()?;
    let report = export(&served, &folder.join("second"))?;
    let spent = served.cpu_s()? - before;
    let sent = report["report"]["received_bytes"].as_f64().context("find the bytes that were sent")?;
    let work = format!("sim: send {:.2} GiB over two connections", sent / GIB);
    Ok(Row::against_limit(work, "CPU-s/GiB", spent / (sent / GIB), LIMIT))
}

fn export(served: &Served, target: &Path) -> Result<Value> {
    let mut child = served
        .client(&program("hyperctl")?)
        .args(["export", "bench", "--json", "-o"])
        .arg(target)
        .stdout(Stdio::piped())
        .spawn()
        .context("start hyperctl")?;
    let mut json = String::new();
    child.stdout.take().context("read hyperctl")?.read_to_string(&mut json).context("read hyperctl")?;
    let status = child.wait().context("wait for hyperctl")?;
    if !status.success() {
        bail!("hyperctl export: {status}");
    }
    serde_json::from_str(&json).context("read hyperctl's JSON")
}
