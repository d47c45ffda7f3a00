//! `grep`, `vm`, `doctor`, and exports that change their source, from the outside.

use std::fs;

use crate::programs::{Hyperctl, Sim, built};

const LAB: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/web/web01"
power = "poweredOn"
shutdown_s = 0.1
isos = ["[datastore1] iso/tools.iso"]
[[vm.disk]]
size = "4MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
[[vm.disk]]
size = "2MiB"
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }
[[vm]]
path = "DC0/vm/db/Web-DB"
"#;

fn hyperctl(sim: &Sim, args: &[&str]) -> Hyperctl {
    sim.aim(Hyperctl::new(args))
}

#[test]
fn grep_finds_by_part_and_expression_and_nothing_found_is_an_answer() {
    let Some(program) = built("grep_finds_by_part_and_expression_and_nothing_found_is_an_answer", "vcenter-sim") else {
        return;
    };
    let sim = Sim::start(&program, LAB, &[]);
    for (args, expected) in [
        (&["grep", "web", "-l"][..], "web01\n"),
        (&["grep", "-i", "web", "-l"], "Web-DB\nweb01\n"),
        (&["grep", "-E", "^web[0-9]+$", "-c"], "1\n"),
        (&["grep", "-v", "web", "-l"], "Web-DB\n"),
        (&["grep", "-f", "power", "poweredOn", "-l"], "web01\n"),
        (&["grep", "-f=path", "/db/", "-l"], "Web-DB\n"),
        (&["grep", "nothing"], ""),
        (&["grep", "nothing", "-c"], "0\n"),
    ] {
        let run = hyperctl(&sim, args).run().expect(0);
        assert_eq!(run.stdout(), expected, "{args:?}");
    }
    let json = hyperctl(&sim, &["grep", "web", "-json"]).run().expect(0).json();
    assert_eq!((&json["total"], &json["field"], &json["pattern"]), (&1.into(), &"name".into(), &"web".into()));
    assert_eq!(json["vms"][0]["name"], "web01");
    let none = hyperctl(&sim, &["grep", "nothing", "-json"]).run().expect(0).json();
    assert_eq!(none["vms"], serde_json::json!([]));
}

#[test]
fn a_vm_is_looked_at_shut_down_and_loses_its_drives() {
    let Some(program) = built("a_vm_is_looked_at_shut_down_and_loses_its_drives", "vcenter-sim") else { return };
    let sim = Sim::start(&program, LAB, &[]);
    let info = hyperctl(&sim, &["vm", "-op", "info", "-path", "web01"]).run().expect(0);
    for row in ["| Power State    | poweredOn", "| Storage        | 6.0 MiB", "| Disk 1 ", "iso/tools.iso"] {
        assert!(info.stdout().contains(row), "{row} in:\n{}", info.stdout());
    }
    // IDE drives come and go only while the VM is off.
    hyperctl(&sim, &["vm", "-op", "remove-cdrom", "-path", "web01"]).run().expect(1);
    let down = hyperctl(&sim, &["vm", "-op", "shutdown", "-path", "web01", "-timeout", "60"]).run().expect(0);
    assert_eq!(down.stdout(), "/DC0/vm/web/web01: shut down\n");
    let again = hyperctl(&sim, &["vm", "-op", "poweroff", "-path", "/DC0/vm/web/web01"]).run().expect(0);
    assert_eq!(again.stdout(), "/DC0/vm/web/web01: already off\n");
    hyperctl(&sim, &["vm", "-op", "remove-cdrom", "-path", "web01"]).run().expect(0);
    let info = hyperctl(&sim, &["vm", "-op", "info", "-path", "web01", "-json"]).run().expect(0).json();
    assert_eq!((&info["vm"]["power_state"], &info["drives"]), (&"poweredOff".into(), &serde_json::json!([])));
    hyperctl(&sim, &["vm", "-op", "info", "-path", "nowhere"]).run().expect(4);
    assert_eq!((sim.open("leases"), sim.open("sessions")), (0, 0), "{:#}", sim.report());
}

#[test]
fn a_running_vm_is_shut_down_and_exported_without_one_disk_and_its_drives() {
    let test = "a_running_vm_is_shut_down_and_exported_without_one_disk_and_its_drives";
    let Some(program) = built(test, "vcenter-sim") else { return };
    let sim = Sim::start(&program, LAB, &[]);
    let target = tempfile::tempdir().unwrap();
    let output = target.path().to_str().unwrap();
    let args = ["export", "web01", "-o", output, "-shutdown=60s", "-eject-cdrom", "-remove-cdrom", "-disk", "1"];
    let run = hyperctl(&sim, &args).run().expect(0);
    assert!(run.stderr().contains("stays off") && run.stderr().contains("without"), "{}", run.stderr());
    let mut names: Vec<_> =
        fs::read_dir(output).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["web01-disk-1.vmdk", "web01-file-0.nvram", "web01.mf", "web01.ovf"]);
    let info = hyperctl(&sim, &["vm", "-op", "info", "-path", "web01", "-json"]).run().expect(0).json();
    assert_eq!(info["vm"]["power_state"], "poweredOff");
    assert_eq!(info["drives"][0]["medium"], "[datastore1] iso/tools.iso", "it is back");
    assert_eq!((sim.open("leases"), sim.open("sessions")), (0, 0), "{:#}", sim.report());
}

#[test]
fn the_doctor_says_what_is_there_and_what_to_do() {
    let Some(program) = built("the_doctor_says_what_is_there_and_what_to_do", "vcenter-sim") else { return };
    let sim = Sim::start(&program, LAB, &[]);
    let run = hyperctl(&sim, &["doctor"]).run().expect(0);
    for word in ["ok       hypervisord", "daemon", "ok       source", "2 VMs"] {
        assert!(run.stdout().contains(word), "{word} in:\n{}", run.stdout());
    }
    let wrong = hyperctl(&sim, &["doctor", "-json"]).env("GOVC_PASSWORD", "wrong").run().expect(7).json();
    let checks = wrong["checks"].as_array().unwrap();
    let source = checks.iter().find(|check| check["name"] == "source").unwrap();
    assert_eq!(source["grade"], "failed");
    assert!(source["next"].as_str().unwrap().contains("GOVC_PASSWORD"), "{source}");
}
