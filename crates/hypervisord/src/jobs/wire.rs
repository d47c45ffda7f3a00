//! From `migrate`'s types to those of the wire. Only names change here.

use hyper_api as wire;
use migrate::conversion;
use migrate::export::{Consistency, FileReport, Phase, Proof, Report, SnapshotReport};

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

/// Returns what a request asks of a conversion; none when it holds words that this version does not know.
pub(super) fn conversion(spec: &wire::ConvertSpec) -> Option<conversion::Request> {
    let format = match spec.format {
        wire::ImageFormat::Raw => conversion::Format::Raw,
        wire::ImageFormat::Qcow2 => conversion::Format::Qcow2,
        wire::ImageFormat::Vmdk => conversion::Format::Vmdk,
        wire::ImageFormat::Ova => conversion::Format::Ova,
        wire::ImageFormat::Ovf => conversion::Format::Ovf,
        _ => return None,
    };
    let compression = match spec.compression {
        None => None,
        Some(wire::Compression::Deflate) => Some(conversion::Compression::Deflate),
        Some(wire::Compression::Zstd) => Some(conversion::Compression::Zstd),
        Some(_) => return None,
    };
    Some(conversion::Request {
        source: spec.source.clone(),
        output: spec.output.clone(),
        format,
        compression,
        cluster_bytes: spec.cluster_bytes,
        replace: spec.replace,
        follow_outside: spec.follow_outside,
        source_is_raw: spec.source_is_raw,
    })
}

pub(super) fn converted(request: &conversion::Request, report: conversion::Report) -> wire::Conversion {
    let disk = |disk: conversion::DiskReport| wire::ConvertedDisk {
        name: disk.name,
        capacity_bytes: disk.capacity_bytes,
        content_blake3: disk.content_blake3,
    };
    let file = |file: conversion::FileReport| wire::ConvertedFile {
        path: file.path,
        size_bytes: file.size_bytes,
        allocated_bytes: file.allocated_bytes,
    };
    wire::Conversion {
        format: format(request.format),
        output: report.output,
        disks: report.disks.into_iter().map(disk).collect(),
        files: report.files.into_iter().map(file).collect(),
        read_bytes: report.read_bytes,
        kept_bytes: report.kept_bytes,
        copy_ms: report.copy_ms,
    }
}

fn format(format: conversion::Format) -> wire::ImageFormat {
    match format {
        conversion::Format::Raw => wire::ImageFormat::Raw,
        conversion::Format::Qcow2 => wire::ImageFormat::Qcow2,
        conversion::Format::Vmdk => wire::ImageFormat::Vmdk,
        conversion::Format::Ova => wire::ImageFormat::Ova,
        conversion::Format::Ovf => wire::ImageFormat::Ovf,
    }
}

pub(super) fn verified(report: migrate::verify::Report) -> wire::Verification {
    let mismatch = |mismatch: migrate::verify::Mismatch| wire::Mismatch {
        name: mismatch.name,
        algorithm: mismatch.algorithm,
        expected: mismatch.expected,
        found: mismatch.found,
    };
    wire::Verification {
        verified: report.verified,
        mismatches: report.mismatches.into_iter().map(mismatch).collect(),
        not_covered: report.not_covered,
        missing: report.missing,
        read_bytes: report.read_bytes,
    }
}
