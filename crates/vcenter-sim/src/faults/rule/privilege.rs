//! Which call needs which privilege, as far as exporters meet them.

/// Privileges and the calls that need them.
const PRIVILEGES: [(&str, &[&str]); 11] = [
    (
        "System.View",
        &["RetrievePropertiesEx", "RetrieveProperties", "CreateContainerView", "CreateFilter", "CreateDescriptor"],
    ),
    ("VApp.Export", &["ExportVm", "ExportSnapshot"]),
    ("VirtualMachine.State.CreateSnapshot", &["CreateSnapshot_Task", "CreateSnapshotEx_Task"]),
    (
        "VirtualMachine.State.RemoveSnapshot",
        &["RemoveSnapshot_Task", "RemoveAllSnapshots_Task", "ConsolidateVMDisks_Task"],
    ),
    ("VirtualMachine.Provisioning.DiskRandomRead", &["QueryChangedDiskAreas"]),
    ("VirtualMachine.Interact.PowerOff", &["PowerOffVM_Task", "ShutdownGuest"]),
    ("VirtualMachine.Interact.PowerOn", &["PowerOnVM_Task"]),
    ("VirtualMachine.Interact.Reset", &["ResetVM_Task", "RebootGuest"]),
    ("VirtualMachine.Interact.Suspend", &["SuspendVM_Task", "StandbyGuest"]),
    ("Datastore.Browse", &["SearchDatastore_Task", "SearchDatastoreSubFolders_Task"]),
    ("Sessions.TerminateSession", &["TerminateSession"]),
];

/// Privilege that reads of datastore files need besides.
const FOLDER: [&str; 2] = ["Datastore.Browse", "Datastore.FileManagement"];

/// Returns whether a call needs a privilege.
pub(crate) fn needed_by_call(privilege: &str, method: &str) -> bool {
    PRIVILEGES.iter().any(|(name, methods)| *name == privilege && methods.contains(&method))
}

/// Returns whether a request for a path needs a privilege.
pub(crate) fn needed_by_path(privilege: &str, path: &str) -> bool {
    FOLDER.contains(&privilege) && (path == "/folder" || path.starts_with("/folder/"))
}

/// Returns the privileges that are known, for a message.
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    PRIVILEGES.iter().map(|(name, _)| *name).chain(["Datastore.FileManagement"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_table_is_one_of_the_api() {
        let unbound = ["SearchDatastoreSubFolders_Task", "ConsolidateVMDisks_Task", "QueryChangedDiskAreas"];
        for method in PRIVILEGES.iter().flat_map(|(_, methods)| *methods) {
            assert!(vsphere::wire::method(method).is_some() || unbound.contains(method), "{method}");
        }
        assert!(needed_by_call("VApp.Export", "ExportVm") && !needed_by_call("VApp.Export", "Login"));
        assert!(needed_by_path("Datastore.Browse", "/folder/x") && !needed_by_path("Datastore.Browse", "/sdk"));
    }
}
