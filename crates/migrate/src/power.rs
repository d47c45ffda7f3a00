//! Bringing a VM off: by its guest, and where that is allowed without it.
//!
//! Which way was taken is part of the answer: a guest whose power was taken may have lost what it had not yet
//! written, and whoever reads the report should know.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vsphere::inventory::Vm;
use vsphere::{Session, power};

use crate::{Error, ErrorKind, Result};

/// The way out where nobody in the guest hears.
pub(crate) const NO_TOOLS_HINT: &str =
    "install or start VMware Tools in the guest, shut it down by hand, or take its power with --force-off";

/// How a guest is to be shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long the guest may take.
    pub limit: Duration,
    /// Take the power from a guest that has not shut down by then, or that nobody can ask.
    pub force_off: bool,
}

/// How a VM went off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Off {
    /// It was off.
    Already,
    /// Its guest has shut down.
    ByGuest,
    /// Its power was taken, because its guest did not listen.
    ByForce,
}

/// Brings a running VM off.
///
/// # Errors
/// [`ErrorKind::State`] when nobody in the guest hears, or the VM is suspended; [`ErrorKind::Late`] when the guest
/// has not shut down in time; what the server says. None of them comes where force is allowed and works.
pub(crate) async fn shut_down(session: &Session, vm: &Vm, how: Shutdown, cancel: &CancellationToken) -> Result<Off> {
    match vm.power_state.as_str() {
        "poweredOff" => return Ok(Off::Already),
        "suspended" => {
            let context = format!("shut {} down: it is suspended, so its guest does not listen", vm.path);
            return Err(Error::new(ErrorKind::State, context).with_hint("resume it first, or power it off"));
        }
        _ => {}
    }
    let error = match power::shut_down(session, &vm.moref, how.limit, cancel).await {
        Ok(()) => return Ok(Off::ByGuest),
        Err(error) => error,
    };
    let did_not_listen = matches!(error.kind(), vsphere::ErrorKind::NoTools | vsphere::ErrorKind::Late);
    if did_not_listen && how.force_off {
        tracing::info!(vm = %vm.path, %error, "taking the power");
        switch_off(session, vm, cancel).await?;
        return Ok(Off::ByForce);
    }
    let hint = match error.kind() {
        vsphere::ErrorKind::NoTools => Some(NO_TOOLS_HINT),
        vsphere::ErrorKind::Late => Some("give it more time (--shutdown=600s), or take its power with --force-off"),
        _ => None,
    };
    let error = Error::from(error.context(vm.path.clone()));
    Err(match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

/// Takes the power from a VM.
///
/// # Errors
/// What the server says.
pub(crate) async fn switch_off(session: &Session, vm: &Vm, cancel: &CancellationToken) -> Result<()> {
    Ok(power::switch_off(session, &vm.moref, cancel).await.map_err(|error| error.context(vm.path.clone()))?)
}
