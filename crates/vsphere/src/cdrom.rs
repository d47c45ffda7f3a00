//! CD/DVD drives of a VM: what is in them, taken out for a while and put back, or removed for good.
//!
//! ```text
//!  drives ─► Loaded… ─► eject ─► Ejected ─┬─► put_back     the same medium, as it was
//!                         │               └─► dropped      a task of its own puts it back
//!                         └─► failed, stopped, answer lost: what was taken out is put back
//! ```
//!
//! [`Loaded`] is all that is needed to put a medium back, so a caller can note it before, and [`put_back`] is
//! safe to repeat: it looks at the drive first, and touches only one that is as [`Ejected`] has left it. A drive
//! into which somebody has put something else meanwhile is theirs.
//!
//! A medium is taken out by changing what the drive stands on: a connection that is only switched off keeps the
//! image among the files of the VM, and a host looks for those. Deliberately absent: answering a guest that
//! has locked its drive.

mod medium;
mod put_back;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::task::{self, Waiting};
use crate::wire::MoRef;
use crate::wire::generated::{
    AnyVirtualDevice, AnyVirtualDeviceConfigSpec, ReconfigVMTask, VirtualCdrom, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecOperation, VirtualMachineConfigSpec,
};

pub use medium::{Loaded, Medium};
pub use put_back::{NotPutBack, PutBack, put_back};

/// Longest wait for a change of drives. It takes a second, unless a guest has locked its drive.
const CHANGE_LIMIT: Duration = Duration::from_secs(2 * 60);

/// Bound on the call that begins a change, so that a stop is not held up.
const CALL_LIMIT: Duration = Duration::from_secs(30);

const DEVICES: &str = "config.hardware.device";

/// Returns the CD/DVD drives among devices.
pub fn among(devices: &[AnyVirtualDevice]) -> impl Iterator<Item = &VirtualCdrom> {
    devices.iter().filter_map(|device| match device {
        AnyVirtualDevice::VirtualCdrom(drive) => Some(drive.as_ref()),
        _ => None,
    })
}

/// Reads the CD/DVD drives of a VM.
///
/// # Errors
/// What the server says.
pub async fn drives(session: &Session, vm: &MoRef) -> Result<Vec<VirtualCdrom>> {
    let object = properties::read(session, vm, &[DEVICES]).await?;
    Ok(among(&object.list::<AnyVirtualDevice>(DEVICES)?).cloned().collect())
}

/// Removes all CD/DVD drives of a VM, with what is in them, and returns their labels. None is left to remove
/// the second time.
///
/// # Errors
/// What the server says: IDE drives come and go only while the VM is off ([`ErrorKind::State`]).
pub async fn remove_all(session: &Session, vm: &MoRef, cancel: &CancellationToken) -> Result<Vec<String>> {
    let drives = drives(session, vm).await?;
    if drives.is_empty() {
        return Ok(Vec::new());
    }
    let removals = drives.iter().map(|drive| {
        // Key and place are enough, and all that is never wrong.
        let device = VirtualDevice { backing: None, connectable: None, device_info: None, ..drive.base.clone() };
        change(VirtualDeviceConfigSpecOperation::Remove, device)
    });
    reconfigure(session, vm, removals.collect(), "remove the CD/DVD drives", cancel).await?;
    Ok(drives.iter().map(|drive| label(drive)).collect())
}

/// Media that are out of their drives and go back on every way out.
#[derive(Debug)]
pub struct Ejected {
    session: Session,
    vm: MoRef,
    media: Vec<Loaded>,
    /// True until they were put back, or that was given up.
    armed: bool,
}

impl Ejected {
    /// Takes `media` out of their drives. Beside an error they are to be put back all the same: a change whose
    /// answer was lost may have been made, and putting back is safe where it was not.
    ///
    /// The error is what the server says; [`ErrorKind::Cancelled`] when `cancel` came first; [`ErrorKind::Late`]
    /// when the server does not do it, as where a guest has locked its drive.
    pub async fn eject(
        session: &Session,
        vm: &MoRef,
        media: Vec<Loaded>,
        cancel: &CancellationToken,
    ) -> (Self, Result<()>) {
        let changes = media.iter().map(|loaded| change(VirtualDeviceConfigSpecOperation::Edit, loaded.emptied()));
        let changes = changes.collect();
        let ejected = Self { session: session.clone(), vm: vm.clone(), media, armed: true };
        let result = reconfigure(session, vm, changes, "take the media out of the CD/DVD drives", cancel).await;
        (ejected, result)
    }

    /// Puts the media back, as [`put_back`].
    ///
    /// # Errors
    /// As [`put_back`].
    pub async fn put_back(mut self, give_up: &CancellationToken) -> std::result::Result<PutBack, NotPutBack> {
        let result = put_back(&self.session, &self.vm, &self.media, give_up).await;
        self.armed = false;
        result
    }
}

impl Drop for Ejected {
    /// A future was dropped or a task panicked: nobody waits, so a task of its own puts them back.
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (session, vm, media) = (self.session.clone(), self.vm.clone(), std::mem::take(&mut self.media));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(not) = put_back(&session, &vm, &media, &CancellationToken::new()).await {
                    warn!(error = %not.error, "a medium is left out of its drive");
                }
            });
        }
    }
}

/// Changes devices of a VM in one task: all of them or none.
async fn reconfigure(
    session: &Session,
    vm: &MoRef,
    changes: Vec<AnyVirtualDeviceConfigSpec>,
    doing: &str,
    cancel: &CancellationToken,
) -> Result<()> {
    let spec = VirtualMachineConfigSpec { device_change: changes, ..VirtualMachineConfigSpec::default() };
    let call = ReconfigVMTask { this: vm.clone(), spec };
    let task = session.call_within(vm, &call, CALL_LIMIT).await.map_err(|error| error.context(doing))?;
    let waiting = Waiting { doing, limit: CHANGE_LIMIT, cancel };
    match task::wait(session, &task, waiting, |_| {}).await {
        Err(error) if error.kind() == ErrorKind::Unreachable => {
            let context = format!("{doing}: the server has not done it within {} s", CHANGE_LIMIT.as_secs());
            Err(Error::new(ErrorKind::Late, context).with_source(error))
        }
        ended => ended.map(drop),
    }
}

fn change(operation: VirtualDeviceConfigSpecOperation, device: VirtualDevice) -> AnyVirtualDeviceConfigSpec {
    let device = VirtualCdrom { base: device }.into();
    VirtualDeviceConfigSpec { operation: Some(operation), device, ..VirtualDeviceConfigSpec::default() }.into()
}

/// Returns what people call a drive.
pub fn label(drive: &VirtualDevice) -> String {
    drive.device_info.as_ref().map_or_else(|| format!("drive {}", drive.key), |info| info.label.clone())
}
