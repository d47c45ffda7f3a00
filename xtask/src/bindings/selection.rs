//! Picks the part of vim25 that is in use: the lists below and everything they need.
//!
//! To use one more call, add its name to [`METHODS`] (or a type that travels as a property or as a
//! subtype to [`TYPES`]) and run `cargo xtask bindings`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::metadata::{DataType, EnumType, Field, ManagedType, Metadata, Method};

/// Calls that the client makes or the simulator answers.
const METHODS: &[&str] = &[
    "AcquireGenericServiceTicket",
    "CancelRetrievePropertiesEx",
    "CancelTask",
    "CancelWaitForUpdates",
    "CheckForUpdates",
    "ConsolidateVMDisks_Task",
    "ContinueRetrievePropertiesEx",
    "CreateCollectorForTasks",
    "CreateContainerView",
    "CreateDescriptor",
    "CreateFilter",
    "CreateListView",
    "CreatePropertyCollector",
    "CreateSnapshotEx_Task",
    "CreateSnapshot_Task",
    "CurrentTime",
    "DestroyPropertyCollector",
    "DestroyPropertyFilter",
    "DestroyView",
    "Destroy_Task",
    "ExportSnapshot",
    "ExportVm",
    "FindAllByUuid",
    "FindByDatastorePath",
    "FindByDnsName",
    "FindByInventoryPath",
    "FindByUuid",
    "FindChild",
    "HasPrivilegeOnEntities",
    "HttpNfcLeaseAbort",
    "HttpNfcLeaseComplete",
    "HttpNfcLeaseGetManifest",
    "HttpNfcLeaseProgress",
    "HttpNfcLeaseSetManifestChecksumType",
    "Login",
    "Logout",
    "ModifyListView",
    "PowerOffVM_Task",
    "PowerOnVM_Task",
    "QueryOptions",
    "RebootGuest",
    "ReconfigVM_Task",
    "RemoveAllSnapshots_Task",
    "RemoveSnapshot_Task",
    "RelocateVM_Task",
    "ResetListView",
    "ResetVM_Task",
    "RetrieveProperties",
    "RetrievePropertiesEx",
    "RetrieveServiceContent",
    "SearchDatastoreSubFolders_Task",
    "SearchDatastore_Task",
    "SessionIsActive",
    "ShutdownGuest",
    "StandbyGuest",
    "SuspendVM_Task",
    "TerminateSession",
    "WaitForUpdates",
    "WaitForUpdatesEx",
];

/// Managed object types whose properties are read or served.
const MANAGED: &[&str] = &[
    "AuthorizationManager",
    "ClusterComputeResource",
    "ComputeResource",
    "ContainerView",
    "Datacenter",
    "Datastore",
    "DistributedVirtualPortgroup",
    "DistributedVirtualSwitch",
    "EnvironmentBrowser",
    "Folder",
    "HostDatastoreBrowser",
    "HostSystem",
    "HttpNfcLease",
    "ListView",
    "Network",
    "OpaqueNetwork",
    "OptionManager",
    "OvfManager",
    "PropertyCollector",
    "PropertyFilter",
    "ResourcePool",
    "SearchIndex",
    "ServiceInstance",
    "SessionManager",
    "StoragePod",
    "Task",
    "TaskManager",
    "ViewManager",
    "VirtualApp",
    "VirtualMachine",
    "VirtualMachineSnapshot",
    "VmwareDistributedVirtualSwitch",
];

/// Data objects and enumerations that travel as property values or as subtypes of a declared type.
const TYPES: &[&str] = &[
    // Property values
    "Capability",
    "ComputeResourceSummary",
    "DatacenterConfigInfo",
    "DatastoreCapability",
    "DatastoreHostMount",
    "DatastoreSummary",
    "GuestInfo",
    "HostListSummary",
    "HttpNfcLeaseCapabilities",
    "HttpNfcLeaseInfo",
    "HttpNfcLeaseState",
    "NetworkSummary",
    "OvfOptionInfo",
    "ResourcePoolRuntimeInfo",
    "ResourcePoolSummary",
    "TaskInfo",
    "VirtualMachineCapability",
    "VirtualMachineConfigInfo",
    "VirtualMachineFileLayout",
    "VirtualMachineFileLayoutEx",
    "VirtualMachineRuntimeInfo",
    "VirtualMachineSnapshotInfo",
    "VirtualMachineStorageInfo",
    "VirtualMachineSummary",
    // Subtypes of SelectionSpec, of task reasons and of boot devices
    "TaskReasonUser",
    "TraversalSpec",
    "VirtualMachineBootOptionsBootableCdromDevice",
    "VirtualMachineBootOptionsBootableDiskDevice",
    "VirtualMachineBootOptionsBootableEthernetDevice",
    "VirtualMachineBootOptionsBootableFloppyDevice",
    // Devices
    "ParaVirtualSCSIController",
    "VirtualAHCIController",
    "VirtualBusLogicController",
    "VirtualCdrom",
    "VirtualDevicePciBusSlotInfo",
    "VirtualDisk",
    "VirtualE1000",
    "VirtualE1000e",
    "VirtualFloppy",
    "VirtualIDEController",
    "VirtualKeyboard",
    "VirtualLsiLogicController",
    "VirtualLsiLogicSASController",
    "VirtualMachineVMCIDevice",
    "VirtualMachineVideoCard",
    "VirtualNVMEController",
    "VirtualPCIController",
    "VirtualPCIPassthrough",
    "VirtualPCNet32",
    "VirtualPS2Controller",
    "VirtualPointingDevice",
    "VirtualPrecisionClock",
    "VirtualSCSIPassthrough",
    "VirtualSIOController",
    "VirtualSerialPort",
    "VirtualSoundCard",
    "VirtualSriovEthernetCard",
    "VirtualTPM",
    "VirtualUSB",
    "VirtualUSBController",
    "VirtualUSBXHCIController",
    "VirtualVmxnet2",
    "VirtualVmxnet3",
    "VirtualVmxnet3Vrdma",
    "VirtualWDT",
    // What devices stand on
    "VirtualCdromAtapiBackingInfo",
    "VirtualCdromIsoBackingInfo",
    "VirtualCdromPassthroughBackingInfo",
    "VirtualCdromRemoteAtapiBackingInfo",
    "VirtualCdromRemotePassthroughBackingInfo",
    "VirtualDiskFlatVer1BackingInfo",
    "VirtualDiskFlatVer2BackingInfo",
    "VirtualDiskLocalPMemBackingInfo",
    "VirtualDiskRawDiskMappingVer1BackingInfo",
    "VirtualDiskRawDiskVer2BackingInfo",
    "VirtualDiskSeSparseBackingInfo",
    "VirtualDiskSparseVer1BackingInfo",
    "VirtualDiskSparseVer2BackingInfo",
    "VirtualEthernetCardDistributedVirtualPortBackingInfo",
    "VirtualEthernetCardNetworkBackingInfo",
    "VirtualEthernetCardOpaqueNetworkBackingInfo",
    "VirtualFloppyDeviceBackingInfo",
    "VirtualFloppyImageBackingInfo",
    "VirtualFloppyRemoteDeviceBackingInfo",
    "VirtualPointingDeviceDeviceBackingInfo",
    "VirtualSerialPortFileBackingInfo",
    "VirtualSerialPortURIBackingInfo",
    // Faults that somebody acts on or that the simulator raises
    "ConcurrentAccess",
    "ConnectedIso",
    "CannotAccessFile",
    "FileFault",
    "FileLocked",
    "FileNotFound",
    "HostCommunication",
    "HostNotConnected",
    "HostNotReachable",
    "InvalidArgument",
    "InvalidCollectorVersion",
    "InvalidLocale",
    "InvalidLogin",
    "InvalidName",
    "InvalidPowerState",
    "InvalidProperty",
    "InvalidRequest",
    "InvalidState",
    "InvalidType",
    "ManagedObjectNotFound",
    "MethodDisabled",
    "MethodNotFound",
    "NoDiskSpace",
    "NoPermission",
    "NotAuthenticated",
    "NotImplemented",
    "NotFound",
    "NotSupported",
    "OvfExport",
    "OvfUnableToExportDisk",
    "QuestionPending",
    "RequestCanceled",
    "RestrictedVersion",
    "SystemError",
    "TaskInProgress",
    "Timedout",
    // Files of datastores, and what a search for them asks
    "DatastoreInfo",
    "FileInfo",
    "FileQuery",
    "FloppyImageFileInfo",
    "FolderFileInfo",
    "FolderFileQuery",
    "HostDatastoreBrowserSearchResults",
    "IsoImageFileInfo",
    "IsoImageFileQuery",
    "LocalDatastoreInfo",
    "NasDatastoreInfo",
    "VmConfigFileInfo",
    "VmConfigFileQuery",
    "VmDiskFileInfo",
    "VmDiskFileQuery",
    "VmLogFileInfo",
    "VmLogFileQuery",
    "VmNvramFileInfo",
    "VmNvramFileQuery",
    "VmSnapshotFileInfo",
    "VmSnapshotFileQuery",
    "VmfsDatastoreInfo",
    "VsanDatastoreInfo",
    // Service tickets and quiescing
    "SessionManagerGenericServiceTicket",
    "SessionManagerHttpServiceRequestSpec",
    "VirtualMachineGuestQuiesceSpec",
    "VirtualMachineSnapshotTree",
    "VirtualMachineWindowsQuiesceSpec",
    // Faults of snapshots, power, files and access
    "ApplicationQuiesceFault",
    "CannotAccessVmDisk",
    "DisallowedOperationOnFailoverHost",
    "FileAlreadyExists",
    "FilesystemQuiesceFault",
    "GenericVmConfigFault",
    "HostConfigFault",
    "InsufficientResourcesFault",
    "InvalidDatastore",
    "InvalidDatastorePath",
    "InvalidDeviceSpec",
    "InvalidFolder",
    "InvalidHostState",
    "InvalidName",
    "InvalidVmConfig",
    "MemorySnapshotOnIndependentDisk",
    "SnapshotFault",
    "SnapshotIncompatibleDeviceInVm",
    "TooManySnapshotLevels",
    "ToolsUnavailable",
    "VmConfigFault",
    // Hosts, pools, guests
    "AuthorizationPrivilege",
    "ClusterComputeResourceSummary",
    "ElementDescription",
    "EntityPrivilege",
    "HostConnectInfo",
    "HostHardwareSummary",
    "HostRuntimeInfo",
    "OptionValue",
    "VirtualAppSummary",
];

/// Base types that are never sent as themselves, so a strict reader demands `xsi:type`.
const ABSTRACT: &[&str] =
    &["MethodFault", "VirtualDeviceBackingInfo", "VirtualDeviceBusSlotInfo", "VirtualMachineBootOptionsBootableDevice"];

/// The part that is rendered, by wire name.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) data: BTreeMap<String, Object>,
    pub(super) enums: BTreeMap<String, EnumType>,
    pub(super) methods: BTreeMap<String, Call>,
    pub(super) managed: BTreeMap<String, Managed>,
}

/// A data object with its kin.
#[derive(Debug)]
pub(super) struct Object {
    /// Wire name of the base, unless it is the empty root.
    pub(super) base: Option<String>,
    pub(super) fields: Vec<Slot>,
    /// Selected subtypes at any depth; empty and `polymorphic` when none of the known ones is in use.
    pub(super) subtypes: Vec<String>,
    /// True when the API knows a subtype.
    pub(super) polymorphic: bool,
    pub(super) is_abstract: bool,
}

/// A field, parameter or property whose types are names of the rendered file.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) rust: String,
    pub(super) wire: String,
    pub(super) since: String,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    /// Wire name of the managed type that declares it.
    pub(super) on: String,
    pub(super) since: String,
    pub(super) parameters: Vec<Slot>,
    pub(super) reply: String,
}

/// A managed object type.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) base: Option<String>,
    pub(super) properties: Vec<Slot>,
}

/// Selects what the lists name and what that needs.
pub(super) fn select(metadata: &Metadata) -> Result<Selection> {
    let mut selector = Selector { metadata, wanted: BTreeSet::new(), enums: BTreeSet::new() };
    selector.want_named("LocalizedMethodFault")?;
    for name in TYPES {
        selector.want_named(name)?;
    }
    let mut calls = BTreeMap::new();
    for name in METHODS {
        let (owner, method) = selector.find_method(name)?;
        method.parameters.iter().for_each(|parameter| selector.want(parameter));
        selector.want_kind(&method.result);
        calls.insert((*name).to_owned(), (owner, method));
    }
    let mut selection = Selection::default();
    for vmodl in &selector.wanted {
        let entry = &metadata.data[vmodl];
        selection.data.insert(entry.wire.clone(), selector.object(vmodl, entry));
    }
    for vmodl in &selector.enums {
        let entry = &metadata.enums[vmodl];
        selection.enums.insert(entry.wire.clone(), entry.clone());
    }
    for (name, (owner, method)) in &calls {
        selection.methods.insert(name.clone(), selector.call(owner, method));
    }
    for name in MANAGED {
        selector.managed(name, &mut selection.managed)?;
    }
    Ok(selection)
}

struct Selector<'a> {
    metadata: &'a Metadata,
    wanted: BTreeSet<String>,
    enums: BTreeSet<String>,
}

impl<'a> Selector<'a> {
    fn want_named(&mut self, wire: &str) -> Result<()> {
        let data = self.metadata.data.iter().find(|(_, entry)| entry.wire == wire).map(|(vmodl, _)| vmodl);
        let enums = || self.metadata.enums.iter().find(|(_, entry)| entry.wire == wire).map(|(vmodl, _)| vmodl);
        let vmodl = data.or_else(enums).with_context(|| format!("the metadata has no type {wire}"))?.clone();
        self.want_kind(&vmodl);
        Ok(())
    }

    fn want(&mut self, field: &Field) {
        self.want_kind(&field.kind);
    }

    fn want_kind(&mut self, kind: &str) {
        let kind = match kind.trim_end_matches("[]") {
            "vmodl.MethodFault" => "vmodl.LocalizedMethodFault",
            "vmodl.MethodFaultObject" => return,
            kind => kind,
        };
        if self.metadata.enums.contains_key(kind) {
            self.enums.insert(kind.to_owned());
        }
        let Some(entry) = self.metadata.data.get(kind) else { return };
        if is_root(kind) || !self.wanted.insert(kind.to_owned()) {
            return;
        }
        match entry.base.as_str() {
            // A fault is the base of faults, not its localized form.
            "vmodl.MethodFault" => {
                if self.wanted.insert(entry.base.clone()) {
                    self.metadata.data[&entry.base].fields.iter().for_each(|field| self.want(field));
                }
            }
            base => self.want_kind(base),
        }
        entry.fields.iter().for_each(|field| self.want(field));
    }

    fn find_method(&self, wire: &str) -> Result<(String, &'a Method)> {
        let mut owners = self.metadata.managed.values();
        owners
            .find_map(|managed| {
                let method = managed.methods.iter().find(|method| method.wire == wire)?;
                Some((managed.wire.clone(), method))
            })
            .with_context(|| format!("the metadata has no method {wire}"))
    }

    fn object(&self, vmodl: &str, entry: &DataType) -> Object {
        let subtypes = self.wanted.iter().filter(|kind| self.descends(kind, vmodl));
        Object {
            base: self.base(&entry.base),
            fields: entry.fields.iter().map(|field| self.slot(field, Some(vmodl))).collect(),
            subtypes: subtypes.map(|kind| self.metadata.data[kind].wire.clone()).collect(),
            polymorphic: self.is_polymorphic(vmodl),
            is_abstract: ABSTRACT.contains(&entry.wire.as_str()),
        }
    }

    fn base(&self, vmodl: &str) -> Option<String> {
        if is_root(vmodl) { None } else { self.metadata.data.get(vmodl).map(|base| base.wire.clone()) }
    }

    fn descends(&self, kind: &str, ancestor: &str) -> bool {
        let mut current = kind;
        while let Some(entry) = self.metadata.data.get(current) {
            if entry.base == ancestor {
                return true;
            }
            current = &entry.base;
        }
        false
    }

    fn is_polymorphic(&self, vmodl: &str) -> bool {
        self.metadata.data.values().any(|entry| entry.base == vmodl && entry.wire != "LocalizedMethodFault")
    }

    fn call(&self, owner: &str, method: &Method) -> Call {
        let parameters = method.parameters.iter().map(|field| self.slot(field, None)).collect();
        let reply = if method.result == "void" {
            "()".to_owned()
        } else {
            let plain = self.rust(method.result.trim_end_matches("[]"), None);
            wrap(plain, method.result.ends_with("[]"), method.result_optional)
        };
        Call { on: owner.to_owned(), since: self.since(&method.since), parameters, reply }
    }

    fn managed(&self, wire: &str, into: &mut BTreeMap<String, Managed>) -> Result<()> {
        let mut managed = self.metadata.managed.values();
        let entry: &ManagedType =
            managed.find(|entry| entry.wire == wire).with_context(|| format!("no managed type {wire}"))?;
        let base = self.metadata.managed.get(&entry.base).map(|base| base.wire.clone());
        if let Some(base) = &base {
            self.managed(base, into)?;
        }
        let properties = entry.properties.iter().map(|field| self.slot(field, None)).collect();
        into.insert(wire.to_owned(), Managed { base, properties });
        Ok(())
    }

    fn slot(&self, field: &Field, inside: Option<&str>) -> Slot {
        let list = field.kind.ends_with("[]");
        let kind = field.kind.trim_end_matches("[]");
        let mut plain = if field.link { "String".to_owned() } else { self.rust(kind, inside.filter(|_| !list)) };
        if field.secret && plain == "String" {
            plain = "Secret".to_owned();
        }
        let wire = if list { format!("{}[]", self.wire(kind)) } else { self.wire(kind) };
        Slot {
            name: field.name.clone(),
            rust: wrap(plain, list, field.optional),
            wire,
            since: self.since(&field.since),
        }
    }

    /// Returns the Rust type of one value; `inside` is the type that holds it without a list between.
    fn rust(&self, kind: &str, inside: Option<&str>) -> String {
        match kind {
            "string" | "vmodl.URI" | "vmodl.TypeName" | "vmodl.PropertyPath" | "vmodl.MethodName" | "type" => "String",
            "boolean" => "bool",
            "byte" => "i8",
            "short" => "i16",
            "int" => "i32",
            "long" => "i64",
            "float" => "f32",
            "double" => "f64",
            "anyType" => "Any",
            "vmodl.DateTime" => "DateTime",
            "vmodl.Binary" | "vmodl.Binary[]" => "Binary",
            "vmodl.MethodFault" => "LocalizedMethodFault",
            "vmodl.MethodFaultObject" => "AnyMethodFault",
            kind => return self.named(kind, inside),
        }
        .to_owned()
    }

    fn named(&self, kind: &str, inside: Option<&str>) -> String {
        if let Some(entry) = self.metadata.enums.get(kind) {
            return entry.wire.clone();
        }
        let Some(entry) = self.metadata.data.get(kind) else { return "MoRef".to_owned() };
        if self.is_polymorphic(kind) {
            format!("Any{}", entry.wire)
        } else if inside == Some(kind) {
            format!("Box<{}>", entry.wire)
        } else {
            entry.wire.clone()
        }
    }

    fn wire(&self, kind: &str) -> String {
        let metadata = self.metadata;
        let data = metadata.data.get(kind).map(|entry| &entry.wire);
        let named = data.or_else(|| metadata.enums.get(kind).map(|entry| &entry.wire));
        match named {
            Some(wire) => wire.clone(),
            None if metadata.managed.contains_key(kind) => "ManagedObjectReference".to_owned(),
            None => kind.rsplit('.').next().unwrap_or(kind).to_owned(),
        }
    }

    /// Returns the API version, or nothing for what the first version of the API had.
    fn since(&self, version: &str) -> String {
        let api = self.metadata.versions.get(version).map_or("", String::as_str);
        let number = |index: usize| api.split('.').nth(index).and_then(|part| part.parse::<u32>().ok());
        match (number(0), number(1)) {
            (Some(_), Some(_)) if api.chars().all(|c| c == '.' || c.is_ascii_digit()) && api != "2.5" => api.to_owned(),
            (None, _) if api.starts_with('m') => "9.1.0.0".to_owned(),
            _ => String::new(),
        }
    }
}

fn is_root(vmodl: &str) -> bool {
    matches!(vmodl, "vmodl.DynamicData" | "vmodl.DataObject")
}

fn wrap(plain: String, list: bool, optional: bool) -> String {
    match (list, optional) {
        (true, _) => format!("Vec<{plain}>"),
        (false, true) => format!("Option<{plain}>"),
        (false, false) => plain,
    }
}
