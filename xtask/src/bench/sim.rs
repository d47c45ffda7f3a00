//! Row `sim`: what the simulator spends on sending, without what anybody spends on receiving.
//!
//! Everything else is measured against this server, so it must be cheap: at most 0.6 CPU-seconds per
//! GiB sent, TLS included. The first export makes it hash what it sends; the second is measured.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Row;
use crate::{cargo, demo, step};

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

/// Kernel ticks per second in `/proc/PID/stat`; fixed on Linux for user space.
const TICKS_PER_S: f64 = 100.0;

const GIB: f64 = (1u64 << 30) as f64;

/// Measures the row.
pub(super) fn run() -> Result<Vec<Row>> {
    let programs = ["hyperctl", "hypervisord", "vcenter-sim"];
    let mut build = cargo(&["build", "--release"]);
    for program in programs {
        build.args(["--package", program, "--bin", program]);
    }
    step("build for speed", &mut build)?;
    let folder = std::env::temp_dir().join(format!("hyper2kvm-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let rows = measure(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(vec![rows?])
}

/// Returns a program of the release build, which lies beside the folder of the development build.
fn program(name: &str) -> Result<PathBuf> {
    Ok(demo::programs()?.with_file_name("release").join(name))
}

fn measure(folder: &Path) -> Result<Row> {
    let simulator = Simulator::start(folder)?;
    simulator.export(&folder.join("first"))?;
    let before = simulator.cpu_s()?;
    let report = simulator.export(&folder.join("second"))?;
    let spent = simulator.cpu_s()? - before;
    let sent = report["report"]["received_bytes"].as_f64().context("find the bytes that were sent")?;
    Ok(Row {
        work: format!("sim: send {:.2} GiB over two connections", sent / GIB),
        unit: "CPU-s/GiB",
        ours: spent / (sent / GIB),
        peer: LIMIT,
        peer_name: "limit",
        goal: 1.0,
    })
}

struct Simulator {
    child: Child,
    ready: Value,
    known_hosts: PathBuf,
}

impl Simulator {
    fn start(folder: &Path) -> Result<Self> {
        let (inventory, ready) = (folder.join("inventory.toml"), folder.join("ready.json"));
        fs::write(&inventory, INVENTORY).context("write the inventory")?;
        let child = Command::new(program("vcenter-sim")?)
            .arg("--inventory")
            .arg(&inventory)
            .arg("--ready-file")
            .arg(&ready)
            .arg("--exit-on-stdin-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("start vcenter-sim")?;
        let begun = Instant::now();
        let ready = loop {
            if let Some(ready) = fs::read(&ready).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok()) {
                break ready;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                bail!("vcenter-sim did not get ready");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let known_hosts = folder.join("known_hosts");
        let url = ready["url"].as_str().unwrap_or_default();
        let address = url.trim_start_matches("https://").trim_end_matches("/sdk");
        let thumbprint = ready["sha256_thumbprint"].as_str().unwrap_or_default();
        fs::write(&known_hosts, format!("{address} {thumbprint}\n")).context("write known hosts")?;
        Ok(Self { child, ready, known_hosts })
    }

    fn export(&self, target: &Path) -> Result<Value> {
        let text = |key: &str| self.ready[key].as_str().unwrap_or_default();
        let mut child = Command::new(program("hyperctl")?)
            .args(["export", "bench", "--json", "-o"])
            .arg(target)
            .env("GOVC_URL", text("url"))
            .env("GOVC_USERNAME", text("username"))
            .env("GOVC_PASSWORD", text("password"))
            .env("GOVC_TLS_KNOWN_HOSTS", &self.known_hosts)
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

    /// Returns the CPU-seconds that the simulator has used so far.
    fn cpu_s(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).context("read the process's times")?;
        // The name in parentheses may hold blanks; user and system time are 12 and 13 behind it.
        let (_, fields) = stat.rsplit_once(") ").context("read the process's times")?;
        let field = |index: usize| fields.split(' ').nth(index).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = field(11).zip(field(12)).context("read the process's times")?;
        Ok((user + system) / TICKS_PER_S)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _status = self.child.wait();
    }
}
