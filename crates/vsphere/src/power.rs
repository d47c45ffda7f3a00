//! Power of a VM: off at once, or by its guest, which takes its time and may not listen.
//!
//! ```text
//!  shut_down ─► ShutdownGuest ─► power state, as it changes ─┬─► off
//!     │ VMware Tools do not run                              └─► deadline ─► one more look ─► Late
//!     └─► NoTools
//!  switch_off ─► PowerOffVM_Task ─► off
//! ```
//!
//! What is wanted is a VM that is off, so one that is off already is a success, whoever did it; and an answer
//! that was lost is looked for in the power state before anything is asked a second time. Deliberately absent:
//! switching on, and any choice between the two ways, which is the caller's.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::{Error, ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::task::{self, Waiting};
use crate::wire::MoRef;
use crate::wire::generated::{PowerOffVMTask, ShutdownGuest, VirtualMachinePowerState};

/// Longest wait for the task of a power off. It takes seconds, unless the host is about to fail.
const OFF_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How often something is asked whose answer was lost, and the pause after a wait whose connection broke.
const TRIES: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(1);

const STATE: &str = "runtime.powerState";

/// Returns the power state of a VM.
///
/// # Errors
/// What the server says.
pub async fn state(session: &Session, vm: &MoRef) -> Result<VirtualMachinePowerState> {
    properties::read(session, vm, &[STATE]).await?.require(STATE)
}

/// Takes the power away from a VM, running or suspended. Its guest is not asked.
///
/// # Errors
/// What the server says, at once or in the task; [`ErrorKind::Cancelled`] when `cancel` came first: the VM may
/// go off all the same.
pub async fn switch_off(session: &Session, vm: &MoRef, cancel: &CancellationToken) -> Result<()> {
    const DOING: &str = "power the VM off";
    let mut attempt = 1;
    loop {
        let call = PowerOffVMTask { this: vm.clone() };
        let waiting = Waiting { doing: DOING, limit: OFF_LIMIT, cancel };
        let result = match session.call(vm, &call).await {
            Ok(task) => task::wait(session, &task, waiting, |_| {}).await.map(drop),
            Err(error) => Err(error.context(DOING)),
        };
        let Err(error) = result else { return Ok(()) };
        if !is_about_state(&error) {
            return Err(error);
        }
        if is_off(session, vm).await {
            return Ok(());
        }
        if error.kind() != ErrorKind::Unreachable || attempt >= TRIES || cancel.is_cancelled() {
            return Err(error);
        }
        debug!(%vm, attempt, %error, "powering off again");
        attempt += 1;
    }
}

/// Asks the guest of a running VM to shut down and waits until the VM is off.
///
/// # Errors
/// [`ErrorKind::NoTools`] when nobody in the guest hears; [`ErrorKind::Late`] when the VM is not off after
/// `limit`, which ends nothing in the guest; [`ErrorKind::Cancelled`] when `cancel` came first: the guest was
/// asked then, and nobody can take that back.
pub async fn shut_down(session: &Session, vm: &MoRef, limit: Duration, cancel: &CancellationToken) -> Result<()> {
    let deadline = Instant::now() + limit;
    if ask(session, vm).await? == Asked::IsOff {
        return Ok(());
    }
    tokio::select! {
        went_off = wait_off(session, vm, deadline) => {
            if went_off? {
                return Ok(());
            }
        }
        () = cancel.cancelled() => {
            let context = "shut the guest down: stopped; the guest was asked, and may still do it";
            return Err(Error::new(ErrorKind::Cancelled, context));
        }
    }
    // What came last may have been lost together with the wait.
    if is_off(session, vm).await {
        return Ok(());
    }
    let context = format!("shut the guest down: the VM is not off after {} s", limit.as_secs());
    Err(Error::new(ErrorKind::Late, context))
}

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The guest has heard it, or may have.
    Heard,
    /// There is nobody left to ask.
    IsOff,
}

/// Asks the guest. A guest that is asked twice shuts down once.
async fn ask(session: &Session, vm: &MoRef) -> Result<Asked> {
    let mut attempt = 1;
    loop {
        let error = match session.call(vm, &ShutdownGuest { this: vm.clone() }).await {
            Ok(()) => return Ok(Asked::Heard),
            Err(error) => error.context("shut the guest down"),
        };
        if is_about_state(&error) && is_off(session, vm).await {
            return Ok(Asked::IsOff);
        }
        if error.kind() != ErrorKind::Unreachable || attempt >= TRIES {
            return Err(error);
        }
        debug!(%vm, attempt, %error, "asking the guest again");
        attempt += 1;
    }
}

/// Waits for a VM to go off, whatever becomes of connections and sessions meanwhile. Returns false when it has
/// not until `deadline`.
async fn wait_off(session: &Session, vm: &MoRef, deadline: Instant) -> Result<bool> {
    let off =
        |object: &Object| object.get(STATE).is_ok_and(|state| state == Some(VirtualMachinePowerState::PoweredOff));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match properties::wait_until(session, vm, &[STATE], left, off).await {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() != ErrorKind::Unreachable => return Err(error.context("shut the guest down")),
            Err(_) if Instant::now() + RETRY_DELAY >= deadline => return Ok(false),
            Err(error) => debug!(%vm, %error, "waiting again"),
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Returns whether the power state could explain an error: the VM was off, or the answer was lost.
fn is_about_state(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::State | ErrorKind::Unreachable | ErrorKind::SessionLost)
}

/// Returns true when the VM is known to be off.
async fn is_off(session: &Session, vm: &MoRef) -> bool {
    match state(session, vm).await {
        Ok(state) => state == VirtualMachinePowerState::PoweredOff,
        Err(error) => {
            debug!(%vm, %error, "cannot look at the power state");
            false
        }
    }
}
