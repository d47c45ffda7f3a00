//! What sending costs: CPU-seconds of the simulator per GiB that `curl` fetches, TLS included.
//!
//! ```text
//! cargo run --release -p vcenter-sim --example sent_cost
//! ```
//!
//! The first stream of a disk is hashed, later ones are not; both are shown. The client is another
//! process, so its CPU does not count. Linux only: CPU time comes from `/proc/self/stat`.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use vcenter_sim::{Inventory, Options, Simulator};

const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"

[[vm]]
path = "DC0/vm/big"

[[vm.disk]]
size = "4 GiB"
content = { kind = "seeded", seed = 1, fill = 1.0, compressibility = 0.5 }
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let inventory = Inventory::parse(INVENTORY, Path::new("."))?;
    let simulator = Simulator::start(inventory, Options::default()).await?;
    let world = simulator.world();
    let vm = &world.inventory.vms[0];
    let item = world.exports.open("lease", vm, "vm-1").remove(0);
    let url = format!("https://{}{}", world.addresses.hosts[0].addr, item.path);
    for name in ["first stream, hashed", "second", "third", "fourth"] {
        let (bytes_before, cpu_before) = (world.stats.files.bytes.get(), cpu_seconds()?);
        let url = url.clone();
        let fetch = move || Command::new("curl").args(["-sSk", "-o", "/dev/null", &url]).status();
        let status = tokio::task::spawn_blocking(fetch).await?.context("cannot run curl")?;
        ensure!(status.success(), "curl failed");
        let mib = f64::from(u32::try_from((world.stats.files.bytes.get() - bytes_before) >> 20)?);
        let cpu = cpu_seconds()? - cpu_before;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{name}: {mib} MiB sent, {cpu:.2} CPU-s, {:.3} CPU-s/GiB", cpu * 1024.0 / mib)?;
    }
    simulator.stop().await;
    Ok(())
}

/// Returns the CPU time of this process so far, user and system.
fn cpu_seconds() -> anyhow::Result<f64> {
    /// Linux counts in hundredths whatever the kernel's own tick is.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The fields begin behind the program's name, which is in parentheses; CPU times are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').context("unexpected form of /proc/self/stat")?;
    let times: Vec<u32> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(times.iter().map(|&ticks| f64::from(ticks)).sum::<f64>() / TICKS_PER_SECOND)
}
