//! Signals at any moment: the VM is given back, no snapshot and nothing wrong is left, nobody stays behind.
//!
//! `HYPER2KVM_SEEDS` sets how many moments are tried; `./dev soak kill` tries many.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::programs::{Hyperctl, Run, Sim, built};

/// Moments that are tried unless `HYPER2KVM_SEEDS` says otherwise.
const SEEDS: u64 = 25;

/// Exports that run side by side, each of a VM of its own.
const LANES: u64 = 5;

/// The longest delay before the signal. An export takes some 1.5 s here, so that every phase is met:
/// the child's start, the login, the waiting lease, the copy, the end.
const DELAY_MAX_MS: u64 = 2_000;

/// One small VM for each lane, whose disk takes about a second.
fn inventory() -> String {
    let mut text = "[[datacenter]]\nname = \"DC0\"\n".to_owned();
    for lane in 0..LANES {
        text += &format!(
            "[[vm]]\npath = \"DC0/vm/vm{lane}\"\n[[vm.disk]]\nsize = \"8MiB\"\n\
             content = {{ kind = \"seeded\", seed = {lane}, fill = 0.5, compressibility = 0.5 }}\n"
        );
    }
    text
}

fn seeds() -> u64 {
    std::env::var("HYPER2KVM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// A moment that looks random and is the same for the same seed.
fn delay(seed: u64, signal: &str) -> Duration {
    let digest = Sha256::digest(format!("{signal} {seed}"));
    let number = u64::from_le_bytes(digest[..8].try_into().unwrap());
    Duration::from_millis(number % DELAY_MAX_MS)
}

#[test]
fn kill_9_at_any_moment_leaves_no_lease_no_wrong_file_and_no_child() {
    let test = "kill_9_at_any_moment_leaves_no_lease_no_wrong_file_and_no_child";
    strike(test, "KILL", &[137]);
}

#[test]
fn sigint_at_any_moment_gives_the_vm_back_and_exits_130() {
    strike("sigint_at_any_moment_gives_the_vm_back_and_exits_130", "INT", &[130]);
}

#[test]
fn sigterm_at_any_moment_gives_the_vm_back_and_exits_143() {
    strike("sigterm_at_any_moment_gives_the_vm_back_and_exits_143", "TERM", &[143]);
}

fn strike(test: &str, signal: &str, codes: &[i32]) {
    let Some(program) = built(test, "vcenter-sim") else { return };
    let sim = Sim::start(&program, &inventory(), &["--bytes-per-second", "2000000", "--fault", "initializing_ms=200"]);
    let next = AtomicU64::new(0);
    let finished = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (sim, next, finished) = (&sim, &next, &finished);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds() {
                        return;
                    }
                    finished.fetch_add(u64::from(once(sim, lane, seed, signal, codes)), Ordering::Relaxed);
                }
            });
        }
    });
    sim.until_free();
    let finished = finished.into_inner();
    assert!(finished < seeds(), "every export ended before its signal: the delays are too long");
    let summary = format!("{signal}: {} moments, {finished} exports had ended before\n", seeds());
    // Not by a macro: the harness swallows those lines of a test that passes.
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
}

/// Runs one export and strikes; returns whether it had ended before.
fn once(sim: &Sim, lane: u64, seed: u64, signal: &str, codes: &[i32]) -> bool {
    let target = tempfile::tempdir().unwrap();
    let (vm, output) = (format!("vm{lane}"), target.path().to_str().unwrap());
    // Every other one by snapshot, which is one more thing to give back.
    let by_snapshot: &[&str] = if seed.is_multiple_of(2) { &["-snapshot"] } else { &[] };
    let arguments = [&["export", &vm, "-o", output], by_snapshot].concat();
    let mut hyperctl = sim.aim(Hyperctl::new(&arguments));
    let child = hyperctl.spawn();
    std::thread::sleep(delay(seed, signal));
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let run = Run::of(child.wait_with_output().unwrap());
    hyperctl.assert_no_descendant();
    let finished = run.code() == 0;
    assert!(finished || codes.contains(&run.code()), "seed {seed}: exit {}\n{}", run.code(), run.stderr());
    check_target(target.path(), &vm, finished, seed);
    let blocked = sim.report()["soap"]["blocked_vms"].to_string();
    assert!(!blocked.contains(&format!("/{vm}\"")), "seed {seed}: {blocked}");
    // The same command brings it now, whatever the strike has left.
    if !finished && !target.path().join(format!("{vm}.ovf")).exists() {
        sim.aim(Hyperctl::new(&arguments)).run().expect(0);
        check_target(target.path(), &vm, true, seed);
    }
    finished
}

/// Nothing wrong stands under a final name, and a descriptor stands for a whole package.
fn check_target(target: &Path, vm: &str, finished: bool, seed: u64) {
    let manifest = fs::read_to_string(target.join(format!("{vm}.mf"))).unwrap_or_default();
    let descriptor = target.join(format!("{vm}.ovf")).exists();
    assert!(descriptor || !finished, "seed {seed}: exit 0 without a package");
    if descriptor {
        assert_eq!(manifest.lines().count(), 3, "seed {seed}: {manifest}");
    }
    for line in manifest.lines() {
        let (name, hash) = line.strip_prefix("SHA256(").unwrap().split_once(")= ").unwrap();
        match fs::read(target.join(name)) {
            Ok(bytes) => {
                let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(digest, hash, "seed {seed}: {name}");
            }
            // Only the descriptor may be missing: it is renamed last.
            Err(_) => assert!(!descriptor && name.ends_with(".ovf"), "seed {seed}: {name} is missing"),
        }
    }
}
