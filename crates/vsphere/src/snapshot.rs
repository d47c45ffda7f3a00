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
//! object once there is one, and by its name, which nobody else has, before.
//!
//! Memory is never part of it: of no use to an export, and slow.

mod removal;
mod tree;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::task::{self, Waiting};
use crate::wire::generated::{
    AnyVirtualMachineGuestQuiesceSpec, CreateSnapshotExTask, CreateSnapshotTask, VirtualMachineGuestQuiesceSpec,
};
use crate::wire::{ApiVersion, MoRef};

pub use removal::{Removed, remove};
pub use tree::{Found, list};

/// Longest wait for a snapshot. Quiescing alone may take minutes, and so do many disks.
const CREATE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long the guest may take to quiesce, in minutes; the API allows 5 to 240.
const QUIESCE_MINUTES: i32 = 5;

/// API version that brought `CreateSnapshotEx_Task`.
const CREATE_EX_SINCE: &str = "6.5";

/// How often, and with which pauses, a snapshot is looked for that may or may not have been made.
const LOOK_TRIES: u32 = 5;
const LOOK_DELAY: Duration = Duration::from_secs(2);

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
    /// Makes a snapshot of `vm`. `progress` hears percentages.
    ///
    /// # Errors
    /// What the server says: at once or in the task; [`ErrorKind::Cancelled`] when `cancel` came first.
    /// Nothing is left then, but for what the log names.
    pub async fn create(
        session: &Session,
        vm: &MoRef,
        new: &NewSnapshot,
        cancel: &CancellationToken,
        progress: impl FnMut(u8),
    ) -> Result<Self> {
        let mut pending = Pending { session: session.clone(), vm: vm.clone(), name: Some(new.name.clone()) };
        match made(session, vm, new, cancel, progress).await {
            Ok(moref) => {
                pending.name = None;
                let snapshot =
                    Self { session: session.clone(), vm: vm.clone(), moref, name: new.name.clone(), armed: true };
                if cancel.is_cancelled() {
                    snapshot.remove_or_say().await;
                    return Err(Error::new(ErrorKind::Cancelled, format!("make the snapshot `{}`: stopped", new.name)));
                }
                Ok(snapshot)
            }
            Err(error) => {
                if may_exist(&error) {
                    pending.clear().await;
                }
                pending.name = None;
                Err(error)
            }
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

/// Returns false for errors that say that the server did nothing.
fn may_exist(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Protocol | ErrorKind::SessionLost | ErrorKind::Cancelled)
}

async fn made(
    session: &Session,
    vm: &MoRef,
    new: &NewSnapshot,
    cancel: &CancellationToken,
    progress: impl FnMut(u8),
) -> Result<MoRef> {
    let doing = format!("make the snapshot `{}`", new.name);
    let task = begin(session, vm, new).await.map_err(|error| error.context(doing.as_str()))?;
    let info = task::wait(session, &task, Waiting { doing: &doing, limit: CREATE_LIMIT, cancel }, progress).await?;
    task::result(&info)
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

/// A snapshot that may exist already, known by its name only; dropped, it is looked for and removed.
struct Pending {
    session: Session,
    vm: MoRef,
    name: Option<String>,
}

impl Pending {
    async fn clear(&mut self) {
        if let Some(name) = self.name.take() {
            clear(&self.session, &self.vm, &name).await;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let (session, vm) = (self.session.clone(), self.vm.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { clear(&session, &vm, &name).await });
        }
    }
}

/// Looks for a snapshot by its name, for a while: the task that makes it may not be done.
async fn clear(session: &Session, vm: &MoRef, name: &str) {
    for attempt in 1..=LOOK_TRIES {
        match list(session, vm).await {
            Ok(found) => {
                if let Some(found) = found.into_iter().find(|found| found.name == name) {
                    let vm = vm.clone();
                    let ours =
                        Snapshot { session: session.clone(), vm, moref: found.moref, name: found.name, armed: true };
                    return ours.remove_or_say().await;
                }
                if !is_busy(session, vm).await {
                    return;
                }
            }
            // Nobody lets us in any more, and accounts lock.
            Err(error) if error.kind() == ErrorKind::Login => {
                warn!(%name, %error, "a snapshot may be left");
                return;
            }
            Err(error) => warn!(%name, attempt, %error, "look for a snapshot that may have been made"),
        }
        tokio::time::sleep(LOOK_DELAY).await;
    }
}

/// Returns whether the server is at work on `vm`; one that does not say counts as at work.
async fn is_busy(session: &Session, vm: &MoRef) -> bool {
    let Ok(object) = properties::read(session, vm, &["recentTask"]).await else { return true };
    for task in object.list::<MoRef>("recentTask").unwrap_or_default() {
        let info = properties::read(session, &task, &["info"]).await;
        if info.is_ok_and(|info| info.get("info").is_ok_and(|info| info.is_some_and(|info| !task::is_final(&info)))) {
            return true;
        }
    }
    false
}
