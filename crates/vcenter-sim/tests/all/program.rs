//! The simulator as a program.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::Method;
use serde_json::Value;

use crate::client::Client;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vcenter-sim");

/// Starts the program and waits until it says that it listens.
fn start(directory: &Path, flags: &[&str]) -> (Child, String, Value) {
    let ready = directory.join("ready.json");
    let mut child = Command::new(PROGRAM)
        .args(flags)
        .arg("--exit-on-stdin-eof")
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(5);
    let said = lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
    // Written right after the last line.
    while !ready.exists() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    (child, said, serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap())
}

fn control_addr(ready: &Value) -> std::net::SocketAddr {
    ready["control"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn it_says_what_it_is_and_where_and_stops_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, said, ready) = start(
        directory.path(),
        &["--bytes-per-second", "5000", "--fault", "progress_fails=2", "--fault", "corrupt_byte={file='*',offset=1}"],
    );
    assert!(said.contains("SIMULATED"), "{said}");
    assert!(said.contains(ready["url"].as_str().unwrap()), "{said}");
    assert_eq!(ready["pid"], child.id());
    for key in ["username", "password", "sha1_thumbprint", "sha256_thumbprint", "certificate"] {
        assert!(ready[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    let mut control = Client::plain(control_addr(&ready)).await;
    let faults = control.get("/faults").await.json();
    assert_eq!(faults["bytes_per_second"], 5000);
    assert_eq!(faults["progress_fails"], 2);
    assert_eq!(faults["corrupt_byte"]["offset"], 1);
    control.send(Method::POST, "/shutdown", &[], "").await.whole();
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_stops_when_its_parent_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, _, _) = start(directory.path(), &["--scenario", "demo"]);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_lists_its_scenarios_and_prints_each_as_a_file_that_it_takes() {
    let say = |flags: &[&str]| {
        let output = Command::new(PROGRAM).args(flags).output().unwrap();
        assert!(output.status.success(), "{flags:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = say(&["--list-scenarios"]);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["small-office", "demo", "10k", "hostile-names", "every-disk", "esxi"]);
    for name in names {
        let printed = say(&["--print-scenario", name]);
        let inventory = vcenter_sim::Inventory::parse(&printed, Path::new(".")).unwrap();
        assert_eq!(inventory.vms.len(), vcenter_sim::Inventory::scenario(name).unwrap().vms.len(), "{name}");
    }
}

#[test]
fn it_is_an_esxi_host_when_told_so_and_says_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, said, ready) = start(directory.path(), &["--esxi"]);
    assert!(said.contains("SIMULATED ESXi host"), "{said}");
    assert_eq!(ready["username"], "root");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let refused = Command::new(PROGRAM).args(["--esxi", "--scenario", "small-office"]).output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("ha-datacenter"), "{why}");
}

#[test]
fn what_it_cannot_do_it_refuses_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let inventory = directory.path().join("inventory.toml");
    std::fs::write(&inventory, "[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC1/vm/x\"\n").unwrap();
    let inventory = inventory.to_str().unwrap();
    for (flags, word) in [
        (&["--inventory", inventory][..], "DC1/vm/x"),
        (&["--inventory", "/nonexistent.toml"], "/nonexistent.toml"),
        (&["--scenario", "nothing"], "`nothing`"),
        (&["--listen", "0.0.0.0:0"], "loopback"),
        (&["--fault", "nonsense=1"], "nonsense"),
        (&["--fault", "progress_fails"], "progress_fails"),
    ] {
        let output = Command::new(PROGRAM).args(flags).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn rules_come_from_files_and_flags_and_a_profile_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (toml, json) = (directory.path().join("a.toml"), directory.path().join("b.json"));
    std::fs::write(&toml, "[[rule]]\nname = \"a\"\nthen = { delay_ms = 1 }\n").unwrap();
    std::fs::write(&json, r#"[{"name": "b", "then": {"reset": true}, "nth": 9}]"#).unwrap();
    let flags = ["--profile", "esxi-folder", "--rules", toml.to_str().unwrap(), "--rules", json.to_str().unwrap()];
    let rule = ["--fault", r#"{"name": "c", "when": {"method": "ExportVm"}, "then": {"deny": "VApp.Export"}}"#];
    let (mut child, _, ready) = start(directory.path(), &[flags.as_slice(), &rule].concat());
    let mut control = Client::plain(control_addr(&ready)).await;
    let rules = control.get("/rules").await.json();
    let names: Vec<&str> = rules.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(control.get("/faults").await.json()["profile"], "esxi-folder");
    control.send(Method::POST, "/shutdown", &[], "").await.whole();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_rule_that_cannot_strike_stops_the_start_with_what_is_possible() {
    for (flags, words) in [
        (["--fault", r#"{"then": {"explode": true}}"#], "close_listener"),
        (["--fault", r#"{"when": {"listener": "esx9"}, "then": {"reset": true}}"#], "there are: vcenter, "),
        (["--rules", "/nonexistent/rules.toml"], "cannot read the rules"),
        (["--profile", "warp"], "nfc-25"),
    ] {
        let output = Command::new(PROGRAM).args(flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(words), "{flags:?}: {said}");
    }
}
