//! Exports of a VM that may run: a snapshot is made, exported in place of the VM, and removed.
//!
//! ```text
//!  note its name in the claim ─► make it ─► (is it quiesced?) ─► lease, streams, descriptor ─► remove it
//!                                   └──────────────── every other way out ────────────────────────┘
//! ```
//!
//! The name is noted, durably, before the snapshot is asked for. So the next run of the same export finds
//! what a run that was killed has left, by name and description, and removes that and nothing else. The note
//! goes only when the server has shown that none of the snapshots is there and none can come any more.

use tokio_util::sync::CancellationToken;
use vsphere::snapshot::{self, Found, NewSnapshot, Removed, Snapshot};
use vsphere::wire::MoRef;
use vsphere::wire::generated::VirtualMachinePowerState;
use vsphere::{Session, properties};

use super::meter::Reporter;
use super::package::Package;
use super::plan::Plan;
use super::{Phase, refusal, unless, with_patience};
use crate::{Error, ErrorKind, Result, rights};

/// What the names of our snapshots start with.
const NAME_PREFIX: &str = "hyper2kvm-export-";

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
}

/// Why there is no snapshot.
#[derive(Debug)]
pub(super) struct NotHeld {
    /// Why.
    pub(super) error: Error,
    /// False when one may be left all the same; the reporter has heard of it.
    pub(super) cleared: bool,
}

impl Wanted {
    /// Chooses a name and notes it, durably.
    ///
    /// # Errors
    /// [`ErrorKind::Target`].
    pub(super) fn note(policy: SnapshotPolicy, package: &mut Package) -> Result<Self> {
        let name = format!("{NAME_PREFIX}{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        rights::run_current(|| package.note_snapshot(&name))?;
        Ok(Self { policy, name })
    }
}

impl Held {
    /// Makes the snapshot that is wanted.
    ///
    /// # Errors
    /// What the server says; [`ErrorKind::State`] when the guest did not come to rest as it was asked to.
    pub(super) async fn make(
        session: &Session,
        plan: &Plan,
        wanted: Wanted,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> std::result::Result<Self, NotHeld> {
        let (vm, policy, name) = (&plan.vm.moref, wanted.policy, wanted.name);
        let quiesce = plan.runs() && policy == SnapshotPolicy::Quiesce;
        let new = NewSnapshot { description: description(&name), name, quiesce };
        let create = |give_up| {
            let new = &new;
            async move { Snapshot::create(session, vm, new, cancel, &give_up, |_| {}).await }
        };
        let snapshot = match with_patience(cancel, create).await {
            Ok(snapshot) => snapshot,
            Err(not_made) => {
                let cleared = tell(&new.name, &not_made.removed, reporter);
                return Err(NotHeld { error: refusal::explain(&plan.vm.path, not_made.error), cleared });
            }
        };
        let consistency = unless(cancel, consistency(session, plan, policy, &snapshot)).await;
        match consistency {
            Ok(consistency) => Ok(Self { snapshot, consistency }),
            Err(error) => {
                reporter.phase(Phase::Undoing);
                let held = Self { snapshot, consistency: Consistency::Crash };
                Err(NotHeld { error, cleared: held.remove(reporter, cancel).await })
            }
        }
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
        tell(&name, &removed, reporter)
    }
}

/// Asks in which state the guest was for its snapshot.
///
/// The power is that of now where the plan saw the VM off: somebody may have switched it on since, and what the
/// tree says of a snapshot without memory is what a VM is after going back to it, off. A VM that was switched on
/// only after its snapshot counts as running too; that claims less than it could, never more.
///
/// # Errors
/// [`ErrorKind::State`] when the guest ran and did not come to rest as it was asked to; what the server says.
async fn consistency(
    session: &Session,
    plan: &Plan,
    policy: SnapshotPolicy,
    snapshot: &Snapshot,
) -> Result<Consistency> {
    let failed = |error| refusal::explain(&plan.vm.path, error);
    if !plan.runs() && is_off(session, &plan.vm.moref).await.map_err(failed)? {
        return Ok(Consistency::PoweredOff);
    }
    if policy == SnapshotPolicy::Crash {
        return Ok(Consistency::Crash);
    }
    // A server may take such a snapshot without the guest's help, and say so nowhere but in the tree.
    if snapshot.is_quiesced().await.map_err(failed)? {
        return Ok(Consistency::Quiesced);
    }
    let (reason, hint) = match plan.runs() {
        true => ("the guest did not come to rest for the snapshot", refusal::CRASH_HINT),
        false => ("it was switched on before its snapshot, so its guest was not asked to rest", "run it again"),
    };
    Err(Error::new(ErrorKind::State, format!("export {}: {reason}", plan.vm.path)).with_hint(hint))
}

async fn is_off(session: &Session, vm: &MoRef) -> vsphere::Result<bool> {
    let path = "runtime.powerState";
    let state: Option<VirtualMachinePowerState> = properties::read(session, vm, &[path]).await?.get(path)?;
    Ok(state == Some(VirtualMachinePowerState::PoweredOff))
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

/// Removes what earlier runs of this export have left under `noted` names, whatever is exported now; mentions
/// what another export may have left, where snapshots are wanted. Returns false when something may still be there.
pub(super) async fn clear_leftovers(
    session: &Session,
    plan: &Plan,
    policy: Option<SnapshotPolicy>,
    noted: &[String],
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> bool {
    let vm = &plan.vm.moref;
    if policy.is_none() && noted.is_empty() {
        return true;
    }
    let look = async {
        // In this order: what is made between the two looks is seen by the second.
        let busy = !noted.is_empty() && snapshot::is_busy(session, vm).await?;
        Ok((busy, snapshot::list(session, vm).await?))
    };
    let (busy, found) = match unless(cancel, look).await {
        Ok(seen) => seen,
        Err(error) => {
            if !noted.is_empty() {
                let names = noted.join("`, `");
                reporter
                    .warning(&format!("cannot tell whether earlier exports have left the snapshot `{names}`: {error}"));
            }
            return noted.is_empty();
        }
    };
    let mut cleared = !busy || noted.iter().all(|name| found.iter().any(|found| found.name == *name));
    for found in found {
        let name = &found.name;
        match judge(&found, noted) {
            Leftover::Foreign => {}
            Leftover::AnothersExport => reporter.warning(&format!(
                "the VM has the snapshot `{name}` of another export; delete it in vSphere if none is running"
            )),
            Leftover::Ours => cleared &= remove_leftover(session, &found, reporter, cancel).await,
        }
    }
    cleared
}

/// Removes a snapshot of an earlier run. Returns false when it may still be there.
async fn remove_leftover(session: &Session, found: &Found, reporter: &Reporter, cancel: &CancellationToken) -> bool {
    let (moref, name) = (&found.moref, found.name.as_str());
    let removal = |give_up| async move { snapshot::remove(session, moref, name, &give_up).await };
    match with_patience(cancel, removal).await {
        // Somebody else was quicker.
        Err(error) if error.kind() == vsphere::ErrorKind::NotFound => true,
        removed => {
            let cleared = tell(name, &removed, reporter);
            if cleared {
                reporter.warning(&format!("removed the snapshot `{name}` that an earlier export had left"));
            }
            cleared
        }
    }
}

/// Says what a person should know of a removal. Returns false when the snapshot may still be there.
fn tell(name: &str, removed: &vsphere::Result<Removed>, reporter: &Reporter) -> bool {
    match removed {
        Ok(removed) if removed.goes_on => {
            reporter.warning(&format!("the server is still removing the snapshot `{name}`; look whether it ends well"));
            false
        }
        Ok(removed) => {
            if removed.consolidation_needed {
                reporter.warning(
                    "the VM's disks need consolidation after the removal of the snapshot: in vSphere, Snapshots > \
                     Consolidate",
                );
            }
            true
        }
        Err(error) => {
            let reason = error.fault().map_or_else(|| error.to_string(), ToString::to_string);
            reporter.warning(&format!("the snapshot `{name}` may be left, delete it in vSphere if so: {reason}"));
            false
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
