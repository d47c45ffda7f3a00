//! Power and CD-ROM drives against vcsim, a server that we did not write.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vsphere::cdrom::{self, Ejected, Loaded, Medium};
use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    ReconfigVMTask, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecOperation, VirtualMachineConfigSpec, VirtualMachinePowerState as Power,
};
use vsphere::{ErrorKind, Session, inventory, power, task};

use crate::vcsim::session;

const MINUTE: Duration = Duration::from_secs(60);
const ISO: &str = "[LocalDS_0] iso/debian.iso";

async fn vm(session: &Session) -> MoRef {
    inventory::find(session, "DC0_H0_VM0").await.unwrap().moref
}

#[tokio::test]
async fn a_running_vm_goes_off_by_either_way_and_one_that_is_off_is_left_alone() {
    let test = "a_running_vm_goes_off_by_either_way_and_one_that_is_off_is_left_alone";
    let Some((_vcsim, session)) = session(test, &[]).await else { return };
    let never = CancellationToken::new();
    let vms = inventory::list(&session).await.unwrap();
    let [first, second, ..] = vms.as_slice() else { panic!("{vms:?}") };
    assert_eq!(power::state(&session, &first.moref).await.unwrap(), Power::PoweredOn);
    for _ in 0..2 {
        power::switch_off(&session, &first.moref, &never).await.unwrap();
        assert_eq!(power::state(&session, &first.moref).await.unwrap(), Power::PoweredOff);
    }
    for _ in 0..2 {
        power::shut_down(&session, &second.moref, MINUTE, &never).await.unwrap();
        assert_eq!(power::state(&session, &second.moref).await.unwrap(), Power::PoweredOff);
    }
    session.logout().await.unwrap();
}

#[tokio::test]
async fn power_of_a_vm_that_is_gone_is_an_error_of_its_kind() {
    let test = "power_of_a_vm_that_is_gone_is_an_error_of_its_kind";
    let Some((_vcsim, session)) = session(test, &[]).await else { return };
    let never = CancellationToken::new();
    let gone = MoRef::new("VirtualMachine", "vm-999999");
    let error = power::switch_off(&session, &gone, &never).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let error = power::shut_down(&session, &gone, MINUTE, &never).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    session.logout().await.unwrap();
}

/// Puts an image into the drive of a VM, as a user would.
async fn load(session: &Session, vm: &MoRef, file: &str) {
    let mut drive = cdrom::drives(session, vm).await.unwrap().remove(0);
    let mut image = VirtualCdromIsoBackingInfo::default();
    file.clone_into(&mut image.file_name);
    drive.backing = Some(image.into());
    let change = VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Edit),
        device: drive.into(),
        ..VirtualDeviceConfigSpec::default()
    };
    let spec = VirtualMachineConfigSpec { device_change: vec![change.into()], ..VirtualMachineConfigSpec::default() };
    let call = ReconfigVMTask { this: vm.clone(), spec };
    let started = session.call(vm, &call).await.unwrap();
    let never = CancellationToken::new();
    let waiting = task::Waiting { doing: "load the drive", limit: MINUTE, cancel: &never };
    task::wait(session, &started, waiting, |_| {}).await.unwrap();
}

fn media(drives: &[VirtualCdrom]) -> Vec<Option<String>> {
    drives.iter().map(|drive| Medium::of(drive).map(|medium| medium.to_string())).collect()
}

#[tokio::test]
async fn a_medium_leaves_its_drive_and_comes_back_as_it_was() {
    let Some((_vcsim, session)) = session("a_medium_leaves_its_drive_and_comes_back_as_it_was", &[]).await else {
        return;
    };
    let (vm, never) = (vm(&session).await, CancellationToken::new());
    load(&session, &vm, ISO).await;
    let before = cdrom::drives(&session, &vm).await.unwrap();
    assert_eq!(media(&before), [Some(ISO.to_owned())]);
    let loaded: Vec<_> = before.iter().filter_map(|drive| Loaded::of(drive)).collect();
    let (ejected, result) = Ejected::eject(&session, &vm, loaded.clone(), &never).await;
    result.unwrap();
    assert_eq!(media(&cdrom::drives(&session, &vm).await.unwrap()), [None]);
    assert_eq!(ejected.put_back(&never).await.unwrap(), cdrom::PutBack::default());
    let after = cdrom::drives(&session, &vm).await.unwrap();
    assert_eq!(after.iter().map(|drive| Loaded::of(drive)).collect::<Vec<_>>(), [Some(loaded[0].clone())]);
    // Once more, as after a crash whose note was not yet taken away.
    assert_eq!(cdrom::put_back(&session, &vm, &loaded, &never).await.unwrap(), cdrom::PutBack::default());
    // What somebody has put in since is theirs.
    load(&session, &vm, "[LocalDS_0] iso/rescue.iso").await;
    let put_back = cdrom::put_back(&session, &vm, &loaded, &never).await.unwrap();
    assert!(put_back.left[0].contains("rescue.iso"), "{put_back:?}");
    assert_eq!(media(&cdrom::drives(&session, &vm).await.unwrap()), [Some("[LocalDS_0] iso/rescue.iso".to_owned())]);
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_dropped_eject_puts_its_medium_back() {
    let Some((_vcsim, session)) = session("a_dropped_eject_puts_its_medium_back", &[]).await else { return };
    let (vm, never) = (vm(&session).await, CancellationToken::new());
    load(&session, &vm, ISO).await;
    let loaded = cdrom::drives(&session, &vm).await.unwrap().iter().filter_map(|drive| Loaded::of(drive)).collect();
    let (ejected, result) = Ejected::eject(&session, &vm, loaded, &never).await;
    result.unwrap();
    drop(ejected);
    for _ in 0..500 {
        if media(&cdrom::drives(&session, &vm).await.unwrap()) == [Some(ISO.to_owned())] {
            return session.logout().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the medium stays out");
}

#[tokio::test]
async fn drives_are_removed_once_and_for_all() {
    let Some((_vcsim, session)) = session("drives_are_removed_once_and_for_all", &[]).await else { return };
    let (vm, never) = (vm(&session).await, CancellationToken::new());
    power::switch_off(&session, &vm, &never).await.unwrap();
    assert_eq!(cdrom::remove_all(&session, &vm, &never).await.unwrap().len(), 1);
    assert_eq!(cdrom::drives(&session, &vm).await.unwrap(), []);
    assert_eq!(cdrom::remove_all(&session, &vm, &never).await.unwrap(), Vec::<String>::new());
    session.logout().await.unwrap();
}
