//! What the server refuses, in words that name the way out.

use vsphere::wire::generated::AnyMethodFault;

use crate::{Error, ErrorKind};

/// The way out where a guest does not come to rest.
pub(super) const CRASH_HINT: &str =
    "install or start VMware Tools in the guest, or take its disks as they are with --snapshot=crash";

/// The way out where a medium stands in the way.
const MEDIUM_HINT: &str = "export with -eject-cdrom, which takes media out of the VM's CD/DVD drives meanwhile";

/// Makes the error of an export out of the refusal of a lease or a snapshot.
pub(super) fn explain(vm_path: &str, error: vsphere::Error) -> Error {
    let known = error.fault().and_then(|fault| fault.detail.as_ref()).and_then(known);
    let error = Error::from(error.context(format!("export {vm_path}")));
    match known {
        Some((kind, hint)) => error.with_kind(kind).with_hint(hint),
        None => error,
    }
}

/// Returns what a fault means for an export, where that is more than its words say.
fn known(fault: &AnyMethodFault) -> Option<(ErrorKind, String)> {
    use AnyMethodFault as Fault;
    let state = |hint: &str| Some((ErrorKind::State, hint.to_owned()));
    match fault {
        Fault::NoDiskSpace(fault) => {
            state(&format!("make room on the datastore `{}`, where the guest's writes go meanwhile", fault.datastore))
        }
        Fault::FileNotFound(fault) => state(&missing_file_hint(&fault.file)),
        Fault::CannotAccessFile(fault) => {
            state(&format!("see why the host cannot read {}; {MEDIUM_HINT} where it is in a CD/DVD drive", fault.file))
        }
        Fault::ConnectedIso(fault) => state(&format!("{MEDIUM_HINT}: {} is in one", fault.filename)),
        Fault::QuestionPending(_) => state("answer what the VM asks in vSphere, and try again"),
        Fault::FileLocked(fault) => {
            state(&format!("end what holds {} (a backup, another VM), and try again", fault.file))
        }
        Fault::ApplicationQuiesceFault(_) | Fault::FilesystemQuiesceFault(_) | Fault::ToolsUnavailable(_) => {
            state(CRASH_HINT)
        }
        Fault::TaskInProgress(fault) => state(&format!(
            "task {} of the server is at work on the VM (another export, a backup, a snapshot); wait for its end, or \
             cancel it in vSphere",
            fault.task.id
        )),
        Fault::TooManySnapshotLevels(_) => state("delete snapshots of the VM that nobody needs, and try again"),
        Fault::SnapshotIncompatibleDeviceInVm(_) => {
            state("detach the device that no snapshot takes, or shut the guest down and export without --snapshot")
        }
        Fault::RestrictedVersion(_) => Some((
            ErrorKind::Permission,
            "the host's licence (a free ESXi?) forbids it; export through a vCenter, or with a licence".to_owned(),
        )),
        _ => None,
    }
}

/// Says what to do about a file that a drive of the VM is connected to and that is not there.
pub(super) fn missing_file_hint(file: &str) -> String {
    match file.ends_with(".vmdk") {
        true => format!("see in vSphere what became of {file}"),
        false => format!("put {file} back, or {MEDIUM_HINT}"),
    }
}

#[cfg(test)]
mod tests {
    use vsphere::wire::generated::{FileFault, FileNotFound, FilesystemQuiesceFault, SystemError};

    use super::*;

    #[test]
    fn a_missing_image_is_named_with_a_way_out() {
        let base = FileFault { file: "[ds] iso/gone.iso".to_owned(), ..Default::default() };
        let fault = FileNotFound { base };
        let (kind, hint) = known(&fault.into()).unwrap();
        assert_eq!(kind, ErrorKind::State);
        assert!(hint.contains("[ds] iso/gone.iso") && hint.contains("eject"), "{hint}");
    }

    #[test]
    fn a_guest_that_does_not_come_to_rest_has_a_way_out_and_other_faults_keep_their_words() {
        assert_eq!(known(&FilesystemQuiesceFault::default().into()).unwrap().1, CRASH_HINT);
        assert_eq!(known(&SystemError::default().into()), None);
    }
}
