//! The real program as a service: signals, settings, systemd's protocols.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hyper_api::client::{Client, Endpoint};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::twin::connected;

/// A daemon with a folder of its own, ended when dropped.
struct Service {
    child: Child,
    folder: TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypervisord"));
    command.env_clear().stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn write_config(folder: &Path, more: &str) {
    let text = format!(
        "state_dir = '{0}/state'\n[listen]\nsocket = '{0}/run/socket'\ntcp = []\n[auth]\ngroup = 'no such group'\n\
         start_token = '{0}/run/token'\n{more}",
        folder.display()
    );
    fs::write(folder.join("config.toml"), text).unwrap();
}

impl Service {
    fn start(more: &str, prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path(), more);
        let mut command = program();
        command.arg("-config").arg(folder.path().join("config.toml"));
        prepare(&mut command, folder.path());
        Self { child: command.spawn().unwrap(), folder }
    }

    async fn client(&self) -> Client {
        connected(&self.folder.path().join("run/socket")).await
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it with SIGTERM, and returns what it logged.
    fn end(&mut self) -> (bool, String) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut log).unwrap();
        (status.success(), log)
    }
}

fn output(args: &[&str], environment: &[(&str, &str)]) -> Output {
    program().args(args).envs(environment.iter().copied()).output().unwrap()
}

#[tokio::test]
async fn sigterm_ends_a_daemon_well_and_leaves_neither_socket_nor_token() {
    let mut service = Service::start("", |_, _| ());
    let info = service.client().await.info().await.unwrap();
    assert_eq!(info.pid, service.child.id());
    let run = service.folder.path().join("run");
    assert!(run.join("token").exists());
    let (ended_well, log) = service.end();
    assert!(ended_well, "{log}");
    assert!(log.contains("stopping"), "{log}");
    assert!(!run.join("token").exists() && !run.join("socket").exists());
}

#[tokio::test]
async fn sighup_takes_new_settings_and_keeps_the_old_ones_when_they_make_no_sense() {
    let mut service = Service::start("", |_, _| ());
    let client = service.client().await;
    let until = async |wanted: &dyn Fn(&hyper_api::Info) -> bool| {
        for _ in 0..2000 {
            if wanted(&client.info().await.unwrap()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the settings were not taken");
    };
    until(&|info| info.source.is_none()).await;
    write_config(service.folder.path(), "[source]\nurl = 'https://vc.example.org/sdk'\n");
    service.signal(Signal::HUP);
    until(&|info| info.source.as_deref() == Some("https://vc.example.org:443")).await;
    fs::write(service.folder.path().join("config.toml"), "nonsense = 3").unwrap();
    service.signal(Signal::HUP);
    write_config(service.folder.path(), "[source]\nurl = 'https://other.example.org/sdk'\n");
    service.signal(Signal::HUP);
    until(&|info| info.source.as_deref() == Some("https://other.example.org:443")).await;
    assert!(service.end().0);
}

#[tokio::test]
async fn systemd_is_told_of_the_start_the_reload_life_and_the_end() {
    let mut notifications = None;
    let mut service = Service::start("", |command, folder| {
        let path = folder.join("notify");
        notifications = Some(UnixDatagram::bind(&path).unwrap());
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000");
    });
    let notifications = notifications.unwrap();
    let until = |wanted: &str| {
        let mut buffer = [0; 4096];
        // Bounded by the watchdog's own notes, which come for as long as it lives.
        for _ in 0..10_000 {
            let length = notifications.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
        panic!("{wanted} did not come");
    };
    until("READY=1");
    until("WATCHDOG=1");
    service.signal(Signal::HUP);
    until("RELOADING=1");
    until("READY=1");
    service.signal(Signal::TERM);
    until("STOPPING=1");
    assert!(service.end().0);
}

#[tokio::test]
async fn a_socket_that_systemd_hands_over_is_used_instead_of_the_configured_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut service = Service::start("", |command, _| {
        // The socket is the first descriptor after the three standard ones, as systemd does it.
        command
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    });
    let client = connected(&path).await;
    assert_eq!(client.info().await.unwrap().pid, service.child.id());
    assert!(!service.folder.path().join("run/socket").exists());
    assert!(service.end().0);
    assert!(path.exists(), "the name is systemd's");
    drop(Client::new(Endpoint::unix(path)));
}

#[test]
fn version_example_and_check_say_what_they_are_asked() {
    let version = output(&["-version"], &[]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("hypervisord version {}\n", env!("CARGO_PKG_VERSION"))
    );
    let example = output(&["config", "example"], &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, &example.stdout).unwrap();
    let check = output(&["config", "check", "-config", file.to_str().unwrap()], &[("LOG_LEVEL", "warn")]);
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success() && text.contains("log.level = \"warn\" # LOG_LEVEL"), "{text}");
}

#[test]
fn a_start_that_cannot_work_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let older = folder.path().join("config.yaml");
    fs::write(&older, "vcenter:\n  url: https://vc\n  password: secret\n").unwrap();
    let stray = folder.path().join("stray.toml");
    fs::write(&stray, "[listen]\nadress = 3").unwrap();
    for (file, why) in [
        (older.to_str().unwrap(), "url = \"https://vc\""),
        (stray.to_str().unwrap(), "adress"),
        ("/nowhere/config.toml", "/nowhere/config.toml"),
    ] {
        let refused = output(&["-config", file], &[]);
        let text = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains(why) && !text.contains("secret"), "{text}");
    }
}
