//! `hyperctl list`: which VMs the source has.
//!
//! On a terminal a table; in a pipe one line per VM: name, path, power state, CPUs, memory in MiB and
//! guest, tabs between, `-` for what is not known. `-json` is the shape that older callers read
//! (contract A.3 and `VMInfo` of B.4), with more members; what we do not know is `null`.

use hyper_api::client::Error;
use hyper_api::{Vm, VmList};
use serde::Serialize;

use super::Session;
use crate::cli::Json;
use crate::daemon::Daemon;
use crate::escape::{escape, escape_json};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::human;
use crate::table;

/// What to list, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only VMs whose name or path contains this text, in any case
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    json: Json,
}

/// Lists the VMs.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        daemon = Daemon::connect(&session.globals, session.console) => daemon?,
    };
    let listed = tokio::select! {
        biased;
        signal = session.interrupts.first() => Err(signal),
        listed = ask(&daemon, args.json.json) => Ok(listed),
    };
    daemon.close().await;
    let listed = match listed {
        Ok(listed) => listed?.vms,
        Err(signal) => return Ok(Exit::Signal(signal)),
    };
    let vms: Vec<_> = listed.into_iter().filter(|vm| matches(vm, &args.filter)).collect();
    let text = if args.json.json {
        json(&vms, &now(), None)
    } else if session.console.out_is_terminal {
        for_people(&vms)
    } else {
        table::tabbed(&vms.iter().map(plain_row).collect::<Vec<_>>())
    };
    session.console.print(&text);
    Ok(Exit::Done)
}

/// Older callers read the capacities of disks; nobody else waits for them.
pub(super) async fn ask(daemon: &Daemon, capacities: bool) -> Result<VmList, Error> {
    if capacities { daemon.client.vms_with_capacities().await } else { daemon.client.vms().await }
}

fn matches(vm: &Vm, filter: &str) -> bool {
    let filter = filter.to_lowercase();
    vm.name.to_lowercase().contains(&filter) || vm.path.to_lowercase().contains(&filter)
}

pub(super) fn for_people(vms: &[Vm]) -> String {
    if vms.is_empty() {
        return "no VMs\n".to_owned();
    }
    let rows: Vec<_> = vms.iter().map(row).collect();
    let mut text = table::aligned(&["NAME", "POWER", "CPUS", "MEMORY", "IN USE", "GUEST", "PATH"], &rows);
    text.push_str(&format!("\n{} {}\n", vms.len(), if vms.len() == 1 { "VM" } else { "VMs" }));
    text
}

fn row(vm: &Vm) -> Vec<String> {
    let kind = if vm.template { "template".to_owned() } else { state(vm) };
    vec![
        escape(&vm.name).into_owned(),
        kind,
        or_dash(vm.cpus),
        vm.memory_mib.and_then(|mib| mib.checked_mul(1 << 20)).map_or_else(dash, human::bytes),
        vm.committed_bytes.map_or_else(dash, human::bytes),
        vm.guest.as_deref().map_or_else(dash, |guest| escape(guest).into_owned()),
        escape(&vm.path).into_owned(),
    ]
}

/// A VM that its host has lost shows that, not a power state that is only remembered.
fn state(vm: &Vm) -> String {
    let state = if vm.connection_state == "connected" { &vm.power_state } else { &vm.connection_state };
    escape(state).into_owned()
}

pub(super) fn plain_row(vm: &Vm) -> Vec<String> {
    vec![
        escape(&vm.name).into_owned(),
        escape(&vm.path).into_owned(),
        escape(&vm.power_state).into_owned(),
        or_dash(vm.cpus),
        or_dash(vm.memory_mib),
        vm.guest.as_deref().map_or_else(dash, |guest| escape(guest).into_owned()),
    ]
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(number: Option<impl ToString>) -> String {
    number.map_or_else(dash, |number| number.to_string())
}

/// The older callers' `VMInfo`, and what ours adds.
#[derive(Serialize)]
struct VmInfo<'a> {
    name: &'a str,
    path: &'a str,
    power_state: &'a str,
    guest_os: &'a str,
    memory_mb: Option<u64>,
    num_cpu: Option<u32>,
    /// The sum of the disks' capacities; null for a VM whose configuration is not readable.
    storage_bytes: Option<u64>,
    committed_bytes: Option<u64>,
    connection_state: &'a str,
    template: bool,
    moref: &'a str,
    instance_uuid: Option<&'a str>,
}

#[derive(Serialize)]
struct Listing<'a> {
    timestamp: &'a str,
    total: usize,
    vms: Vec<VmInfo<'a>>,
    /// What was looked for, and where; of `grep` only.
    #[serde(flatten)]
    searched: Option<Searched<'a>>,
}

/// What a search was for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Searched<'a> {
    pub(super) field: &'a str,
    pub(super) pattern: &'a str,
}

/// Returns VMs as older callers read them.
pub(super) fn json(vms: &[Vm], timestamp: &str, searched: Option<Searched<'_>>) -> String {
    let vms: Vec<_> = vms
        .iter()
        .map(|vm| VmInfo {
            name: &vm.name,
            path: &vm.path,
            power_state: &vm.power_state,
            guest_os: vm.guest.as_deref().unwrap_or(""),
            memory_mb: vm.memory_mib,
            num_cpu: vm.cpus,
            storage_bytes: vm.capacity_bytes,
            committed_bytes: vm.committed_bytes,
            connection_state: &vm.connection_state,
            template: vm.template,
            moref: &vm.moref,
            instance_uuid: vm.instance_uuid.as_deref(),
        })
        .collect();
    let listing = Listing { timestamp, total: vms.len(), vms, searched };
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(&listing).map_or_else(|_| String::new(), |text| escape_json(&text) + "\n")
}

/// Returns the time as older callers read it (contract B.1): the local zone's numeric offset, exactly
/// six fractional digits.
pub(super) fn now() -> String {
    jiff::ZonedDateTime::now().strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(name: &str, path: &str) -> Vm {
        Vm {
            path: path.into(),
            name: name.into(),
            moref: "vm-62".into(),
            instance_uuid: Some("502b5f4c-7a55-4d4e-a1e3-5b1a6c6d0a11".into()),
            power_state: "poweredOff".into(),
            connection_state: "connected".into(),
            template: false,
            guest: Some("Debian GNU/Linux 12 (64-bit)".into()),
            cpus: Some(2),
            memory_mib: Some(4096),
            capacity_bytes: Some(40 << 30),
            committed_bytes: Some(3 << 30),
        }
    }

    fn some() -> Vec<Vm> {
        let mut template = vm("debian12", "/DC0/vm/templates/debian12");
        template.template = true;
        let mut lost = vm("evil\u{1b}[2J\n\u{202e}", "/DC0/vm/evil\u{1b}[2J\n\u{202e}");
        lost.connection_state = "inaccessible".into();
        (lost.guest, lost.cpus, lost.memory_mib, lost.instance_uuid) = (None, None, None, None);
        (lost.capacity_bytes, lost.committed_bytes) = (None, None);
        vec![vm("web/01", "/DC0/vm/web/web%2f01"), template, lost]
    }

    #[test]
    fn people_get_a_table() {
        insta::assert_snapshot!(for_people(&some()), @r"
        NAME                        POWER         CPUS  MEMORY   IN USE   GUEST                         PATH
        web/01                      poweredOff    2     4.0 GiB  3.0 GiB  Debian GNU/Linux 12 (64-bit)  /DC0/vm/web/web%2f01
        debian12                    template      2     4.0 GiB  3.0 GiB  Debian GNU/Linux 12 (64-bit)  /DC0/vm/templates/debian12
        evil\u{1b}[2J\u{a}\u{202e}  inaccessible  -     -        -        -                             /DC0/vm/evil\u{1b}[2J\u{a}\u{202e}

        3 VMs
        ");
        assert_eq!(for_people(&[]), "no VMs\n");
    }

    #[test]
    fn pipes_get_one_line_per_vm_whatever_its_name() {
        let rows: Vec<_> = some().iter().map(plain_row).collect();
        insta::assert_snapshot!(table::tabbed(&rows), @r"
        web/01	/DC0/vm/web/web%2f01	poweredOff	2	4096	Debian GNU/Linux 12 (64-bit)
        debian12	/DC0/vm/templates/debian12	poweredOff	2	4096	Debian GNU/Linux 12 (64-bit)
        evil\u{1b}[2J\u{a}\u{202e}	/DC0/vm/evil\u{1b}[2J\u{a}\u{202e}	poweredOff	-	-	-
        ");
        assert_eq!(table::tabbed(&[]), "");
    }

    #[test]
    fn json_has_the_members_that_older_callers_read() {
        insta::assert_snapshot!(json(&some()[2..], "2026-02-03T02:00:00.000000+01:00", None), @r#"
        {
          "timestamp": "2026-02-03T02:00:00.000000+01:00",
          "total": 1,
          "vms": [
            {
              "name": "evil\u001b[2J\n\u202e",
              "path": "/DC0/vm/evil\u001b[2J\n\u202e",
              "power_state": "poweredOff",
              "guest_os": "",
              "memory_mb": null,
              "num_cpu": null,
              "storage_bytes": null,
              "committed_bytes": null,
              "connection_state": "inaccessible",
              "template": false,
              "moref": "vm-62",
              "instance_uuid": null
            }
          ]
        }
        "#);
        insta::assert_snapshot!(json(&[], "2026-02-03T02:00:00.000000+01:00", None), @r#"
        {
          "timestamp": "2026-02-03T02:00:00.000000+01:00",
          "total": 0,
          "vms": []
        }
        "#);
    }

    #[test]
    fn the_filter_looks_into_name_and_path_in_any_case() {
        let vm = vm("Web/01", "/DC0/vm/Front/web%2f01");
        for (filter, found) in [("", true), ("WEB/", true), ("front", true), ("%2F", true), ("db", false)] {
            assert_eq!(matches(&vm, filter), found, "{filter:?}");
        }
    }

    #[test]
    fn the_time_has_an_offset_and_six_digits() {
        let now = now();
        let (clock, zone) = now.split_at(now.len() - 6);
        assert_eq!(clock.len(), "2026-02-03T02:00:00.000000".len(), "{now}");
        assert!(zone.starts_with(['+', '-']) && zone.as_bytes()[3] == b':', "{now}");
    }
}
