//! The real program under each fault that the simulator can play: it ends with the code that its table says,
//! tells why in one line, and the server holds nothing for it afterwards.
//!
//! What an export makes of each fault in detail is shown in `migrate` (`tests/all/faults.rs`, whose table
//! names them all); here stands one way to meet each, or two where one of them ends well.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::programs::{Hyperctl, Sim, built};

/// The page with the table of faults.
const TABLE: &str = include_str!("../../../migrate/tests/all/faults.rs");

/// Small disks, because nobody looks at their bytes here.
const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
datastores = ["datastore1", "datastore2"]
[[vm]]
path = "DC0/vm/web01"
[[vm.disk]]
size = "1 MiB"
content = { kind = "seeded", seed = 1, fill = 0.9, compressibility = 0.1 }
[[vm.disk]]
size = "2 MiB"
content = { kind = "seeded", seed = 2, fill = 0.9, compressibility = 0.1 }
[[vm]]
path = "DC0/vm/db"
power = "poweredOn"
guest_writes = 0.2
[[vm.disk]]
size = "1 MiB"
content = { kind = "seeded", seed = 3, fill = 0.5, compressibility = 0.5 }
[[vm]]
path = "DC0/vm/installer"
isos = ["[datastore1] iso/gone.iso"]
missing_isos = ["[datastore1] iso/gone.iso"]
[[vm.disk]]
size = "1 MiB"
"#;

/// Exports that run side by side: most of each is waiting.
const AT_ONCE: usize = 4;

/// One way to meet a fault.
struct Case {
    fault: &'static str,
    /// What the program is asked to do: the VM, and more arguments.
    export: &'static [&'static str],
    /// Rules, and settings as `key=value`.
    faults: Vec<String>,
    code: i32,
    /// What the program must say on standard error.
    says: &'static str,
}

const WEB01: &[&str] = &["web01"];
const SNAPSHOT: &[&str] = &["db", "--snapshot"];

/// A case of the VM that is off, under one rule.
fn case(fault: &'static str, rule: Value, code: i32, says: &'static str) -> Case {
    with(fault, WEB01, &[rule], code, says)
}

fn with(fault: &'static str, export: &'static [&'static str], rules: &[Value], code: i32, says: &'static str) -> Case {
    Case { fault, export, faults: rules.iter().map(Value::to_string).collect(), code, says }
}

fn set(fault: &'static str, export: &'static [&'static str], setting: &str, code: i32, says: &'static str) -> Case {
    Case { fault, export, faults: vec![setting.to_owned()], code, says }
}

/// Something happens at the first call of a method.
fn at(method: &str, then: &Value) -> Value {
    json!({"when": {"method": method}, "then": then, "nth": 1})
}

/// Something happens to the second disk, whenever it is asked for.
fn disk(then: &Value) -> Value {
    json!({"when": {"object": "disk-1.vmdk"}, "then": then})
}

/// Something happens to the second disk the first time.
fn once(then: &Value) -> Value {
    json!({"when": {"object": "disk-1.vmdk"}, "then": then, "nth": 1})
}

/// Something is done in the middle of the second disk.
fn amid(then: &Value) -> Value {
    json!({"when": {"object": "disk-1.vmdk", "at_byte": 300_000}, "then": then, "nth": 1})
}

fn fault(kind: &str, message: &str) -> Value {
    let fields = if kind == "SystemError" { json!({"reason": "r"}) } else { json!({}) };
    json!({"fault": {"type": kind, "message": message, "fields": fields}})
}

fn calls() -> Vec<Case> {
    let (kill, busy) = (json!({"kill_session": true}), json!({"answer": {"status": 503}}));
    let changed =
        [at("HttpNfcLeaseGetManifest", &json!({"password_changed": true})), at("HttpNfcLeaseGetManifest", &kill)];
    let too_many = json!({"then": {"busy": {"above": 0, "of": "sessions"}}});
    vec![
        case("F1", at("ExportVm", &kill), 0, ""),
        case("F1", at("HttpNfcLeaseGetManifest", &kill), 1, "again"),
        with("F2", WEB01, &changed, 7, "log in"),
        case("F4", at("RetrievePropertiesEx", &busy), 0, ""),
        case("F4", too_many, 8, "503"),
        case("F22", json!({"then": {"deny": "VApp.Export"}}), 5, "VApp.Export"),
        case(
            "F23",
            at("ExportVm", &fault("RestrictedVersion", "the licence prohibits it")),
            5,
            "the licence prohibits it",
        ),
        case("F27", at("CreateDescriptor", &fault("SystemError", "no memory left")), 1, "no memory left"),
        case("F28", at("RetrievePropertiesEx", &json!({"xml": "html"})), 1, "RetrievePropertiesEx"),
        case("F30", json!({"when": {"method": "*"}, "then": {"clock_skew_s": 1_000_000_000}}), 0, ""),
    ]
}

fn streams() -> Vec<Case> {
    let head = json!({"when": {"http": "HEAD"}, "then": {"edit": {"status": 405}}});
    let part = json!({"edit": {"status": 206, "headers": {"content-range": "bytes 0-99/100"}, "body_bytes": 100}});
    let nvram = json!({"when": {"object": "file-0.nvram"}, "then": {"trickle": {"bytes_per_second": 4000}}});
    vec![
        case("F3", disk(&json!({"answer": {"status": 403}})), 5, "403"),
        case("F5", once(&json!({"answer": {"status": 500}})), 0, ""),
        case("F5", disk(&json!({"answer": {"status": 500}})), 8, "500"),
        case("F6", once(&json!({"reset_at": 300_000})), 0, ""),
        case("F6", disk(&json!({"end_at": 300_000})), 11, "disk-1.vmdk"),
        // Shorter than the limit, which is two minutes.
        case("F7", once(&json!({"stall": {"at": 300_000, "ms": 2000}})), 0, ""),
        case("F8", nvram, 0, ""),
        case("F9", disk(&part), 1, "206"),
        // Nobody asks, so nobody is told a lie.
        case("F10", head, 0, ""),
        case("F12", disk(&json!({"flip_at": 70_001})), 11, "disk-1.vmdk"),
        case("F12", disk(&json!({"manifest": "hash"})), 11, "disk-1.vmdk"),
        case("F14", disk(&json!({"vmdk": "no_footer"})), 11, "disk-1.vmdk"),
    ]
}

fn leases_and_hosts() -> Vec<Case> {
    let lease = |becomes: &str| json!({"lease": {"becomes": becomes}});
    let closed = json!({"close_listener": {"listener": "esx1.sim.invalid", "ms": 60_000}});
    let esx1 = json!({"listener": "esx1.sim.invalid"});
    let crowd = [
        json!({"when": esx1, "then": {"busy": {"above": 1, "of": "streams"}}}),
        json!({"when": {"path": "/nfc/*"}, "then": {"stall": {"at": 5000, "ms": 4000}}, "nth": 1}),
    ];
    vec![
        case("F13", at("ExportVm", &lease("error")), 1, "/DC0/vm/web01"),
        case("F13", amid(&lease("timed_out")), 1, "lease"),
        case("F13", amid(&lease("gone")), 1, "lease"),
        case("F15", json!({"then": {"lease_url": {"host": "esx7.sim.invalid"}}}), 8, "esx7.sim.invalid"),
        case("F15", json!({"when": esx1, "then": {"certificate": "other"}}), 9, "certificate"),
        case("F29", json!({"when": esx1, "then": {"handshake_stall_ms": 60_000}, "nth": 1}), 0, ""),
        case("F29", at("HttpNfcLeaseSetManifestChecksumType", &closed), 8, "connect"),
        case("F29", at("ExportVm", &fault("InvalidState", "the host is in maintenance mode")), 1, "maintenance mode"),
        with("F31", WEB01, &crowd, 0, ""),
    ]
}

fn vms() -> Vec<Case> {
    let late = json!({"task": {"fails": fault("SystemError", "the datastore went away")["fault"]}});
    vec![
        with("F17", SNAPSHOT, &[at("CreateSnapshot_Task", &late)], 1, "the datastore went away"),
        case("F19", amid(&json!({"move_vm": {"datastore": "datastore2"}})), 0, ""),
        case("F19", amid(&json!({"move_vm": {"lease_fails": true}})), 1, "lease"),
        case("F20", amid(&json!({"power": {"state": "on"}})), 1, "poweredOn"),
        with("F21", &["installer"], &[], 1, "[datastore1] iso/gone.iso"),
        set("F24", &["db", "--snapshot=quiesce"], "quiesce_fault=true", 1, "--snapshot=crash"),
        set("F24", SNAPSHOT, "snapshot_no_space=true", 1, "datastore1"),
        set("F25", SNAPSHOT, "consolidation_needed_after_remove=true", 0, "consolidation"),
        with("F32", &["many"], &[], 0, ""),
        with("F32", &["many", "--snapshot"], &[], 0, ""),
    ]
}

/// Returns the inventory with one more VM: eleven disks below twelve snapshots.
fn inventory() -> String {
    let disk = "[[vm.disk]]\nsize = \"64 KiB\"\ncontent = { kind = \"seeded\", seed = 9, fill = 1.0, compressibility = 0.5 }\n";
    let snapshots: String = (1..=12).map(|number| format!("[[vm.snapshot]]\nname = \"night {number}\"\n")).collect();
    format!("{INVENTORY}[[vm]]\npath = \"DC0/vm/many\"\nguest_writes = 0.5\n{}{snapshots}", disk.repeat(11))
}

/// Runs the program once and checks its end.
fn play(program: &Path, inventory: &str, case: &Case) {
    let what = format!("{} {:?} {:?}", case.fault, case.export, case.faults);
    let arguments: Vec<&str> = case.faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    let sim = Sim::start(program, inventory, &arguments);
    let target = tempfile::tempdir().unwrap();
    let mut command = vec!["export", "-o", target.path().to_str().unwrap()];
    command.extend(case.export);
    let run = sim.aim(Hyperctl::new(&command)).env("GOVC_TLS_HANDSHAKE_TIMEOUT", "2s").run();
    let said = run.stderr();
    assert_eq!(run.code(), case.code, "{what}: {said}");
    assert!(said.contains(case.says), "{what}: no {:?} in: {said}", case.says);
    let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, usize::from(case.code != 0), "{what}: {said}");
    let names = fs::read_dir(target.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let finished: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    assert_eq!(finished.iter().any(|name| name.ends_with(".ovf")), case.code == 0, "{what}: {finished:?}");
    assert!(case.code == 0 || finished.is_empty(), "{what}: {finished:?}");
    let report = sim.report();
    for held in ["leases", "sessions", "snapshots", "views", "tasks"] {
        assert_eq!(report["soap"]["open"][held], 0, "{what}: {held} in {report:#}");
    }
    assert_eq!(report["soap"]["blocked_vms"], json!([]), "{what}");
    assert_eq!(report["credentials_leaked_to_host"], 0, "{what}");
    // A fault that did not happen proves nothing.
    let struck = report["faults_struck"].as_object().unwrap().len();
    let expected = if case.fault == "F10" { 0 } else { case.faults.len() };
    assert!(struck >= expected, "{what}: {:#}", report["faults_struck"]);
}

#[test]
fn under_each_fault_the_program_ends_with_the_code_of_its_table_and_leaves_nothing_on_the_server() {
    let test = "under_each_fault_the_program_ends_with_the_code_of_its_table_and_leaves_nothing_on_the_server";
    let (Some(program), Some(_)) = (built(test, "vcenter-sim"), built(test, "hypervisord")) else { return };
    let inventory = inventory();
    let cases: Vec<Case> = [calls(), streams(), leases_and_hosts(), vms()].into_iter().flatten().collect();
    let queue = Mutex::new(cases.iter());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    // The lock is gone before the case is played.
                    let next = queue.lock().unwrap().next();
                    let Some(case) = next else { return };
                    play(&program, &inventory, case);
                }
            });
        }
    });
}

#[test]
fn every_fault_of_the_table_is_played_to_the_program() {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("//! | F"));
    let numbers = |row: &str| -> Vec<String> {
        let first = format!("F{}", row.split('|').next().unwrap());
        let words = first.split(|c: char| !c.is_ascii_alphanumeric());
        let is_fault = |word: &&str| word.strip_prefix('F').is_some_and(|rest| rest.parse::<u32>().is_ok());
        words.filter(is_fault).map(str::to_owned).collect()
    };
    let known: BTreeSet<String> = rows.flat_map(numbers).collect();
    let cases = [calls(), streams(), leases_and_hosts(), vms()].into_iter().flatten();
    let played: BTreeSet<String> = cases.map(|case| case.fault.to_owned()).collect();
    assert!(known.len() > 20, "{known:?}");
    assert_eq!(played, known);
}
