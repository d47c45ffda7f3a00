//! `ReconfigVM_Task`: annotation, change tracking, CD-ROM drives; everything else is refused by name,
//! and so is `Destroy_Task`.
//!
//! As on a vCenter, what is wrong with a specification ends the task, not the call. What the change
//! makes of the VM is worked out when the call comes: the task holds the VM until it ends.

use vsphere::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceBackingInfo as Backing, DestroyTask, ReconfigVMTask, VirtualDevice,
    VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation as Operation, VirtualMachineConfigSpec,
    VirtualMachinePowerState as Power,
};
use vsphere::wire::{Any, Encode, Fault, MoRef};

use super::call::Call;
use super::configured::Configured;
use super::fault::{self, Outcome};
use super::power::usable;
use super::task::{self, Change, Work};
use crate::inventory::is_datastore_path;

/// `ReconfigVM_Task`.
pub(crate) fn reconfigure(call: &Call<'_>, request: ReconfigVMTask) -> Outcome<MoRef> {
    let mut state = call.lock();
    let subject = call.subject(&state, &request.this)?;
    state.check_free(subject.vm)?;
    let vm = &state.vms[subject.vm];
    let running = vm.power == Power::PoweredOn;
    let usable = if call.world.inventory.vms[subject.vm].template { Ok(()) } else { usable(call, &subject)? };
    let end = usable.and_then(|()| changed(&vm.configured, request.spec, running, call.encode()));
    let end = end.map(|configured| Change::Configure(Box::new(configured)));
    let (method, description_id) = ("ReconfigVM_Task", "VirtualMachine.reconfigure");
    let work = Work { method, description_id, takes: task::SHORT, end };
    Ok(task::start(call, &mut state, subject, work))
}

/// `Destroy_Task`: a VM that is held says so, and nothing is ever destroyed.
pub(crate) fn destroy(call: &Call<'_>, request: DestroyTask) -> Outcome<MoRef> {
    call.node(&request.this)?;
    let state = call.lock();
    if let Ok(subject) = call.subject(&state, &request.this) {
        state.check_free(subject.vm)?;
    }
    Err(fault::not_supported("a simulator destroys nothing"))
}

/// Returns a configuration after a change.
fn changed(
    now: &Configured,
    spec: VirtualMachineConfigSpec,
    running: bool,
    encode: Encode,
) -> Result<Configured, Fault> {
    let mut next = now.clone();
    next.version += 1;
    let VirtualMachineConfigSpec { change_version, annotation, change_tracking_enabled, device_change, .. } = &spec;
    if change_version.as_ref().is_some_and(|version| *version != now.change_version()) {
        return Err(fault::concurrent_access());
    }
    if let Some(annotation) = annotation {
        next.annotation.clone_from(annotation);
    }
    next.change_tracking = change_tracking_enabled.unwrap_or(now.change_tracking);
    for (index, change) in (0..).zip(device_change) {
        device(&mut next, change, running).map_err(|problem| problem.into_fault(index))?;
    }
    refuse_the_rest(spec, encode)?;
    Ok(next)
}

/// Refuses a specification that asks for more than this server can change, and says for what.
fn refuse_the_rest(spec: VirtualMachineConfigSpec, encode: Encode) -> Result<(), Fault> {
    let rest = VirtualMachineConfigSpec {
        change_version: None,
        annotation: None,
        change_tracking_enabled: None,
        device_change: Vec::new(),
        ..spec
    };
    let rest = Any::new(&rest, encode);
    let mut names: Vec<&str> = rest.element().children.iter().map(|child| child.name.as_str()).collect();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    Err(fault::not_supported(&format!("this server does not change {}", names.join(", "))))
}

/// What is wrong with the change of one device.
#[derive(Debug)]
enum Problem {
    /// The specification makes no sense.
    Spec(String),
    /// This server does not do it.
    Unsupported(String),
    /// Not while the VM runs.
    Running,
}

impl Problem {
    fn into_fault(self, index: i32) -> Fault {
        match self {
            Self::Spec(why) => fault::invalid_device_spec(index, &why),
            Self::Unsupported(what) => fault::not_supported(&what),
            Self::Running => fault::invalid_power_state(Power::PoweredOff, Power::PoweredOn),
        }
    }
}

fn device(next: &mut Configured, change: &VirtualDeviceConfigSpec, running: bool) -> Result<(), Problem> {
    if change.file_operation.is_some() {
        return Err(Problem::Unsupported("this server makes and deletes no files".to_owned()));
    }
    let key = change.device.key;
    let drive = next.drives.iter().position(|drive| drive.place.key == key);
    let kind = change.device.type_name();
    let is_drive = matches!(change.device, AnyVirtualDevice::VirtualCdrom(_) | AnyVirtualDevice::VirtualDevice(_));
    match (&change.operation, drive) {
        (Some(Operation::Add), _) => Err(Problem::Unsupported(format!("this server adds no {kind}"))),
        (_, None) if is_drive => Err(Problem::Spec(format!("there is no CD-ROM drive with the key {key}"))),
        (_, None) => Err(Problem::Unsupported(format!("this server changes no {kind}"))),
        (_, Some(_)) if !is_drive => Err(Problem::Spec(format!("the device with the key {key} is no {kind}"))),
        // IDE devices come and go only while the VM is off.
        (Some(Operation::Remove), Some(_)) if running => Err(Problem::Running),
        (Some(Operation::Remove), Some(at)) => {
            next.drives.remove(at);
            Ok(())
        }
        // A change without an operation is taken for an edit.
        (_, Some(at)) => edit(&mut next.drives[at], &change.device),
    }
}

/// Changes what is in a drive and whether it is connected; what is not said stays.
fn edit(drive: &mut super::configured::Drive, device: &VirtualDevice) -> Result<(), Problem> {
    if let Some(backing) = &device.backing {
        match backing {
            Backing::VirtualCdromIsoBackingInfo(image) if !is_datastore_path(&image.file_name) => {
                return Err(Problem::Spec(format!("`{}` is no file of a datastore", image.file_name)));
            }
            Backing::VirtualCdromIsoBackingInfo(_)
            | Backing::VirtualCdromAtapiBackingInfo(_)
            | Backing::VirtualCdromPassthroughBackingInfo(_)
            | Backing::VirtualCdromRemoteAtapiBackingInfo(_)
            | Backing::VirtualCdromRemotePassthroughBackingInfo(_) => drive.backing = backing.clone(),
            other => return Err(Problem::Spec(format!("a {} is not in a CD-ROM drive", other.type_name()))),
        }
    }
    if let Some(connection) = &device.connectable {
        drive.connection = connection.clone();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vsphere::wire::ApiVersion;
    use vsphere::wire::generated::{
        AnyVirtualDeviceConfigSpec, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualCdromRemotePassthroughBackingInfo,
        VirtualDeviceConfigSpecFileOperation, VirtualDeviceConnectInfo, VirtualDisk,
    };

    use super::*;
    use crate::inventory::Vm;

    fn now() -> Configured {
        let text = "path = \"DC0/vm/a\"\nannotation = \"old\"\nisos = [\"[d] a.iso\", \"[d] b.iso\"]\n";
        Configured::of(&toml::from_str::<Vm>(text).unwrap())
    }

    fn apply(spec: VirtualMachineConfigSpec, running: bool) -> Result<Configured, (String, String)> {
        let encode = Encode { version: ApiVersion::NEWEST };
        let fault = |fault: Fault| (fault.detail.unwrap().type_name().to_owned(), fault.text);
        changed(&now(), spec, running, encode).map_err(fault)
    }

    fn with(operation: Operation, device: impl Into<AnyVirtualDevice>) -> VirtualMachineConfigSpec {
        let change = VirtualDeviceConfigSpec {
            operation: Some(operation),
            device: device.into(),
            ..VirtualDeviceConfigSpec::default()
        };
        let device_change: Vec<AnyVirtualDeviceConfigSpec> = vec![change.into()];
        VirtualMachineConfigSpec { device_change, ..VirtualMachineConfigSpec::default() }
    }

    fn cdrom(key: i32, backing: Option<Backing>) -> VirtualCdrom {
        VirtualCdrom { base: VirtualDevice { key, backing, ..VirtualDevice::default() } }
    }

    fn iso(path: &str) -> Backing {
        let mut image = VirtualCdromIsoBackingInfo::default();
        path.clone_into(&mut image.file_name);
        image.into()
    }

    #[test]
    fn a_drive_is_removed_by_its_key_and_the_other_stays_where_it_is() {
        let before = now();
        let after = apply(with(Operation::Remove, cdrom(3000, None)), false).unwrap();
        assert_eq!(after.drives, before.drives[1..]);
        assert_eq!((after.version, after.annotation.as_str()), (2, "old"));
        let (kind, _) = apply(with(Operation::Remove, cdrom(3000, None)), true).unwrap_err();
        assert_eq!(kind, "InvalidPowerState");
    }

    #[test]
    fn a_drive_is_emptied_filled_and_disconnected_also_while_the_vm_runs() {
        let empty = VirtualCdromRemotePassthroughBackingInfo::default().into();
        let after = apply(with(Operation::Edit, cdrom(3000, Some(empty))), true).unwrap();
        assert_eq!(after.images().map(|(_, path)| path).collect::<Vec<_>>(), ["[d] b.iso"]);
        assert!(after.drives[0].connection.start_connected);
        let mut device = cdrom(3000, Some(iso("[d] c.iso")));
        device.base.connectable = Some(VirtualDeviceConnectInfo::default());
        let after = apply(with(Operation::Edit, device), true).unwrap();
        assert_eq!(after.images().map(|(_, path)| path).collect::<Vec<_>>(), ["[d] c.iso", "[d] b.iso"]);
        assert!(!after.drives[0].connection.start_connected);
    }

    #[test]
    fn annotation_and_change_tracking_are_kept() {
        let spec = VirtualMachineConfigSpec {
            annotation: Some("new".to_owned()),
            change_tracking_enabled: Some(true),
            change_version: Some(now().change_version()),
            ..VirtualMachineConfigSpec::default()
        };
        let after = apply(spec, true).unwrap();
        assert_eq!((after.annotation.as_str(), after.change_tracking), ("new", true));
    }

    #[test]
    fn what_cannot_be_changed_is_refused_by_name() {
        let disk =
            || VirtualDisk { base: VirtualDevice { key: 2000, ..VirtualDevice::default() }, ..Default::default() };
        let mut destroying = with(Operation::Remove, disk());
        if let Some(AnyVirtualDeviceConfigSpec::VirtualDeviceConfigSpec(change)) = destroying.device_change.first_mut()
        {
            change.file_operation = Some(VirtualDeviceConfigSpecFileOperation::Destroy);
        }
        let spec = VirtualMachineConfigSpec::default;
        let cases = [
            (VirtualMachineConfigSpec { num_cp_us: Some(4), ..spec() }, "NotSupported", "numCPUs"),
            (VirtualMachineConfigSpec { change_version: Some("7".into()), ..spec() }, "ConcurrentAccess", "changed"),
            (with(Operation::Remove, disk()), "NotSupported", "VirtualDisk"),
            (destroying, "NotSupported", "files"),
            (with(Operation::Add, cdrom(-1, None)), "NotSupported", "adds no VirtualCdrom"),
            (with(Operation::Remove, cdrom(3009, None)), "InvalidDeviceSpec", "3009"),
            (with(Operation::Edit, cdrom(3000, Some(iso("c.iso")))), "InvalidDeviceSpec", "`c.iso`"),
        ];
        for (spec, expected, word) in cases {
            let (kind, text) = apply(spec, false).unwrap_err();
            assert!(kind == expected && text.contains(word), "{kind}: {text}");
        }
    }
}
