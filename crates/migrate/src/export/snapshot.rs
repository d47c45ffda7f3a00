//! Exports of a VM that may run: a snapshot is made, exported in place of the VM, and removed.
//!
//! ```text
//!  note its name in the claim ─► make it ─► (is it quiesced?) ─► lease, streams, descriptor ─► remove it
//!                                   └──────────────── every other way out ────────────────────────┘
//! ```
//!
//! The name is noted, durably, before the snapshot is asked for. So the next run of the same export finds
//! what a run that was killed has left, by name and description, and removes that and nothing else.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vsphere::Session;
use vsphere::snapshot::{self, Found, NewSnapshot, Removed, Snapshot};
use vsphere::wire::MoRef;

use super::meter::Reporter;
use super::package::Package;
use super::plan::Plan;
use super::{Phase, blocking, refusal};
use crate::{Error, ErrorKind, Result};

/// What the names of our snapshots start with.
const NAME_PREFIX: &str = "hyper2kvm-export-";

/// How long a stop waits for the server to merge a snapshot whose removal it has begun.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How much is asked of the guest of a running VM before its snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPolicy {
    /// Nothing: the disks are as after a loss of power.
    Crash,
    /// To bring its file systems to rest; an export for which it does not is refused.
    Quiesce,
}

/// In which state of its guest the disks of a snapshot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// As after a loss of power.
    Crash,
    /// The guest had brought its file systems to rest.
    Quiesced,
    /// The VM was off.
    PoweredOff,
}

/// The snapshot that was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Its name.
    pub name: String,
    /// What its disks hold.
    pub consistency: Consistency,
}

/// A snapshot that is there for this export.
#[derive(Debug)]
pub(super) struct Held {
    snapshot: Snapshot,
    consistency: Consistency,
}

/// What is known before a snapshot is made.
#[derive(Debug)]
pub(super) struct Wanted {
    policy: SnapshotPolicy,
    /// The name that it will have, noted in the claim.
    name: String,
    /// Names that earlier runs of this export have noted.
    earlier: Vec<String>,
}

impl Wanted {
    /// Chooses a name and notes it, durably. On an error the package has been given up.
    ///
    /// # Errors
    /// [`ErrorKind::Target`].
    pub(super) async fn note(policy: SnapshotPolicy, mut package: Package) -> Result<(Self, Package)> {
        let name = format!("{NAME_PREFIX}{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        blocking(move || {
            let earlier = package.snapshots();
            match package.note_snapshot(&name) {
                Ok(()) => Ok((Self { policy, name, earlier }, package)),
                Err(error) => {
                    package.give_up();
                    Err(error)
                }
            }
        })
        .await
    }
}

impl Held {
    /// Removes what an earlier run has left, and makes the snapshot that is wanted.
    ///
    /// # Errors
    /// What the server says; [`ErrorKind::State`] when the guest did not come to rest as it was asked to. No
    /// snapshot is left then.
    pub(super) async fn make(
        session: &Session,
        plan: &Plan,
        wanted: Wanted,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        clear_leftovers(session, &plan.vm.moref, &wanted.earlier, reporter, cancel).await;
        let runs = plan.runs();
        let quiesce = runs && wanted.policy == SnapshotPolicy::Quiesce;
        let new = NewSnapshot { description: description(&wanted.name), name: wanted.name, quiesce };
        let snapshot = Snapshot::create(session, &plan.vm.moref, &new, cancel, |_| {}).await;
        let snapshot = snapshot.map_err(|error| refusal::explain(&plan.vm.path, error))?;
        let consistency = match (runs, quiesce) {
            (false, _) => Consistency::PoweredOff,
            (true, false) => Consistency::Crash,
            (true, true) => Consistency::Quiesced,
        };
        let held = Self { snapshot, consistency };
        if !quiesce {
            return Ok(held);
        }
        // A server may take such a snapshot without the guest's help, and say so nowhere but in the tree.
        let refused = match held.snapshot.is_quiesced().await {
            Ok(true) => return Ok(held),
            Ok(false) => {
                let context = format!("export {}: the guest did not come to rest for the snapshot", plan.vm.path);
                Error::new(ErrorKind::State, context).with_hint(refusal::CRASH_HINT)
            }
            Err(error) => refusal::explain(&plan.vm.path, error),
        };
        reporter.phase(Phase::Undoing);
        held.remove(reporter, cancel).await;
        Err(refused)
    }

    /// Returns the object to export.
    pub(super) fn moref(&self) -> &MoRef {
        self.snapshot.moref()
    }

    /// Returns what to say about it when all is done.
    pub(super) fn report(&self) -> SnapshotReport {
        SnapshotReport { name: self.snapshot.name().to_owned(), consistency: self.consistency }
    }

    /// Removes it. What cannot be removed becomes a warning that says what to do, for the export itself is
    /// right or has its own error. Returns false when it may still be there.
    pub(super) async fn remove(self, reporter: &Reporter, cancel: &CancellationToken) -> bool {
        let name = self.snapshot.name().to_owned();
        let removed = with_patience(cancel, |give_up| async move { self.snapshot.remove(&give_up).await }).await;
        tell(&name, &removed, reporter);
        removed.is_ok_and(|removed| !removed.goes_on)
    }
}

/// Says to whoever finds it what it is. Also how we know our own.
fn description(name: &str) -> String {
    format!("{name}: made by hyper2kvm for one export of this VM; safe to delete once that export has ended")
}

/// What is to be done with a snapshot of an earlier run.
#[derive(Debug, PartialEq, Eq)]
enum Leftover {
    /// This export's own earlier run has made it: remove it.
    Ours,
    /// Another export has made it, and may be running: only mention it.
    AnothersExport,
    /// None of our business.
    Foreign,
}

fn judge(found: &Found, noted: &[String]) -> Leftover {
    let made_by_us = found.name.starts_with(NAME_PREFIX) && found.description == description(&found.name);
    match (made_by_us, noted.contains(&found.name)) {
        (true, true) => Leftover::Ours,
        (true, false) => Leftover::AnothersExport,
        (false, _) => Leftover::Foreign,
    }
}

/// Removes what an earlier run of this export has left; mentions what another one may have.
async fn clear_leftovers(
    session: &Session,
    vm: &MoRef,
    noted: &[String],
    reporter: &Reporter,
    cancel: &CancellationToken,
) {
    let found = match snapshot::list(session, vm).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "look for snapshots of earlier exports");
            return;
        }
    };
    for found in found {
        let name = &found.name;
        match judge(&found, noted) {
            Leftover::Foreign => {}
            Leftover::AnothersExport => reporter.warning(&format!(
                "the VM has the snapshot `{name}` of another export; delete it in vSphere if none is running"
            )),
            Leftover::Ours => {
                let (moref, name) = (&found.moref, name.as_str());
                let removed =
                    with_patience(
                        cancel,
                        |give_up| async move { snapshot::remove(session, moref, name, &give_up).await },
                    );
                match removed.await {
                    Ok(removed) if !removed.goes_on => {
                        reporter.warning(&format!("removed the snapshot `{name}` that an earlier export had left"));
                        tell(name, &Ok(removed), reporter);
                    }
                    removed => tell(name, &removed, reporter),
                }
            }
        }
    }
}

/// Runs a removal with a token that asks it to let go some time after a stop.
async fn with_patience<T, F>(cancel: &CancellationToken, removal: impl FnOnce(CancellationToken) -> F) -> T
where
    F: Future<Output = T>,
{
    let give_up = CancellationToken::new();
    let removal = removal(give_up.clone());
    let impatience = async {
        cancel.cancelled().await;
        tokio::time::sleep(STOP_PATIENCE).await;
        give_up.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = removal => done,
        () = impatience => unreachable!("impatience only lets go"),
    }
}

fn tell(name: &str, removed: &vsphere::Result<Removed>, reporter: &Reporter) {
    match removed {
        Ok(removed) if removed.goes_on => {
            reporter.warning(&format!("the server is still removing the snapshot `{name}`; look whether it ends well"));
        }
        Ok(removed) if removed.consolidation_needed => reporter.warning(
            "the VM's disks need consolidation after the removal of the snapshot: in vSphere, Snapshots > Consolidate",
        ),
        Ok(_) => {}
        Err(error) => {
            let reason = error.fault().map_or_else(|| error.to_string(), ToString::to_string);
            reporter.warning(&format!("the snapshot `{name}` is left, delete it in vSphere: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, description: &str) -> Found {
        Found {
            moref: MoRef::new("VirtualMachineSnapshot", "snapshot-1"),
            name: name.into(),
            description: description.into(),
            quiesced: false,
            has_children: false,
        }
    }

    #[test]
    fn only_what_this_export_has_noted_and_described_is_its_own() {
        let ours = format!("{NAME_PREFIX}0123456789ab");
        let noted = vec![ours.clone(), "before upgrade".to_owned()];
        for (name, text, expected) in [
            (ours.as_str(), description(&ours), Leftover::Ours),
            (&ours, "somebody renamed theirs".to_owned(), Leftover::Foreign),
            ("before upgrade", description(&ours), Leftover::Foreign),
            ("before upgrade", description("before upgrade"), Leftover::Foreign),
            ("hyper2kvm-export-ffffffffffff", description("hyper2kvm-export-ffffffffffff"), Leftover::AnothersExport),
            ("nightly backup", String::new(), Leftover::Foreign),
        ] {
            assert_eq!(judge(&found(name, &text), &noted), expected, "{name}: {text}");
        }
    }
}
