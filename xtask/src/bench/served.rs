//! A simulator that serves the rows of a bench, and how clients of either make find it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::demo;

/// Time that the simulator has to listen; 10,000 VMs take it some hundred milliseconds.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Kernel ticks per second in `/proc/PID/stat`; fixed on Linux for user space.
const TICKS_PER_S: f64 = 100.0;

/// Fields of `/proc/PID/stat` behind the name: own times, and those of children that were waited for.
const OWN_TIMES: usize = 11;
const CHILDREN_TIMES: usize = 13;

/// A running simulator; it stops with its value.
#[derive(Debug)]
pub(super) struct Served {
    child: Child,
    ready: Value,
    folder: PathBuf,
}

/// Returns a program of the release build, which lies beside the folder of the development build.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    Ok(demo::programs()?.with_file_name("release").join(name))
}

impl Served {
    /// Starts the simulator with these arguments and waits until it listens; its files go to `folder`.
    pub(super) fn start<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> Result<Self> {
        let ready = folder.join("ready.json");
        let child = Command::new(program("vcenter-sim")?)
            .args(arguments)
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
            if begun.elapsed() > START_MAX {
                bail!("vcenter-sim did not get ready");
            }
            std::thread::sleep(LOOK_EVERY);
        };
        let url = ready["url"].as_str().unwrap_or_default();
        let address = url.trim_start_matches("https://").trim_end_matches("/sdk");
        let thumbprint = ready["sha256_thumbprint"].as_str().unwrap_or_default();
        fs::write(folder.join("known_hosts"), format!("{address} {thumbprint}\n")).context("write known hosts")?;
        Ok(Self { child, ready, folder: folder.to_owned() })
    }

    /// Returns where the files of this bench lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a command that finds the simulator by its environment, as govc and ours do.
    pub(super) fn client(&self, program: &Path) -> Command {
        let text = |key: &str| self.ready[key].as_str().unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env_remove("HYPERVISORD_URL")
            .env("GOVC_URL", text("url"))
            .env("GOVC_USERNAME", text("username"))
            .env("GOVC_PASSWORD", text("password"))
            .env("GOVC_TLS_KNOWN_HOSTS", self.folder.join("known_hosts"));
        command
    }

    /// Returns the CPU-seconds that the simulator has used so far.
    pub(super) fn cpu_s(&self) -> Result<f64> {
        times(&self.child.id().to_string(), OWN_TIMES)
    }
}

/// Returns the CPU-seconds of all processes that this one has started and waited for, with theirs.
pub(super) fn cpu_of_children_s() -> Result<f64> {
    times("self", CHILDREN_TIMES)
}

/// Adds two times of a process, which stand behind each other from this field on.
fn times(process: &str, first: usize) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("read a process's times")?;
    // The name in parentheses may hold blanks, so fields are counted from its end.
    let (_, fields) = stat.rsplit_once(") ").context("read a process's times")?;
    let field = |index: usize| fields.split(' ').nth(index).and_then(|text| text.parse::<f64>().ok());
    let (user, system) = field(first).zip(field(first + 1)).context("read a process's times")?;
    Ok((user + system) / TICKS_PER_S)
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _status = self.child.wait();
    }
}
