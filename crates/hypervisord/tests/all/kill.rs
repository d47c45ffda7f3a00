//! `kill -9` of the daemon at random moments, while many small jobs run against a server with faults.
//!
//! Whatever moment it hits: no job is lost, none is done twice, each ends completed with the bytes of its VM, and
//! the store is whole. `HYPER2KVM_SEEDS` sets how many moments are tried; `./dev soak jobs` tries many.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hyper_api::client::Client;
use hyper_api::{ExportSpec, Job, JobId, JobState};
use hypervisord::store::Store;
use migrate::export::{Observer, Progress, Report, Request};
use migrate::source::Source;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::twin::connected;

/// Moments that are tried unless `HYPER2KVM_SEEDS` says otherwise.
const SEEDS: u64 = 25;

/// VMs, and exports of each into directories of their own.
const VMS: u64 = 10;
const TARGETS: u64 = 5;

/// The longest life of a daemon that is to be killed: some exports' time, so that every step is met.
const LIFE_MAX_MS: u64 = 1_500;

/// The longest wait for the end of all jobs after the last kill; never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(180);

struct Deaf;

impl Observer for Deaf {
    fn progress(&self, _progress: &Progress) {}
    fn warning(&self, _text: &str) {}
}

/// A server whose leases die after two seconds without a sign of life, with streams and calls that break.
async fn simulator() -> Simulator {
    let mut text = "[[datacenter]]\nname = \"DC0\"\n".to_owned();
    for vm in 0..VMS {
        text += &format!(
            "[[vm]]\npath = \"DC0/vm/vm{vm}\"\n[[vm.disk]]\nsize = \"1MiB\"\n\
             content = {{ kind = \"seeded\", seed = {vm}, fill = 1.0, compressibility = 0.5 }}\n"
        );
    }
    let rules = serde_json::json!([
        {"when": {"object": "disk-0.vmdk"}, "then": {"reset_at": 100_000}, "probability": 0.1},
        {"when": {"method": "RetrievePropertiesEx"}, "then": {"reset": true}, "probability": 0.02},
        {"when": {"method": "ExportVm"}, "then": {"answer": {"status": 503}}, "probability": 0.03},
    ]);
    let settings =
        Settings { lease_timeout_s: 2, initializing_ms: 50, bytes_per_second: Some(1 << 20), ..Settings::default() };
    let rules = parse_json(&rules.to_string()).unwrap();
    let options = Options { settings: Some(settings), rules, ..Options::default() };
    Simulator::start(Inventory::parse(&text, Path::new(".")).unwrap(), options).await.unwrap()
}

/// What the daemon is told, and where it keeps everything.
struct Machine {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn new(simulator: &Simulator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = simulator.url();
        let known_hosts = folder.path().join("known_hosts");
        let address = url.trim_start_matches("https://").trim_end_matches("/sdk");
        fs::write(&known_hosts, format!("{address} {}\n", simulator.sha256_thumbprint())).unwrap();
        let config = format!(
            "state_dir = '{0}/state'\n[listen]\nsocket = '{0}/run/socket'\ntcp = []\n[auth]\ngroup = 'no such group'\n\
             start_token = '{0}/run/token'\n[jobs]\nretries = 100\nretry_seconds = 0\n",
            folder.path().display()
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let variables = vec![
            ("GOVC_URL", url),
            ("GOVC_USERNAME", simulator.world().inventory.vcenter.username.clone()),
            ("GOVC_PASSWORD", "simulated".to_owned()),
            ("GOVC_TLS_KNOWN_HOSTS", known_hosts.display().to_string()),
        ];
        Self { folder, variables }
    }

    fn start(&self) -> Child {
        let log = fs::OpenOptions::new().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_hypervisord"))
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .arg("-config")
            .arg(self.folder.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    async fn client(&self) -> Client {
        connected(&self.folder.path().join("run/socket")).await
    }

    fn source(&self) -> Source {
        let lookup =
            |name: &str| self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        Source::from_env(&lookup).unwrap()
    }

    fn output(&self, vm: u64, target: u64) -> std::path::PathBuf {
        self.folder.path().join(format!("out/{vm}-{target}"))
    }

    /// Exports a VM beside all jobs, until a run meets no fault, and returns what its disk is like.
    async fn reference(&self, vm: u64) -> String {
        for round in 0..20 {
            let output = self.folder.path().join(format!("reference/{vm}-{round}"));
            let request = Request { vm: format!("vm{vm}"), output, ..Request::default() };
            let exported =
                migrate::export::export(&self.source(), &request, Arc::new(Deaf), CancellationToken::new()).await;
            if let Ok(report) = exported {
                return disk(&report);
            }
        }
        panic!("vm{vm} cannot be exported");
    }
}

fn disk(report: &Report) -> String {
    report.files.iter().find(|file| file.name.ends_with("disk-0.vmdk")).unwrap().sha256.clone()
}

/// A moment that looks random and is the same for the same seed.
fn moment(seed: u64) -> Duration {
    // SplitMix64: neighbouring seeds give moments far apart.
    let mut bits = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    Duration::from_millis((bits ^ (bits >> 31)) % LIFE_MAX_MS)
}

async fn all(client: &Client, ids: &BTreeMap<JobId, (u64, u64)>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for id in ids.keys() {
        jobs.push(client.job(id).await.unwrap());
    }
    jobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_moment_loses_no_job_and_does_none_twice() {
    let seeds = std::env::var("HYPER2KVM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let simulator = simulator().await;
    let machine = Machine::new(&simulator);
    let mut disks = Vec::new();
    for vm in 0..VMS {
        disks.push(machine.reference(vm).await);
    }
    let mut daemon = machine.start();
    let client = machine.client().await;
    let mut ids = BTreeMap::new();
    let mut left = (0..TARGETS).flat_map(|target| (0..VMS).map(move |vm| (vm, target)));
    for seed in 0..seeds {
        // A share of the jobs for each kill, so that each meets some at work.
        let due = usize::try_from((seed + 1) * VMS * TARGETS / seeds).unwrap();
        for (vm, target) in left.by_ref().take(due - ids.len()) {
            let output = machine.output(vm, target);
            let spec = ExportSpec { vm: format!("vm{vm}"), output, ..ExportSpec::default() };
            ids.insert(client.submit(&spec.into()).await.unwrap().id, (vm, target));
        }
        tokio::time::sleep(moment(seed)).await;
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        daemon = machine.start();
        machine.client().await;
    }
    let waited = tokio::time::timeout(PATIENCE, async {
        while all(&client, &ids).await.iter().any(|job| !job.state.is_final()) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let over = waited.await.is_ok();
    let jobs = all(&client, &ids).await;
    let log = || fs::read_to_string(machine.folder.path().join("log")).unwrap();
    assert!(over, "{:#?}\n{}", jobs.iter().filter(|job| !job.state.is_final()).collect::<Vec<_>>(), log());
    for job in &jobs {
        check(&machine, job, ids[&job.id], &disks);
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let store = Store::open(&machine.folder.path().join("state")).unwrap();
    store.check().await.unwrap();
    assert_eq!(store.counts().await.unwrap().completed, VMS * TARGETS, "no job more and none less");
    let attempts: u32 = jobs.iter().map(|job| job.attempt).sum();
    let summary = format!("kill -9: {seeds} moments, {} jobs, {attempts} attempts\n", jobs.len());
    // Not by a macro: the harness swallows those lines of a test that passes.
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(
        u64::from(attempts) >= VMS * TARGETS + seeds.min(25) / 2,
        "too few kills have hit a job: {attempts} attempts"
    );
}

/// The package of a job is whole, stands alone in its directory, and has the bytes of its VM.
fn check(machine: &Machine, job: &Job, (vm, target): (u64, u64), disks: &[String]) {
    assert_eq!(job.state, JobState::Completed, "{job:#?}");
    let directory = machine.output(vm, target);
    let report = job.report.as_ref().unwrap();
    assert_eq!(report.directory, directory);
    let mut names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut reported: Vec<_> = report.files.iter().map(|file| file.name.clone()).collect();
    reported.sort();
    assert_eq!(names, reported, "{job:#?}");
    for file in &report.files {
        let bytes = fs::read(directory.join(&file.name)).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, file.sha256, "{} of {}", file.name, job.id);
        if file.name.ends_with("disk-0.vmdk") {
            assert_eq!(sha256, disks[usize::try_from(vm).unwrap()], "{} of {}", file.name, job.id);
        }
    }
}
