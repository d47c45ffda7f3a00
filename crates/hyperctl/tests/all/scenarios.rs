//! Worlds that break tools, by the real program: names that lie, and VMs that cannot be exported.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::programs::{Hyperctl, Run, Sim, built, scenario};

/// Cells of a row that `list` prints into a pipe.
const CELLS: usize = 6;

/// Returns the paths of an inventory's VMs as they stand there.
fn paths(inventory: &str) -> Vec<String> {
    // The strings of these files are JSON's as well, but for characters beyond the first plane.
    let path = |line: &str| serde_json::from_str(&line.strip_prefix("path = ")?.replace("\\U0001F980", "🦀")).ok();
    inventory.lines().filter_map(path).collect()
}

/// Returns a path as `hyperctl` shows it: absolute, and without what XML cannot hold.
fn shown(path: &str) -> String {
    let sendable = |c: char| if c < ' ' && !matches!(c, '\t' | '\n' | '\r') { '\u{fffd}' } else { c };
    format!("/{}", path.chars().map(sendable).collect::<String>())
}

/// Takes back what the program has written as `\u{…}`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_once('}').unwrap();
        plain.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
        plain.push_str(rest);
    }
    plain
}

/// Exports a VM and returns how that ended.
fn export(sim: &Sim, vm: &str, output: &Path) -> Run {
    sim.aim(Hyperctl::new(&["export", "-json", "-o", output.to_str().unwrap(), "--", vm])).run()
}

/// Returns the SHA-256 of the guest's bytes in a disk file, as qemu-img reads them.
fn guest_sha256(qemu_img: &Path, disk: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    let output = Command::new(qemu_img).args(["convert", "-f", "vmdk", "-O", "raw"]).args([disk, &raw]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}: {output:?}", disk.display());
    Sha256::digest(fs::read(&raw).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that every disk of an export that went well is in `output` and holds the bytes of its VM.
fn assert_disks(qemu_img: &Path, sim: &Sim, job: &Value, vm: &str, output: &Path, count: usize) {
    let files = job["report"]["files"].as_array().unwrap();
    let disks: Vec<&str> = files
        .iter()
        .filter(|file| file["capacity_bytes"].is_u64())
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(disks.len(), count, "{vm:?}: {job:#}");
    for (index, name) in disks.iter().enumerate() {
        assert!(!name.contains('/') && !name.starts_with(['.', '-']), "{vm:?}: {name:?}");
        assert_eq!(guest_sha256(qemu_img, &output.join(name)), sim.disk_sha256(vm, index), "{vm:?} disk {index}");
    }
}

fn names(directory: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_hostile_name_is_one_line_of_text_and_one_value_of_json() {
    let Some(program) = built("every_hostile_name_is_one_line_of_text_and_one_value_of_json", "vcenter-sim") else {
        return;
    };
    let inventory = scenario(&program, "hostile-names");
    let expected: BTreeSet<String> = paths(&inventory).iter().map(|path| shown(path)).collect();
    assert_eq!(expected.len(), inventory.matches("[[vm]]").count());
    let sim = Sim::start(&program, &inventory, &[]);
    let text = sim.aim(Hyperctl::new(&["list"])).run().expect(0).stdout();
    let mut listed = BTreeSet::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells.len(), CELLS, "{line:?}");
        let unsafe_char = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}');
        assert!(!line.contains(unsafe_char), "{line:?}");
        listed.insert(unescaped(cells[1]));
    }
    assert_eq!((text.lines().count(), &listed), (expected.len(), &expected));
    let run = sim.aim(Hyperctl::new(&["list", "-json"])).run().expect(0);
    assert!(!run.stdout().contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{}", run.stdout());
    let json = run.json();
    let vms = json["vms"].as_array().unwrap();
    let listed: BTreeSet<String> = vms.iter().map(|vm| vm["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!((vms.len(), json["total"].as_u64(), listed), (expected.len(), Some(28), expected));
    assert_eq!(sim.open("sessions"), 0, "{:#}", sim.report());
}

#[test]
fn vms_of_hostile_names_come_out_into_one_directory_and_touch_nothing_beside_it() {
    let test = "vms_of_hostile_names_come_out_into_one_directory_and_touch_nothing_beside_it";
    let (Some(program), Some(qemu_img)) = (built(test, "vcenter-sim"), judges::qemu_img(test)) else { return };
    let inventory = scenario(&program, "hostile-names");
    let sim = Sim::start(&program, &inventory, &[]);
    let parent = tempfile::tempdir().unwrap();
    let output = parent.path().join("a/b/out");
    fs::create_dir_all(&output).unwrap();
    let around = || [names(parent.path()), names(&parent.path().join("a")), names(&parent.path().join("a/b"))];
    let before = around();
    let lab = "Ünï & <Lab>/DC 0/vm";
    let long = paths(&inventory).into_iter().find(|path| path.ends_with(&"x".repeat(300))).unwrap();
    let odd = ["two\nlines", "..%2f..%2f..%2fetc%2fpasswd", "..", ".hidden", "-rf", "$(reboot)`reboot`;reboot"];
    let mut vms: Vec<String> = odd.map(|name| format!("{lab}/{name}")).into();
    // Those of one name get names of their own.
    vms.extend([long, format!("{lab}/equal/twin"), format!("{lab}/other/twin"), "DC1/vm/equal/twin".to_owned()]);
    for vm in &vms {
        let there = names(&output);
        let job = export(&sim, &format!("/{vm}"), &output).expect(0).json();
        assert_eq!(job["report"]["vm_path"], format!("/{vm}"));
        assert_disks(&qemu_img, &sim, &job, vm, &output, 1);
        let after = names(&output);
        assert!(there.is_subset(&after) && after.len() == there.len() + 4, "{vm:?}: {after:?}");
        assert_eq!(around(), before, "{vm:?}");
    }
    assert_eq!((sim.open("leases"), sim.open("sessions")), (0, 0), "{:#}", sim.report());
}

#[test]
fn what_cannot_be_exported_says_so_in_one_line_before_the_server_is_asked_for_a_byte() {
    let test = "what_cannot_be_exported_says_so_in_one_line_before_the_server_is_asked_for_a_byte";
    let (Some(program), Some(qemu_img)) = (built(test, "vcenter-sim"), judges::qemu_img(test)) else { return };
    let sim = Sim::start(&program, &scenario(&program, "every-disk"), &[]);
    let target = tempfile::tempdir().unwrap();
    for (vm, reason, hint) in [
        ("states/encrypted", "the VM is encrypted", "decrypt it"),
        ("raw/physical", "is a raw device in physical mode", "detach that disk"),
        ("states/missing-iso", "the image [datastore2] iso/gone.iso", "put [datastore2] iso/gone.iso back"),
        ("states/orphaned", "the VM is orphaned", "bring its host back"),
        ("states/inaccessible", "the VM is inaccessible", "bring its host back"),
    ] {
        let output = target.path().join(vm.replace('/', "-"));
        let vm = format!("/DC0/vm/{vm}");
        let arguments = ["export", &vm, "-o", output.to_str().unwrap()];
        let run = sim.aim(Hyperctl::new(&arguments)).run().expect(1);
        let said = run.stderr();
        let with = |start: &str| said.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
        let ([error], [advice]) = (&with("error: ")[..], &with("hint: ")[..]) else { panic!("{vm}: {said}") };
        assert!(error.contains(&vm) && error.contains(reason), "{vm}: {said}");
        assert!(advice.contains(hint), "{vm}: {said}");
        assert_eq!(run.stdout(), "", "{vm}");
        let report = sim.report();
        assert_eq!(report["soap"]["calls"]["ExportVm"], Value::Null, "{vm}: {report:#}");
        assert_eq!(report["files"]["bytes"], 0, "{vm}: {report:#}");
        assert!(!output.exists() || names(&output).is_empty(), "{vm}: {:?}", names(&output));
        assert_eq!(sim.open("sessions"), 0, "{vm}");
    }
    for (calls, (vm, disks)) in
        (1_u64..).zip([("states/template", 1), ("states/no-disk", 0), ("raw/virtual", 1), ("contents/all", 5)])
    {
        let output = target.path().join(vm.replace('/', "-"));
        let path = format!("DC0/vm/{vm}");
        let job = export(&sim, &format!("/{path}"), &output).expect(0).json();
        assert_disks(&qemu_img, &sim, &job, &path, &output, disks);
        // What was absent above is counted where it happens.
        assert_eq!(sim.report()["soap"]["calls"]["ExportVm"], calls, "{vm}");
    }
}
