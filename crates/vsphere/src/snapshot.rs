//! A snapshot that is made for one purpose and removed on every way out.
//!
//! ```text
//!  create ─► task ─► Snapshot ─┬─► remove        merged back, or an error that names it
//!    │                         └─► dropped       a task of its own removes it
//!    └─► stopped, failed, answer lost: what was made all the same is looked for and removed
//! ```
//!
//! A snapshot that stays grows with every write of the guest until the datastore is full, so one that is
//! left behind is an incident. Only the snapshot that was made here is ever touched: it is known by its
//! object once there is one, and by its name, which nobody else has, before. Where the way out cannot tell
//! that nothing is left, it says so: [`NotMade`].
//!
//! Memory is never part of it: of no use to an export, and slow.

mod pending;
mod removal;
mod tree;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::task::{self, Waiting};
use crate::wire::generated::{
    AnyVirtualMachineGuestQuiesceSpec, CreateSnapshotExTask, CreateSnapshotTask, VirtualMachineGuestQuiesceSpec,
};
use crate::wire::{ApiVersion, MoRef};

use pending::Pending;
pub use pending::is_busy;
pub use removal::{Removed, remove};
pub use tree::{Found, list};

/// Longest wait for a snapshot. Quiescing alone may take minutes, and so do many disks.
const CREATE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long the guest may take to quiesce, in minutes; the API allows 5 to 240.
const QUIESCE_MINUTES: i32 = 5;

/// API version that brought `CreateSnapshotEx_Task`.
const CREATE_EX_SINCE: &str = "6.5";

/// The snapshot that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSnapshot {
    /// Its name. Must be one that no other snapshot of the VM has.
    pub name: String,
    /// What people read who find it.
    pub description: String,
    /// Ask the guest to bring its file systems, and applications that listen, to rest before.
    pub quiesce: bool,
}

/// Why there is no snapshot, and what became of one that was made all the same.
#[derive(Debug)]
pub struct NotMade {
    /// Why.
    pub error: Error,
    /// The end of what was made. The default: nothing was, or it is gone. An error: something may be left under
    /// the name that was asked for, also later when the server is slow.
    pub removed: Result<Removed>,
}

impl NotMade {
    /// The server has done nothing.
    fn nothing(error: Error) -> Self {
        Self { error, removed: Ok(Removed::default()) }
    }
}

/// A snapshot that is ours to remove.
#[derive(Debug)]
pub struct Snapshot {
    session: Session,
    vm: MoRef,
    moref: MoRef,
    name: String,
    /// True until it was removed or the removal was given up.
    armed: bool,
}

impl Snapshot {
    /// Makes a snapshot of `vm`. `progress` hears percentages. After `cancel`, or an error, what was made is
    /// looked for and removed until `give_up`.
    ///
    /// # Errors
    /// What the server says: at once or in the task; [`ErrorKind::Cancelled`] when `cancel` came first. Whether
    /// something is left then, is said beside the error and not by its kind.
    pub async fn create(
        session: &Session,
        vm: &MoRef,
        new: &NewSnapshot,
        cancel: &CancellationToken,
        give_up: &CancellationToken,
        progress: impl FnMut(u8),
    ) -> std::result::Result<Self, NotMade> {
        let mut pending = Pending::new(session, vm, &new.name);
        match made(session, vm, new, cancel, progress).await {
            Ok(moref) => {
                pending.disarm();
                let snapshot =
                    Self { session: session.clone(), vm: vm.clone(), moref, name: new.name.clone(), armed: true };
                if cancel.is_cancelled() {
                    let error = Error::new(ErrorKind::Cancelled, format!("make the snapshot `{}`: stopped", new.name));
                    return Err(NotMade { error, removed: snapshot.remove(give_up).await });
                }
                Ok(snapshot)
            }
            Err(Failed::Nothing(error)) => {
                pending.disarm();
                Err(NotMade::nothing(error))
            }
            Err(Failed::Unsure(error)) => Err(NotMade { error, removed: pending.clear(give_up).await }),
        }
    }

    /// Returns the object.
    pub fn moref(&self) -> &MoRef {
        &self.moref
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the guest was brought to rest for it, as the server says.
    ///
    /// # Errors
    /// What the server says; [`ErrorKind::NotFound`] when somebody else has removed it.
    pub async fn is_quiesced(&self) -> Result<bool> {
        let found = list(&self.session, &self.vm).await?;
        let ours = found.iter().find(|found| found.moref == self.moref);
        let gone = || Error::new(ErrorKind::NotFound, format!("look at the snapshot `{}`: it is gone", self.name));
        Ok(ours.ok_or_else(gone)?.quiesced)
    }

    /// Removes the snapshot and merges what was written since. Several attempts are made; a removal that
    /// the server has begun is waited for until `give_up`, and goes on without us after it.
    ///
    /// # Errors
    /// When it is still there; the message names it.
    pub async fn remove(mut self, give_up: &CancellationToken) -> Result<Removed> {
        let result = removal::insist(&self.session, &self.vm, &self.moref, &self.name, give_up).await;
        self.armed = false;
        result
    }

    /// Removes it, and says in the log what could not be: for ways out that have an error already.
    async fn remove_or_say(self) {
        if let Err(error) = self.remove(&CancellationToken::new()).await {
            warn!(%error, "a snapshot is left");
        }
    }
}

impl Drop for Snapshot {
    /// A future was dropped or a task panicked: nobody waits, so a task of its own removes it.
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (session, vm, moref, name) = (self.session.clone(), self.vm.clone(), self.moref.clone(), self.name.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                Self { session, vm, moref, name, armed: false }.remove_or_say().await;
            });
        }
    }
}

/// How making a snapshot failed.
enum Failed {
    /// The server says that it made none.
    Nothing(Error),
    /// There may be one.
    Unsure(Error),
}

/// Tells a refusal of the call that makes a snapshot from an answer that was lost.
fn refused(error: Error) -> Failed {
    use ErrorKind as Kind;
    match error.kind() {
        Kind::Unreachable | Kind::Protocol | Kind::SessionLost | Kind::Cancelled => Failed::Unsure(error),
        _ => Failed::Nothing(error),
    }
}

async fn made(
    session: &Session,
    vm: &MoRef,
    new: &NewSnapshot,
    cancel: &CancellationToken,
    progress: impl FnMut(u8),
) -> std::result::Result<MoRef, Failed> {
    let doing = format!("make the snapshot `{}`", new.name);
    let task = begin(session, vm, new).await.map_err(|error| refused(error.context(doing.as_str())))?;
    let waiting = Waiting { doing: &doing, limit: CREATE_LIMIT, cancel };
    // Once there is a task, only the task itself can say that nothing was made: what a wait for it fails with,
    // a fault of the server too, is about the wait.
    let info = task::ended(session, &task, waiting, progress).await.map_err(Failed::Unsure)?;
    let info = task::outcome(info, &doing).map_err(Failed::Nothing)?;
    task::result(&info).map_err(Failed::Unsure)
}

/// Starts the task: by the newer call where the server has it, for it bounds how long a guest quiesces.
async fn begin(session: &Session, vm: &MoRef, new: &NewSnapshot) -> Result<MoRef> {
    let newer = ApiVersion::parse(CREATE_EX_SINCE).is_some_and(|since| session.version() >= since);
    if newer && new.quiesce {
        let quiesce = VirtualMachineGuestQuiesceSpec { timeout: Some(QUIESCE_MINUTES) };
        let call = CreateSnapshotExTask {
            this: vm.clone(),
            name: new.name.clone(),
            description: Some(new.description.clone()),
            memory: false,
            quiesce_spec: Some(AnyVirtualMachineGuestQuiesceSpec::from(quiesce)),
        };
        match session.call(vm, &call).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            result => return result,
        }
    }
    let call = CreateSnapshotTask {
        this: vm.clone(),
        name: new.name.clone(),
        description: Some(new.description.clone()),
        memory: false,
        quiesce: new.quiesce,
    };
    session.call(vm, &call).await
}
