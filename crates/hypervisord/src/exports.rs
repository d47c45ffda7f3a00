//! From what a caller wants of an export to what `migrate` is asked to do. Only names change here.

use std::time::Duration;

use hyper_api::{ExportSpec, SnapshotPolicy, VmOperation, VmRequest};
use migrate::export::{self, DiskChoice, Request, Shutdown};
use migrate::vm::Operation;

/// Returns the request for an export, as one that begins anew: it takes up nothing of an earlier run.
pub fn request(spec: &ExportSpec) -> Request {
    Request {
        vm: spec.vm.clone(),
        output: spec.output.clone(),
        snapshot: spec.snapshot.and_then(policy),
        shutdown: spec
            .shutdown
            .map(|shutdown| Shutdown { limit: Duration::from_secs(shutdown.limit_s), force_off: shutdown.force_off }),
        eject_cdrom: spec.eject_cdrom,
        remove_cdrom: spec.remove_cdrom,
        disks: DiskChoice { only: spec.disks.clone(), except: spec.exclude_disks.clone() },
        adopt: false,
    }
}

/// Returns what to do to a VM.
pub fn operation(operation: VmOperation, request: &VmRequest) -> Operation {
    match operation {
        VmOperation::Info => Operation::Info,
        VmOperation::Shutdown => {
            // Older clients send 0, or nothing, and mean the default.
            let limit_s = request.limit_s.filter(|limit| *limit > 0).unwrap_or(hyper_api::SHUTDOWN_LIMIT_S);
            Operation::ShutDown { limit: Duration::from_secs(limit_s) }
        }
        VmOperation::PowerOff => Operation::PowerOff,
        VmOperation::RemoveCdrom => Operation::RemoveCdroms,
    }
}

/// Returns what a request asks of a snapshot. Words that this version does not know were refused before.
fn policy(policy: SnapshotPolicy) -> Option<export::SnapshotPolicy> {
    match policy {
        SnapshotPolicy::Crash => Some(export::SnapshotPolicy::Crash),
        SnapshotPolicy::Quiesce => Some(export::SnapshotPolicy::Quiesce),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_an_export_arrives() {
        let body = br#"{"vm":"a","output":"/o","shutdown":{"limit_s":60,"force_off":true},"eject_cdrom":true,
            "remove_cdrom":true,"disks":["0"],"exclude_disks":["Hard disk 2"]}"#;
        let request = request(&ExportSpec::from_request(body).unwrap());
        assert_eq!(request.shutdown, Some(Shutdown { limit: Duration::from_secs(60), force_off: true }));
        assert!(request.eject_cdrom && request.remove_cdrom && request.snapshot.is_none());
        assert_eq!(request.disks, DiskChoice { only: vec!["0".into()], except: vec!["Hard disk 2".into()] });
        let snapshot = br#"{"vm":"a","output":"/o","snapshot":"quiesce"}"#;
        let spec = ExportSpec::from_request(snapshot).unwrap();
        assert_eq!(super::request(&spec).snapshot, Some(export::SnapshotPolicy::Quiesce));
    }

    #[test]
    fn a_shutdown_without_a_limit_has_the_default() {
        for limit_s in [None, Some(0)] {
            let asked = operation(VmOperation::Shutdown, &VmRequest { vm: "a".into(), limit_s });
            assert_eq!(asked, Operation::ShutDown { limit: Duration::from_secs(300) });
        }
    }
}
