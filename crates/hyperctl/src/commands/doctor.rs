//! `hyperctl doctor`: what is there, what is missing, and what to do next.
//!
//! Each check stands alone: one that fails ends none of the others. The exit is that of the first that matters.

use std::env;
use std::path::PathBuf;

use hyper_api::Info;
use hyper_api::client::ErrorKind;
use serde::Serialize;

use super::Session;
use crate::cli::Json;
use crate::daemon::{Daemon, Running};
use crate::escape::{escape, escape_json};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::spawn;

/// Programs that are of use, and what for.
const TOOLS: [(&str, &str); 4] = [
    ("qemu-img", "looks at disks with a second pair of eyes"),
    ("virt-v2v", "makes guests boot on KVM"),
    ("virsh", "defines and starts VMs in libvirt"),
    ("qemu-system-x86_64", "runs VMs"),
];

/// How to print it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    json: Json,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    /// Not needed for what most people do.
    Missing,
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    grade: Grade,
    /// What was found.
    found: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, grade: Grade::Ok, found: found.into(), next: None, exit: Exit::Done }
    }

    fn missing(name: &'static str, found: impl Into<String>, next: &str) -> Self {
        Self { name, grade: Grade::Missing, found: found.into(), next: Some(next.to_owned()), exit: Exit::Done }
    }

    fn failed(name: &'static str, failure: &Failure) -> Self {
        let (exit, found, next) = failure.parts();
        Self { name, grade: Grade::Failed, found: found.to_owned(), next: next.map(str::to_owned), exit }
    }
}

/// Checks everything.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let checks = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        checks = all(&session) => checks,
    };
    session.console.print(&if args.json.json { json(&checks) } else { text(&checks) });
    Ok(checks.iter().map(|check| check.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done))
}

async fn all(session: &Session) -> Vec<Check> {
    let mut checks = vec![program()];
    checks.push(match Daemon::running(&session.globals) {
        Ok(daemon) => of_machine(&daemon).await,
        Err(failure) => Check::failed("daemon", &failure),
    });
    checks.push(source(session).await);
    checks.extend(TOOLS.map(|(name, purpose)| match on_path(name) {
        Some(path) => Check::ok(name, path.display().to_string()),
        None => Check::missing(name, "not installed", &format!("install it where it is wanted: it {purpose}")),
    }));
    checks
}

/// The program that does the work for this one.
fn program() -> Check {
    match spawn::find("hypervisord", "HYPERVISORD_BIN") {
        Ok(path) => Check::ok("hypervisord", path.display().to_string()),
        Err(failure) => Check::failed("hypervisord", &failure),
    }
}

/// The daemon that was named, or this machine's. That none runs is a choice, unless one was named.
async fn of_machine(daemon: &Running) -> Check {
    match daemon.client().info().await {
        Ok(info) => Check::ok("daemon", described(daemon, &info)),
        Err(error) if error.kind() == ErrorKind::Connect && !daemon.is_named() => Check::missing(
            "daemon",
            format!("none at {}", daemon.client().endpoint()),
            "nothing, if you run single exports; `systemctl start hypervisord` for jobs that outlive this terminal",
        ),
        Err(error) => Check::failed("daemon", &daemon.explain(error)),
    }
}

fn described(daemon: &Running, info: &Info) -> String {
    format!("version {} at {}", info.version, daemon.client().endpoint())
}

/// The source: reached, trusted, logged in to, and read.
async fn source(session: &Session) -> Check {
    const NAME: &str = "source";
    let daemon = match Daemon::connect(&session.globals, session.console).await {
        Ok(daemon) => daemon,
        Err(failure) => return Check::failed(NAME, &failure),
    };
    let listed = daemon.client.vms().await;
    daemon.close().await;
    match listed {
        Ok(list) if list.total == 0 => Check::missing(
            NAME,
            "logged in, and no VM is shown",
            "check that the account has read rights (System.View) on the VMs",
        ),
        Ok(list) => Check::ok(NAME, format!("logged in; {} VMs", list.total)),
        Err(error) => Check::failed(NAME, &error.into()),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let word = match check.grade {
            Grade::Ok => "ok",
            Grade::Missing => "missing",
            Grade::Failed => "FAILED",
        };
        text.push_str(&format!("{word:<8} {:<19} {}\n", check.name, escape(&check.found)));
        if let Some(next) = &check.next {
            text.push_str(&format!("{:<28} next: {}\n", "", escape(next)));
        }
    }
    text
}

fn json(checks: &[Check]) -> String {
    // Text only; there is nothing in it that JSON cannot hold.
    let value = serde_json::json!({ "checks": checks });
    serde_json::to_string_pretty(&value).map_or_else(|_| String::new(), |text| escape_json(&text) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_says_what_was_found_and_what_to_do() {
        let failure = Failure::new(Exit::Login, "log in to https://vc: refused\u{1b}").with_hint("check GOVC_PASSWORD");
        let checks = [
            Check::ok("hypervisord", "/usr/bin/hypervisord"),
            Check::missing("virsh", "not installed", "install it"),
            Check::failed("source", &failure),
        ];
        insta::assert_snapshot!(text(&checks), @r"
        ok       hypervisord         /usr/bin/hypervisord
        missing  virsh               not installed
                                     next: install it
        FAILED   source              log in to https://vc: refused\u{1b}
                                     next: check GOVC_PASSWORD
        ");
        let read: serde_json::Value = serde_json::from_str(&json(&checks)).unwrap();
        assert_eq!(read["checks"][2]["grade"], "failed");
    }
}
