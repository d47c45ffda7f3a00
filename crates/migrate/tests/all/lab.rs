//! A simulated vCenter, a target directory, and the questions that tests ask of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use migrate::export::{Hold, Observer, Phase, Progress, Report, Request, export};
use migrate::source::{Patience, Source};
use migrate::{Error, Result};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use vcenter_sim::content::DiskContent;
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;
use vcenter_sim::{Inventory, Options, Simulator};

/// One VM with two disks and nvram; small, so that a test is quick.
pub(crate) const WEB01: &str = r#"
[[datacenter]]
name = "DC0"

[[vm]]
path = "DC0/vm/web/web01"
[[vm.disk]]
size = "64MiB"
content = { kind = "seeded", seed = 1, fill = 0.25, compressibility = 0.5 }
[[vm.disk]]
size = "32MiB"
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }
"#;

/// What an export said, in order.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    progress: Mutex<Vec<Progress>>,
    warnings: Mutex<Vec<String>>,
    holds: Mutex<Vec<Hold>>,
    released: Mutex<Vec<String>>,
}

impl Heard {
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }

    /// Returns every hold that was reported, and every lease that was given back.
    pub(crate) fn holds(&self) -> (Vec<Hold>, Vec<String>) {
        (self.holds.lock().unwrap().clone(), self.released.lock().unwrap().clone())
    }

    pub(crate) fn all(&self) -> Vec<Progress> {
        self.progress.lock().unwrap().clone()
    }

    pub(crate) fn reached(&self, phase: Phase) -> bool {
        self.progress.lock().unwrap().iter().any(|progress| progress.phase == phase)
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        let progress = self.progress.lock().unwrap();
        progress.last().map_or(0, |last| last.files.iter().map(|file| file.received_bytes).sum())
    }
}

impl Observer for Heard {
    fn progress(&self, progress: &Progress) {
        self.progress.lock().unwrap().push(progress.clone());
    }

    fn warning(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }

    fn holding(&self, hold: &Hold) {
        self.holds.lock().unwrap().push(hold.clone());
    }

    fn released(&self, lease: &str) {
        self.released.lock().unwrap().push(lease.to_owned());
    }
}

/// A simulator with a directory to export to.
pub(crate) struct Lab {
    pub(crate) simulator: Simulator,
    folder: tempfile::TempDir,
    patience: Patience,
    handshake_timeout: Option<String>,
}

impl Lab {
    /// Starts a simulator over `inventory` (TOML) with these faults.
    pub(crate) async fn with(inventory: &str, settings: Settings) -> Self {
        Self::with_options(inventory, Options { settings: Some(settings), ..Options::default() }).await
    }

    /// Starts a simulator under rules (JSON), every one of which must strike before the test ends; see
    /// [`Self::assert_struck`].
    pub(crate) async fn ruled(inventory: &str, rules: serde_json::Value) -> Self {
        let rules = parse_json(&rules.to_string()).unwrap();
        Self::with_options(inventory, Options { rules, ..Options::default() }).await
    }

    /// Exports with this much patience for a silent server.
    pub(crate) fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Waits this long for the end of a TLS handshake, in govc's words: `2s`.
    pub(crate) fn with_handshake_timeout(mut self, timeout: &str) -> Self {
        self.handshake_timeout = Some(timeout.to_owned());
        self
    }

    /// Checks that every rule has struck: a fault that did not happen proves nothing.
    pub(crate) fn assert_struck(&self) {
        for rule in self.simulator.world().faults.rules().as_array().unwrap() {
            assert!(rule["strikes"].as_u64().unwrap() > 0, "{rule:#} did not strike: {:#}", self.soap());
        }
    }

    /// Returns how often a call was made.
    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.soap()["calls"][method].as_u64().unwrap_or(0)
    }

    /// Returns the methods of the calls that were made and not refused, in the order in which they began, as
    /// far as they are among `wanted`.
    pub(crate) fn order(&self, wanted: &[&str]) -> Vec<String> {
        let journal = self.simulator.world().soap.calls(0);
        let calls = journal["calls"].as_array().unwrap().iter().filter(|call| call["fault"].is_null());
        let methods = calls.map(|call| call["method"].as_str().unwrap());
        methods.filter(|method| wanted.contains(method)).map(str::to_owned).collect()
    }

    pub(crate) async fn with_options(inventory: &str, options: Options) -> Self {
        let inventory = Inventory::parse(inventory, Path::new(".")).unwrap();
        let simulator = Simulator::start(inventory, options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = simulator.url();
        let address = url.trim_start_matches("https://").trim_end_matches("/sdk");
        // Written once: exports that run side by side read it.
        fs::write(folder.path().join("known_hosts"), format!("{address} {}\n", simulator.sha256_thumbprint())).unwrap();
        Self { simulator, folder, patience: Patience::default(), handshake_timeout: None }
    }

    /// Returns the source as a user would configure it, with the certificate pinned.
    pub(crate) fn source(&self) -> Source {
        Source::from_env(&|name| self.variable(name)).unwrap().with_patience(self.patience)
    }

    /// Logs in beside the exports, as another client would.
    pub(crate) async fn session(&self) -> vsphere::Session {
        let config = vsphere::Config::from_env(&|name| self.variable(name)).unwrap();
        vsphere::Session::login(&config).await.unwrap()
    }

    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "GOVC_URL" => Some(self.simulator.url()),
            "GOVC_USERNAME" => Some(self.simulator.world().inventory.vcenter.username.clone()),
            "GOVC_PASSWORD" => Some("simulated".to_owned()),
            "GOVC_TLS_KNOWN_HOSTS" => Some(self.folder.path().join("known_hosts").to_str().unwrap().to_owned()),
            "GOVC_TLS_HANDSHAKE_TIMEOUT" => self.handshake_timeout.clone(),
            _ => None,
        }
    }

    /// Returns the directory that packages go to.
    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    pub(crate) async fn export(&self, vm: &str) -> Result<Report> {
        self.export_heard(vm, &Arc::default()).await
    }

    pub(crate) async fn export_heard(&self, vm: &str, heard: &Arc<Heard>) -> Result<Report> {
        self.export_until(vm, heard, CancellationToken::new()).await
    }

    /// Returns the request for a VM that is off, into the lab's target.
    pub(crate) fn request(&self, vm: &str) -> Request {
        Request { vm: vm.to_owned(), output: self.target(), ..Request::default() }
    }

    pub(crate) async fn export_until(&self, vm: &str, heard: &Arc<Heard>, cancel: CancellationToken) -> Result<Report> {
        self.run(&self.request(vm), heard, cancel).await
    }

    /// Exports and checks that the server holds nothing for us afterwards.
    pub(crate) async fn run(&self, request: &Request, heard: &Arc<Heard>, cancel: CancellationToken) -> Result<Report> {
        let heard: Arc<dyn Observer> = Arc::clone(heard) as Arc<dyn Observer>;
        let result = export(&self.source(), request, heard, cancel).await;
        self.assert_nothing_left();
        result
    }

    /// Exports and returns the error, after checking that nothing stands under a final name.
    pub(crate) async fn failing_export(&self, vm: &str) -> Error {
        let error = self.export(vm).await.unwrap_err();
        assert_eq!(self.finished_files(), Vec::<String>::new(), "{}", error.chain());
        error
    }

    /// Returns the names under the target that are not hidden, sorted.
    pub(crate) fn finished_files(&self) -> Vec<String> {
        let mut names = self.files();
        names.retain(|name| !name.starts_with('.'));
        names
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.target()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The server holds nothing for us any more, and no secret went where it does not belong.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.open("leases"), 0, "{:#}", self.soap());
        assert_eq!(self.open("sessions"), 0, "{:#}", self.soap());
        assert_eq!(self.open("snapshots"), 0, "{:#}", self.soap());
        assert_eq!(self.stats()["credentials_leaked_to_host"], 0, "{:#}", self.stats());
    }

    /// Returns how many leases, sessions or snapshots of ours are open on the server.
    pub(crate) fn open(&self, what: &str) -> u64 {
        let report = self.soap();
        report["open"][what].as_u64().unwrap_or_else(|| panic!("{what} in {report:#}"))
    }

    pub(crate) fn file_bytes_sent(&self) -> u64 {
        self.stats()["files"]["bytes"].as_u64().unwrap()
    }

    pub(crate) fn soap(&self) -> serde_json::Value {
        self.simulator.world().soap.report()
    }

    pub(crate) fn stats(&self) -> serde_json::Value {
        self.simulator.world().stats.report()
    }

    /// Adds rules, each one JSON object.
    pub(crate) fn rules(&self, rules: &[&str]) {
        let rules = rules.iter().flat_map(|rule| parse_json(rule).unwrap()).collect();
        self.simulator.world().faults.add_rules(rules).unwrap();
    }

    /// Changes faults while the simulator runs.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.simulator.world().faults.update(change);
    }

    /// Returns the SHA-256 of a disk's guest bytes as the simulator knows them.
    pub(crate) fn contents_sha256(&self, vm: &str, disk: usize) -> String {
        let inventory = &self.simulator.world().inventory;
        let vm = inventory.vms.iter().find(|candidate| candidate.path == vm).unwrap();
        sha256_of(&DiskContent::open(&vm.disks[disk]).unwrap())
    }

    /// Returns the same with what the guest has written above it since.
    pub(crate) fn contents_sha256_now(&self, vm: &str, disk: usize) -> String {
        let world = self.simulator.world();
        let deltas = world.soap.deltas(vm, None).unwrap();
        sha256_of(&DiskContent::layered(&world.exports.disk(vm, disk).unwrap(), disk, &deltas))
    }
}

fn sha256_of(content: &DiskContent) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < content.capacity_bytes() {
        let length = (content.capacity_bytes() - offset).min(1 << 20);
        let part = &mut buffer[..usize::try_from(length).unwrap()];
        content.read_range(offset, part).unwrap();
        hash.update(&*part);
        offset += length;
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until `condition` holds; for things that happen in other tasks.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    const LIMIT: Duration = Duration::from_secs(60);
    const STEP: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while !condition() {
        assert!(waited < LIMIT, "waited too long for {what}");
        tokio::time::sleep(STEP).await;
        waited += STEP;
    }
}
