//! From `migrate`'s types to those of the wire. Only names change here.

use hyper_api as wire;
use migrate::export::{Consistency, FileReport, Phase, Proof, Report, SnapshotPolicy, SnapshotReport};

/// Returns a VM as it stands on the wire.
pub fn vm(vm: migrate::inventory::Vm) -> wire::Vm {
    wire::Vm {
        path: vm.path,
        name: vm.name,
        moref: vm.moref,
        instance_uuid: vm.instance_uuid,
        power_state: vm.power_state,
        connection_state: vm.connection_state,
        template: vm.template,
        guest: vm.guest,
        cpus: vm.cpus,
        memory_mib: vm.memory_mib,
        capacity_bytes: vm.capacity_bytes,
        committed_bytes: vm.committed_bytes,
    }
}

pub(super) fn phase(phase: Phase) -> wire::Phase {
    match phase {
        Phase::Connecting => wire::Phase::Connecting,
        Phase::Planning => wire::Phase::Planning,
        Phase::Preparing => wire::Phase::Preparing,
        Phase::Copying => wire::Phase::Copying,
        Phase::Verifying => wire::Phase::Verifying,
        Phase::Finishing => wire::Phase::Finishing,
        Phase::Undoing => wire::Phase::Undoing,
        // A phase that migrate has learnt and this table has not.
        _ => wire::Phase::Unknown,
    }
}

pub(super) fn report(report: Report) -> wire::Report {
    wire::Report {
        vm_path: report.vm_path,
        instance_uuid: report.instance_uuid,
        directory: report.directory,
        descriptor: report.descriptor,
        files: report.files.into_iter().map(file).collect(),
        received_bytes: report.received_bytes,
        copy_ms: report.copy_ms,
        snapshot: report.snapshot.map(snapshot),
        proof: report.proof.map(proof),
    }
}

/// Returns what a request asks of a snapshot. Words that this version does not know were refused before.
pub(super) fn policy(policy: wire::SnapshotPolicy) -> Option<SnapshotPolicy> {
    match policy {
        wire::SnapshotPolicy::Crash => Some(SnapshotPolicy::Crash),
        wire::SnapshotPolicy::Quiesce => Some(SnapshotPolicy::Quiesce),
        _ => None,
    }
}

fn snapshot(snapshot: SnapshotReport) -> wire::SnapshotReport {
    let consistency = match snapshot.consistency {
        Consistency::Crash => wire::Consistency::Crash,
        Consistency::Quiesced => wire::Consistency::Quiesced,
        Consistency::PoweredOff => wire::Consistency::PoweredOff,
    };
    wire::SnapshotReport { name: snapshot.name, consistency }
}

fn file(file: FileReport) -> wire::FileReport {
    wire::FileReport {
        name: file.name,
        size_bytes: file.size_bytes,
        sha256: file.sha256,
        capacity_bytes: file.capacity_bytes,
        populated_bytes: file.populated_bytes,
        proof: file.proof.map(proof),
    }
}

fn proof(proof: Proof) -> wire::Proof {
    match proof {
        Proof::Received => wire::Proof::Received,
        Proof::Manifest => wire::Proof::Manifest,
    }
}
