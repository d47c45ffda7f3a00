//! The real programs, started as a user starts them, and what the system knows of them afterwards.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for something that has to happen; never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a program that the workspace builds beside `hyperctl`.
pub(crate) fn built(test: &str, name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_hyperctl")).with_file_name(name);
    if !path.exists() {
        judges::skip(test, &format!("{name} is not built; run `cargo build --workspace --bins` first"));
        return None;
    }
    Some(path)
}

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A `hyperctl` command with a clean environment and a mark by which its descendants are found.
pub(crate) struct Hyperctl {
    pub(crate) command: Command,
    mark: String,
    /// Home, runtime directory and everything else that it may write to, as long as this lives.
    _home: tempfile::TempDir,
}

impl Hyperctl {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mark = format!("HYPER2KVM_TEST_MARK={}", home.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperctl"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env("HYPER2KVM_TEST_MARK", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command, mark, _home: home }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> Run {
        let output = self.command.output().unwrap();
        self.assert_no_descendant();
        Run { output }
    }

    pub(crate) fn spawn(&mut self) -> Child {
        self.command.spawn().unwrap()
    }

    /// Every process that inherited the mark is gone, or goes soon.
    pub(crate) fn assert_no_descendant(&self) {
        until("the end of every descendant", || self.descendants().is_empty().then_some(()));
    }

    pub(crate) fn descendants(&self) -> Vec<u32> {
        let marked = |pid: &u32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap();
        entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).filter(marked).collect()
    }
}

/// What a finished command left.
pub(crate) struct Run {
    output: Output,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self { output }
    }

    /// Returns the exit code, or 128 + n for a signal.
    pub(crate) fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.output.status;
        status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout()).unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }

    /// Panics with both outputs unless the command ended like this.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
        self
    }
}

/// Returns the inventory of a scenario that `vcenter-sim` comes with.
pub(crate) fn scenario(program: &Path, name: &str) -> String {
    let output = Command::new(program).args(["--print-scenario", name]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A running `vcenter-sim`; it ends with the test.
pub(crate) struct Sim {
    child: Child,
    ready: Value,
    folder: tempfile::TempDir,
}

impl Sim {
    /// Starts it over an inventory (TOML) with more arguments.
    pub(crate) fn start(program: &Path, inventory: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inventory.toml");
        fs::write(&file, inventory).unwrap();
        let ready = folder.path().join("ready.json");
        let child = Command::new(program)
            .arg("--inventory")
            .arg(&file)
            .arg("--ready-file")
            .arg(&ready)
            .arg("--exit-on-stdin-eof")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ready = until("the simulator", || serde_json::from_str(&fs::read_to_string(&ready).ok()?).ok());
        let sim = Self { child, ready, folder };
        // Written once: commands that run side by side read it.
        let address = sim.text("url").trim_start_matches("https://").trim_end_matches("/sdk");
        fs::write(sim.known_hosts(), format!("{address} {}\n", sim.text("sha256_thumbprint"))).unwrap();
        sim
    }

    fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("{key} in {}", self.ready))
    }

    /// Points a command at this simulator, with its certificate pinned.
    pub(crate) fn aim(&self, hyperctl: Hyperctl) -> Hyperctl {
        hyperctl
            .env("GOVC_URL", self.text("url"))
            .env("GOVC_USERNAME", self.text("username"))
            .env("GOVC_PASSWORD", self.text("password"))
            .env("GOVC_TLS_KNOWN_HOSTS", self.known_hosts())
    }

    /// Returns what the simulator has seen.
    pub(crate) fn report(&self) -> Value {
        self.get("/report")
    }

    /// Returns how many leases, sessions or snapshots of ours are open.
    pub(crate) fn open(&self, what: &str) -> u64 {
        let report = self.report();
        report["soap"]["open"][what].as_u64().unwrap_or_else(|| panic!("{what} in {report:#}"))
    }

    /// Waits until the server holds nothing of us; a killed client's child needs a moment for it.
    pub(crate) fn until_free(&self) {
        until("the end of every lease", || (self.open("leases") == 0).then_some(()));
        until("the end of every snapshot", || (self.open("snapshots") == 0).then_some(()));
        until("the end of every session", || (self.open("sessions") == 0).then_some(()));
    }

    /// Returns the SHA-256 of the guest's bytes on a disk, by the VM's path in the inventory.
    pub(crate) fn disk_sha256(&self, vm: &str, disk: usize) -> String {
        let vm: String = vm.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.get(&format!("/disks/sha256?vm={vm}&disk={disk}"))["sha256"].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> Value {
        let address = self.text("control").trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{reply}");
        // Chunked or not, the document is what lies between the outermost braces.
        let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _status = self.child.wait();
    }
}
