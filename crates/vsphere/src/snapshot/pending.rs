//! A snapshot that may exist already and is known by its name only.
//!
//! It is looked for until the server shows that there is none and that nothing is at work that could still make
//! it. What is found is removed; where nothing of that can be shown in time, that is an error, for then a
//! snapshot may appear when nobody looks any more.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Snapshot;
use super::removal::{Removed, soon};
use super::tree::list;
use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::task;
use crate::wire::MoRef;
use crate::wire::generated::TaskInfo;

/// Longest look for a snapshot while the server is at work on its VM: as long as a guest may take to quiesce.
const LOOK_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Pause between two looks, and how many may fail.
const LOOK_DELAY: Duration = Duration::from_secs(2);
const LOOK_FAILURES_MAX: u32 = 5;

/// A snapshot that may exist already; dropped, it is looked for and removed.
pub(super) struct Pending {
    session: Session,
    vm: MoRef,
    name: Option<String>,
}

impl Pending {
    /// Is about to ask for the snapshot `name`.
    pub(super) fn new(session: &Session, vm: &MoRef, name: &str) -> Self {
        Self { session: session.clone(), vm: vm.clone(), name: Some(name.to_owned()) }
    }

    /// There is nothing to look for any more.
    pub(super) fn disarm(&mut self) {
        self.name = None;
    }

    /// Looks for it and removes it.
    ///
    /// # Errors
    /// When it may be there, or still come.
    pub(super) async fn clear(mut self, give_up: &CancellationToken) -> Result<Removed> {
        match self.name.clone() {
            None => Ok(Removed::default()),
            Some(name) => {
                let removed = clear(&self.session, &self.vm, &name, give_up).await;
                self.disarm();
                removed
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let (session, vm) = (self.session.clone(), self.vm.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = clear(&session, &vm, &name, &CancellationToken::new()).await {
                    warn!(%error, "a snapshot may be left");
                }
            });
        }
    }
}

/// What a look has shown.
enum Seen {
    /// There is none, and nothing is at work that could make one.
    Absent,
    /// There it is.
    There(MoRef),
    /// There is none yet.
    Unsettled,
}

async fn clear(session: &Session, vm: &MoRef, name: &str, give_up: &CancellationToken) -> Result<Removed> {
    let deadline = Instant::now() + LOOK_LIMIT;
    let mut failures = 0;
    loop {
        let unsettled = match look(session, vm, name).await {
            Ok(Seen::Absent) => return Ok(Removed::default()),
            Ok(Seen::There(moref)) => {
                let (session, vm, name) = (session.clone(), vm.clone(), name.to_owned());
                return Snapshot { session, vm, moref, name, armed: true }.remove(give_up).await;
            }
            Ok(Seen::Unsettled) => {
                let context = format!("look for the snapshot `{name}`: the server is still at work on the VM");
                Error::new(ErrorKind::Unreachable, context)
            }
            Err(error) => {
                failures += 1;
                // Nobody lets us in any more, and accounts lock.
                if error.kind() == ErrorKind::Login || failures >= LOOK_FAILURES_MAX {
                    return Err(error.context(format!("look for the snapshot `{name}`")));
                }
                error.context(format!("look for the snapshot `{name}`"))
            }
        };
        if Instant::now() >= deadline {
            return Err(unsettled);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_DELAY) => {}
            () = give_up.cancelled() => return Err(unsettled),
        }
    }
}

/// The tasks first: one that ends between the two looks has made what the second one shows.
async fn look(session: &Session, vm: &MoRef, name: &str) -> Result<Seen> {
    let busy = is_busy(session, vm).await?;
    let found = soon(list(session, vm)).await?.into_iter().find(|found| found.name == name);
    Ok(match found {
        Some(found) => Seen::There(found.moref),
        None if busy => Seen::Unsettled,
        None => Seen::Absent,
    })
}

/// Returns whether the server is at work on `vm`: then a snapshot that is not there may still come.
///
/// # Errors
/// What the server says; [`ErrorKind::Unreachable`] also when it says nothing for half a minute.
pub async fn is_busy(session: &Session, vm: &MoRef) -> Result<bool> {
    soon(async {
        let object = properties::read(session, vm, &["recentTask"]).await?;
        for task in object.list::<MoRef>("recentTask")? {
            match properties::read(session, &task, &["info"]).await.and_then(|object| object.get::<TaskInfo>("info")) {
                Ok(Some(info)) if !task::is_final(&info) => return Ok(true),
                Ok(_) => {}
                // Forgotten by the server, or somebody else's: we see our own.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Permission) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    })
    .await
}
