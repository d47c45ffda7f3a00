//! Runs `hyperctl` in a clean environment and looks for what it leaves behind.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Polls of 10 ms: a bound for what must happen soon, far above what it takes.
const POLLS_MAX: u32 = 3000;

/// A place to run in: its directory takes all temporary files, so that what stays behind is seen.
pub(crate) struct Place {
    temporary: TempDir,
    work: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let private = || tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        Self { temporary: private(), work: private() }
    }

    /// Returns a command without any setting of the user who runs the tests.
    pub(crate) fn hyperctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperctl"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["GOVC_", "HYPER", "VCENTER_", "TMPDIR", "XDG_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        command.args(args).current_dir(self.work.path()).env("XDG_RUNTIME_DIR", self.temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end and checks that it has left no temporary file.
    pub(crate) fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let output = self.hyperctl(args).envs(environment.iter().copied()).output().unwrap();
        self.assert_clean();
        Ended::new(output)
    }

    pub(crate) fn assert_clean(&self) {
        assert!(self.leftovers().is_empty(), "{:?}", self.leftovers());
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.temporary.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A server that accepts and never says a word.
pub(crate) struct Silent {
    listener: TcpListener,
}

impl Silent {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://user:secret@{}", self.listener.local_addr().unwrap())
    }

    /// Returns once somebody has connected; the connection stays open as long as the result lives.
    pub(crate) fn caught(&self) -> std::net::TcpStream {
        self.listener.accept().unwrap().0
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Returns the one process that `parent` has started.
pub(crate) fn only_child_of(parent: &Child) -> Pid {
    let mut found = None;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let is_child = stat(number).is_some_and(|(_, parent_number)| parent_number == parent.id());
        if is_child {
            assert!(found.replace(number).is_none(), "hyperctl has started two processes");
        }
    }
    Pid::from_raw(found.expect("hyperctl has started the daemon")).unwrap()
}

/// Waits until a process is gone, or dead and only not yet collected.
pub(crate) fn wait_until_gone(pid: Pid) {
    let number = pid.as_raw_nonzero().get();
    wait_until("the daemon has ended", || stat(number).is_none_or(|(state, _)| matches!(state, 'Z' | 'X')));
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..POLLS_MAX {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain until {what}");
}

/// Returns the state and the parent of a process; `None` when there is none.
fn stat(number: i32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
