//! What the control endpoint tells of sessions, leases and calls; the leak report is its `open`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Soap;
use super::lease::Lease;
use super::state::{Ending, State, VmState};

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::TimedOut => "timed out",
            Self::SessionEnded => "session ended",
            Self::Vanished => "vanished",
        }
    }
}

/// Returns everything; `paths` are those of the inventory's VMs.
pub(super) fn report(soap: &Soap, state: &State, paths: &[String]) -> Value {
    let mut endings: BTreeMap<&str, u64> =
        [Ending::Completed, Ending::Aborted, Ending::TimedOut, Ending::SessionEnded, Ending::Vanished]
            .map(|e| (e.word(), 0))
            .into();
    for past in &state.past_leases {
        *endings.entry(past.ending.word()).or_default() += 1;
    }
    let holds = |lease: &&Lease| lease.phase.holds_vm();
    let past = state.past_leases.iter().map(|past| lease(&past.lease, paths, past.ending.word()));
    let present = state.leases.values().map(|open| lease(open, paths, open.phase.state().as_str()));
    let blocked = (0..state.vms.len()).filter(|&vm| state.check_free(vm).is_err());
    let unmerged = (0..state.vms.len()).filter(|&vm| state.vms[vm].needs_consolidation());
    let calls: BTreeMap<&str, u64> = state.calls.iter().map(|(name, stats)| (name.as_str(), stats.calls)).collect();
    let faults: BTreeMap<&str, u64> = state
        .calls
        .iter()
        .filter(|(_, stats)| stats.faults > 0)
        .map(|(name, stats)| (name.as_str(), stats.faults))
        .collect();
    json!({
        "open": {
            "sessions": state.sessions.all().count(),
            "leases": state.leases.values().filter(holds).count(),
            "views": state.views.len(),
            "collectors": state.collectors.len(),
            "tasks": state.tasks.running(),
            "snapshots": state.vms.iter().map(made_here).sum::<usize>(),
        },
        "sessions": {
            "logins": state.sessions.logins,
            "refused": state.sessions.refused,
            "expired": state.sessions.expired,
        },
        "leases": present.chain(past).collect::<Vec<_>>(),
        "lease_endings": endings,
        "consolidation_needed": unmerged.filter_map(|vm| paths.get(vm)).collect::<Vec<_>>(),
        "blocked_vms": blocked.filter_map(|vm| paths.get(vm)).collect::<Vec<_>>(),
        "calls": calls,
        "faults": faults,
        "api_version": soap.versions.newest().to_string(),
    })
}

/// Returns how many of a VM's snapshots somebody has made: those of the inventory are nobody's leak.
fn made_here(vm: &VmState) -> usize {
    vm.snapshots.iter().filter(|snapshot| !snapshot.wish.declared).count()
}

fn lease(lease: &Lease, paths: &[String], state: &str) -> Value {
    json!({
        "vm": paths.get(lease.vm),
        "state": state,
        "created_ms": lease.created_ms,
        "progress_calls": lease.seen.progress_calls,
        "percent": lease.seen.percent,
        "percent_wrong": lease.seen.percent_wrong,
        "manifest_calls": lease.seen.manifest_calls,
        "abort_reason": lease.seen.abort_reason,
    })
}
