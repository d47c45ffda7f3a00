//! `export` against the simulator, from the outside.

use std::fs;

use crate::programs::{Hyperctl, Sim, built};

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

#[test]
fn one_command_brings_a_vm_out_whole() {
    let Some(program) = built("one_command_brings_a_vm_out_whole", "vcenter-sim") else { return };
    let sim = Sim::start(&program, WEB01, &[]);
    let target = tempfile::tempdir().unwrap();
    let output = target.path().to_str().unwrap();
    let run = sim.aim(Hyperctl::new(&["export", "web01", "-o", output, "--json"])).run().expect(0);
    let job = run.json();
    assert_eq!(job["state"], "completed");
    assert_eq!(job["report"]["proof"], "manifest", "{job:#}");
    let mut names: Vec<_> =
        fs::read_dir(target.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["web01-disk-0.vmdk", "web01-disk-1.vmdk", "web01-file-0.nvram", "web01.mf", "web01.ovf"]);
    assert_eq!((sim.open("leases"), sim.open("sessions")), (0, 0), "{:#}", sim.report());
}

#[test]
fn the_summary_names_vm_disks_bytes_proof_and_place() {
    let Some(program) = built("the_summary_names_vm_disks_bytes_proof_and_place", "vcenter-sim") else { return };
    let sim = Sim::start(&program, WEB01, &[]);
    let target = tempfile::tempdir().unwrap();
    let output = target.path().to_str().unwrap();
    let run = sim.aim(Hyperctl::new(&["export", "DC0/vm/web/web01", "-o", output])).run().expect(0);
    let text = run.stdout();
    for expected in ["web01", "web01-disk-0.vmdk", "manifest", "web01.ovf", output] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    assert!(!run.stderr().contains('\u{1b}') && !text.contains('\u{1b}'), "escape sequences in a pipe");
}

#[test]
fn a_running_vm_is_refused_and_comes_out_by_snapshot() {
    let Some(program) = built("a_running_vm_is_refused_and_comes_out_by_snapshot", "vcenter-sim") else { return };
    let running =
        WEB01.replace("[[vm.disk]]\nsize = \"64MiB\"", "power = \"poweredOn\"\n[[vm.disk]]\nsize = \"64MiB\"");
    let sim = Sim::start(&program, &running, &[]);
    let target = tempfile::tempdir().unwrap();
    let output = target.path().to_str().unwrap();
    let refused = sim.aim(Hyperctl::new(&["export", "web01", "-o", output])).run().expect(1);
    assert!(refused.stderr().contains("--snapshot"), "{}", refused.stderr());
    let run = sim.aim(Hyperctl::new(&["export", "web01", "-o", output, "-snapshot"])).run().expect(0);
    assert!(run.stdout().contains("Snapshot  crash-consistent"), "{}", run.stdout());
    assert!(run.stderr().contains("preparing a snapshot (crash)"), "{}", run.stderr());
    let quiesced = target.path().join("quiesced");
    let output = quiesced.to_str().unwrap();
    let run = sim.aim(Hyperctl::new(&["export", "web01", "-o", output, "-snapshot=quiesce", "-json"])).run().expect(0);
    let job = run.json();
    assert_eq!(job["spec"]["snapshot"], "quiesce");
    assert_eq!(job["report"]["snapshot"]["consistency"], "quiesced", "{job:#}");
    assert_eq!((sim.open("leases"), sim.open("sessions"), sim.open("snapshots")), (0, 0, 0), "{:#}", sim.report());
}

#[test]
fn a_password_is_in_no_argument_and_no_output() {
    let Some(program) = built("a_password_is_in_no_argument_and_no_output", "vcenter-sim") else { return };
    let sim = Sim::start(&program, WEB01, &["--bytes-per-second", "2000000"]);
    let target = tempfile::tempdir().unwrap();
    let secret = "hunter2-not-the-password";
    let mut hyperctl = sim
        .aim(Hyperctl::new(&["export", "web01", "-o", target.path().to_str().unwrap()]))
        .env("GOVC_PASSWORD", secret)
        .env("HYPERVISORD_LOG", "trace");
    let child = hyperctl.spawn();
    for pid in hyperctl.descendants() {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains(secret));
    }
    let run = crate::programs::Run::of(child.wait_with_output().unwrap()).expect(7);
    assert!(!run.stdout().contains(secret) && !run.stderr().contains(secret), "{}", run.stderr());
}

#[test]
fn a_damaged_stream_ends_with_exit_code_11_and_one_reason() {
    let Some(program) = built("a_damaged_stream_ends_with_exit_code_11_and_one_reason", "vcenter-sim") else { return };
    let fault = r#"corrupt_byte={file="disk-1.vmdk",offset=1000000}"#;
    let sim = Sim::start(&program, WEB01, &["--fault", fault]);
    let target = tempfile::tempdir().unwrap();
    let run = sim.aim(Hyperctl::new(&["export", "web01", "-o", target.path().to_str().unwrap()])).run().expect(11);
    let reasons = run.stderr().lines().filter(|line| line.contains("web01-disk-1.vmdk: ")).count();
    assert_eq!(reasons, 1, "{}", run.stderr());
    assert!(!target.path().join("web01.ovf").exists());
    assert_eq!((sim.open("leases"), sim.open("sessions")), (0, 0), "{:#}", sim.report());
}

#[test]
fn the_demo_exports_verifies_and_says_that_it_is_simulated() {
    let test = "the_demo_exports_verifies_and_says_that_it_is_simulated";
    if built(test, "vcenter-sim").is_none() {
        return;
    }
    let target = tempfile::tempdir().unwrap();
    let output = target.path().join("demo");
    let output = output.to_str().unwrap();
    let run = Hyperctl::new(&["demo", "-o", output]).run().expect(0);
    let text = run.stdout();
    for expected in ["SIMULATED", "Received", "manifest", "ok  ", "web01.ovf", output] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    Hyperctl::new(&["demo", "-o", output]).run().expect(10);
}

#[test]
fn every_command_can_speak_json() {
    let json = |arguments: &[&str]| Hyperctl::new(arguments).run().expect(0).json();
    assert_eq!(json(&["version", "--json"])["version"], env!("CARGO_PKG_VERSION"));
    assert!(json(&["completion", "-json", "bash"])["script"].as_str().unwrap().contains("hyperctl"));
    if built("every_command_can_speak_json", "vcenter-sim").is_none() {
        return;
    }
    let target = tempfile::tempdir().unwrap();
    let job = json(&["demo", "--json", "-o", target.path().join("demo").to_str().unwrap()]);
    assert_eq!((&job["state"], &job["report"]["proof"]), (&"completed".into(), &"manifest".into()));
}
