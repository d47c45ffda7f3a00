//! `hyperctl vm -op OP -path VM`: look at one VM, shut it down, power it off, or remove its CD/DVD drives.

use hyper_api::{VmDetail, VmOperation, VmRequest};

use super::Session;
use crate::cli::Json;
use crate::daemon::Daemon;
use crate::escape::{escape, escape_json};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{goflags, human, rows};

/// What to do, and to which VM.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do
    #[arg(long, value_name = "shutdown|poweroff|remove-cdrom|info", value_parser = operation, required = true)]
    op: VmOperation,
    /// Inventory path (/DC/vm/folder/name), or a name that fits exactly one VM
    #[arg(long, value_name = "VM", required = true)]
    path: String,
    /// Seconds that a guest may take to shut down; 0 is the default
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = timeout, allow_hyphen_values = true)]
    timeout: u64,
    #[command(flatten)]
    json: Json,
}

fn operation(text: &str) -> Result<VmOperation, String> {
    let known = VmOperation::ALL.into_iter().find(|operation| operation.word() == text);
    known.ok_or_else(|| "an operation is shutdown, poweroff, remove-cdrom or info".to_owned())
}

fn timeout(text: &str) -> Result<u64, String> {
    u64::try_from(goflags::integer(text)?).map_err(|_| "a time is not negative".to_owned())
}

/// Does it.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    if args.path.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "vm: -path names no VM"));
    }
    let request = VmRequest { vm: args.path, limit_s: (args.op == VmOperation::Shutdown).then_some(args.timeout) };
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        daemon = Daemon::connect(&session.globals, session.console) => daemon?,
    };
    let answer = tokio::select! {
        biased;
        signal = session.interrupts.first() => Err(signal),
        answer = daemon.client.vm(args.op, &request) => Ok(answer),
    };
    daemon.close().await;
    let detail = match answer {
        Ok(answer) => answer?,
        Err(signal) => return Ok(Exit::Signal(signal)),
    };
    let text = if args.json.json {
        // Text and numbers only; there is nothing in it that JSON cannot hold.
        serde_json::to_string_pretty(&detail).map_or_else(|_| String::new(), |text| escape_json(&text) + "\n")
    } else if args.op == VmOperation::Info {
        info(&detail)
    } else {
        format!("{}: {}\n", escape(&detail.vm.path), escape(&detail.done))
    };
    session.console.print(&text);
    Ok(Exit::Done)
}

fn info(detail: &VmDetail) -> String {
    let vm = &detail.vm;
    let unknown = || "-".to_owned();
    let mut lines = vec![
        ("Name".to_owned(), vm.name.clone()),
        ("Path".to_owned(), vm.path.clone()),
        ("Power State".to_owned(), vm.power_state.clone()),
        ("Guest OS".to_owned(), vm.guest.clone().unwrap_or_else(unknown)),
        ("CPUs".to_owned(), vm.cpus.map_or_else(unknown, |cpus| cpus.to_string())),
        ("Memory".to_owned(), vm.memory_mib.map_or_else(unknown, |mib| format!("{mib} MiB"))),
        ("Storage".to_owned(), vm.capacity_bytes.map_or_else(unknown, human::bytes)),
    ];
    for (number, disk) in detail.disks.iter().enumerate() {
        let file = disk.file.as_deref().map(|file| format!(", {file}")).unwrap_or_default();
        lines.push((format!("Disk {number}"), format!("{}, {}{file}", disk.label, human::bytes(disk.capacity_bytes))));
    }
    for drive in &detail.drives {
        lines.push((drive.label.clone(), drive.medium.clone().unwrap_or_else(|| "empty".to_owned())));
    }
    rows::text(lines.iter().map(|(label, value)| (label.as_str(), value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_is_shown_in_rows_with_its_disks_and_drives() {
        let sample = include_str!("../../../hyper-api/tests/samples/vm-detail-0.1.json");
        let mut detail: VmDetail = serde_json::from_str(sample).unwrap();
        insta::assert_snapshot!(info(&detail), @r"
        | Name           | web01                                         |
        | Path           | /DC0/vm/web/web01                             |
        | Power State    | poweredOff                                    |
        | Guest OS       | Debian GNU/Linux 12 (64-bit)                  |
        | CPUs           | 2                                             |
        | Memory         | 4096 MiB                                      |
        | Storage        | 40.0 GiB                                      |
        | Disk 0         | Hard disk 1, 40.0 GiB, [ds1] web01/web01.vmdk |
        | CD/DVD drive 1 | [ds1] iso/debian.iso                          |
        | CD/DVD drive 2 | empty                                         |
        ");
        detail.vm.name = "a\n| Path | forged |".into();
        assert_eq!(info(&detail).lines().count(), 10);
    }
}
