//! The unit files, judged by systemd itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The worst exposure that is taken, in tenths (`systemd-analyze security`, from 0 to 100).
const EXPOSURE_MAX: &str = "40";

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd")
}

/// Copies the units to where the program that they start is the one that was built.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["hypervisord.service", "hypervisord.socket"] {
        let text = fs::read_to_string(packaging().join(name)).unwrap();
        let text = text.replace("/usr/bin/hypervisord", env!("CARGO_BIN_EXE_hypervisord"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Runs a tool of systemd; `None`, said aloud, where it is missing.
fn run(test: &str, tool: &str, args: &[&str], folder: &Path) -> Option<String> {
    let output = match Command::new(tool).args(args).current_dir(folder).env("SYSTEMD_COLORS", "0").output() {
        Ok(output) => output,
        Err(reason) => {
            judges::skip(test, &format!("{tool}: {reason}"));
            return None;
        }
    };
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {args:?}: {}\n{text}", output.status);
    Some(text)
}

#[test]
fn the_units_are_right() {
    let args = ["verify", "--man=no", "./hypervisord.service", "./hypervisord.socket"];
    if let Some(text) = run("the_units_are_right", "systemd-analyze", &args, units().path()) {
        assert_eq!(text, "", "a warning is one as well");
    }
}

#[test]
fn the_service_is_exposed_little() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let args = ["security", "--no-pager", "--offline=true", &threshold, "./hypervisord.service"];
    if let Some(text) = run("the_service_is_exposed_little", "systemd-analyze", &args, units().path()) {
        assert!(text.contains("Overall exposure level"), "{text}");
    }
}

#[test]
fn users_and_directories_are_made() {
    let test = "users_and_directories_are_made";
    let root = tempfile::tempdir().unwrap();
    let root_arg = format!("--root={}", root.path().display());
    fs::create_dir(root.path().join("etc")).unwrap();
    let file = |name: &str| packaging().join(name).display().to_string();
    if run(test, "systemd-sysusers", &[&root_arg, &file("hypervisord.sysusers")], root.path()).is_none() {
        return;
    }
    let text = |name: &str| fs::read_to_string(root.path().join("etc").join(name)).unwrap();
    assert!(text("group").contains("hypervisord:x:") && text("passwd").contains("hypersdk:x:"));
}

#[test]
fn the_unit_and_the_defaults_name_the_same_places() {
    let defaults = hypervisord::config::Config::default();
    let read = |name: &str| fs::read_to_string(packaging().join(name)).unwrap();
    let (service, socket) = (read("hypervisord.service"), read("hypervisord.socket"));
    let (users, directories) = (read("hypervisord.sysusers"), read("hypervisord.tmpfiles"));
    let has = |text: &str, line: String| assert!(text.lines().any(|each| each == line), "{line}\nin\n{text}");
    has(&socket, format!("ListenStream={}", defaults.listen.socket.display()));
    has(&socket, format!("SocketGroup={}", defaults.auth.group));
    has(&service, format!("StateDirectory={}", defaults.state_dir.strip_prefix("/var/lib").unwrap().display()));
    has(&users, format!("g {} -", defaults.auth.group));
    assert!(users.contains(&format!("\nu {} ", defaults.exports.service_user)), "{users}");
    for root in &defaults.exports.roots {
        let line = format!("d {} 2750 {} {} -", root.display(), defaults.exports.service_user, defaults.auth.group);
        has(&directories, line);
    }
}
