//! The faults that the simulator raises, each with a sentence for people.

use vsphere::wire::generated::{
    ApplicationQuiesceFault, ConcurrentAccess, FileFault, FileNotFound, InvalidArgument, InvalidCollectorVersion,
    InvalidDatastore, InvalidDatastorePath, InvalidDeviceSpec, InvalidLogin, InvalidName, InvalidPowerState,
    InvalidProperty, InvalidRequest, InvalidState, InvalidType, InvalidVmConfig, LocalizedMethodFault,
    ManagedObjectNotFound, MemorySnapshotOnIndependentDisk, MethodNotFound, NoDiskSpace, NoPermission,
    NotAuthenticated, NotFound, NotSupported, RequestCanceled, SystemError, TaskInProgress, Timedout,
    TooManySnapshotLevels, ToolsUnavailable, VirtualMachinePowerState,
};
use vsphere::wire::{Fault, MoRef};

/// What a call comes to.
pub(crate) type Outcome<T> = Result<T, Fault>;

/// Privilege that reading needs; real servers name it when nobody is logged in.
const VIEW: &str = "System.View";

/// The call needs a session.
pub(crate) fn not_authenticated(object: &MoRef) -> Fault {
    let base =
        NoPermission { object: Some(object.clone()), privilege_id: Some(VIEW.to_owned()), ..NoPermission::default() };
    Fault::new("The session is not authenticated.", NotAuthenticated { base })
}

/// Wrong name or password, or a second login.
pub(crate) fn invalid_login() -> Fault {
    Fault::new("Cannot complete login due to an incorrect user name or password.", InvalidLogin::default())
}

/// The object is not there, or not any more.
pub(crate) fn not_found(obj: &MoRef) -> Fault {
    let text = format!("The object '{obj}' has already been deleted or has not been completely created");
    Fault::new(text, ManagedObjectNotFound { obj: obj.clone(), ..ManagedObjectNotFound::default() })
}

/// Nothing of this name is there.
pub(crate) fn not_found_here(what: &str) -> Fault {
    Fault::new(format!("{what} was not found"), NotFound::default())
}

/// The account lacks a privilege on an object.
pub(crate) fn no_permission(object: &MoRef, privilege: &str) -> Fault {
    let detail = NoPermission {
        object: Some(object.clone()),
        privilege_id: Some(privilege.to_owned()),
        ..NoPermission::default()
    };
    Fault::new("Permission to perform this operation was denied.", detail)
}

/// The method is unknown, to this version or to this kind of object.
pub(crate) fn method_not_found(receiver: &MoRef, method: &str) -> Fault {
    let text = format!("Unable to resolve WSDL method name {method}");
    let detail = MethodNotFound { receiver: receiver.clone(), method: method.to_owned(), ..MethodNotFound::default() };
    Fault::new(text, detail)
}

/// The request is not what the API says it is.
pub(crate) fn invalid_request(why: &str) -> Fault {
    Fault::new(format!("The request is not valid: {why}"), InvalidRequest::default())
}

/// A parameter has a value that makes no sense.
pub(crate) fn invalid_argument(parameter: &str, why: &str) -> Fault {
    let text = format!("A specified parameter was not correct: {parameter}: {why}");
    Fault::new(text, InvalidArgument { invalid_property: Some(parameter.to_owned()), ..InvalidArgument::default() })
}

/// A type name means nothing.
pub(crate) fn invalid_type(name: &str) -> Fault {
    let text = format!("The managed object type '{name}' is not known");
    Fault::new(text, InvalidType { argument: Some(name.to_owned()), ..InvalidType::default() })
}

/// A property path that the type does not have in this version.
pub(crate) fn invalid_property(path: &str) -> Fault {
    let text = format!("The property '{path}' does not exist");
    Fault::new(text, InvalidProperty { name: path.to_owned(), ..InvalidProperty::default() })
}

/// The object is in a state that does not allow this.
pub(crate) fn invalid_state(why: &str) -> Fault {
    Fault::new(format!("The operation is not allowed in the current state: {why}"), InvalidState::default())
}

/// The VM is in another power state than this needs.
pub(crate) fn invalid_power_state(requested: VirtualMachinePowerState, existing: VirtualMachinePowerState) -> Fault {
    let text = format!("The attempted operation cannot be performed in the current state ({existing}).");
    let base = InvalidState::default();
    Fault::new(text, InvalidPowerState { base, requested_state: Some(requested), existing_state: existing })
}

/// Something else holds the object.
pub(crate) fn task_in_progress(task: &MoRef) -> Fault {
    let text = format!("The operation is not allowed while {} is in progress.", task.id);
    Fault::new(text, TaskInProgress { task: task.clone(), ..TaskInProgress::default() })
}

/// The lease was not renewed in time.
pub(crate) fn timed_out() -> Fault {
    Fault::new("Lease timed out.", Timedout::default())
}

/// A path that is not of the form `[datastore] path`.
pub(crate) fn invalid_datastore_path(path: &str) -> Fault {
    let text = format!("Invalid datastore path '{path}'.");
    Fault::new(text, InvalidDatastorePath { datastore_path: path.to_owned(), ..InvalidDatastorePath::default() })
}

/// A datastore that is not there, or not within reach of whoever was asked.
pub(crate) fn invalid_datastore(name: &str) -> Fault {
    let detail = InvalidDatastore { name: Some(name.to_owned()), ..InvalidDatastore::default() };
    Fault::new(format!("Invalid datastore '{name}'."), detail)
}

/// A file or directory that is not there.
pub(crate) fn file_not_found(path: &str) -> Fault {
    let mut detail = FileNotFound::default();
    path.clone_into(&mut detail.file);
    Fault::new(format!("File {path} was not found"), detail)
}

/// The server does not do this.
pub(crate) fn not_supported(what: &str) -> Fault {
    Fault::new(format!("The operation is not supported on the object: {what}"), NotSupported::default())
}

/// The guest has no Tools that listen.
pub(crate) fn tools_unavailable() -> Fault {
    let text = "Cannot complete operation because VMware Tools is not running in this virtual machine.";
    Fault::new(text, ToolsUnavailable::default())
}

/// The guest did not come to rest for a snapshot.
pub(crate) fn application_quiesce_fault() -> Fault {
    let text =
        "An error occurred while quiescing the virtual machine. See the virtual machine's event log for details.";
    Fault::new(text, ApplicationQuiesceFault::default())
}

/// A name is none, or means nothing here.
pub(crate) fn invalid_name(name: &str, entity: Option<&MoRef>) -> Fault {
    let detail = InvalidName { name: name.to_owned(), entity: entity.cloned(), ..InvalidName::default() };
    Fault::new(format!("The name '{name}' is not valid."), detail)
}

/// A memory that would return without the disk that belongs to it.
pub(crate) fn memory_snapshot_on_independent_disk() -> Fault {
    let text = "Cannot take a memory snapshot, since the virtual machine is configured with independent disks.";
    Fault::new(text, MemorySnapshotOnIndependentDisk::default())
}

/// A chain of disks has as many links as it may have.
pub(crate) fn too_many_snapshot_levels() -> Fault {
    Fault::new("Too many levels of redo logs.", TooManySnapshotLevels::default())
}

/// A datastore is full.
pub(crate) fn no_disk_space(datastore: &str) -> Fault {
    let text = format!("There is not enough space in the file system of datastore '{datastore}'.");
    let base = FileFault { file: format!("[{datastore}]"), ..FileFault::default() };
    Fault::new(text, NoDiskSpace { base, datastore: datastore.to_owned() })
}

/// A device cannot be changed as the specification has it.
pub(crate) fn invalid_device_spec(index: i32, why: &str) -> Fault {
    let property = format!("virtualDeviceSpec.device[{index}]");
    let text = format!("Invalid configuration for device '{index}': {why}");
    let base = InvalidVmConfig { property: Some(property), ..InvalidVmConfig::default() };
    Fault::new(text, InvalidDeviceSpec { base, device_index: index })
}

/// The object has changed since the caller looked at it.
pub(crate) fn concurrent_access() -> Fault {
    let text = "Cannot complete the operation because the object has been changed by another operation.";
    Fault::new(text, ConcurrentAccess::default())
}

/// A general failure, with a reason.
pub(crate) fn system_error(reason: &str) -> Fault {
    let text = format!("A general system error occurred: {reason}");
    Fault::new(text, SystemError { reason: reason.to_owned(), ..SystemError::default() })
}

/// A wait was called off.
pub(crate) fn request_canceled() -> Fault {
    Fault::new("The task was canceled by a user.", RequestCanceled::default())
}

/// The caller knows another state than the collector last told.
pub(crate) fn invalid_collector_version(version: &str) -> Fault {
    Fault::new(format!("The collector has no version '{version}'"), InvalidCollectorVersion::default())
}

/// Puts a fault into the form that it has inside data.
pub(crate) fn localized(fault: Fault) -> LocalizedMethodFault {
    LocalizedMethodFault { fault: fault.detail.unwrap_or_default(), localized_message: Some(fault.text) }
}
