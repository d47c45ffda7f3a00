//! What a completed job has made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::SnapshotReport;

/// How a file's bytes were proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Proof {
    /// TLS, a complete stream by its own markers, sizes right; the server gave no hash.
    Received,
    /// The hash that the host made of the stream it sent equals ours.
    Manifest,
    /// A grade of a newer daemon that this version does not know; never taken for more than nothing.
    #[serde(other)]
    Unknown,
}

/// One file of a finished package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FileReport {
    /// File name, without directory.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Of a disk: guest capacity in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    /// Of a disk: guest bytes that the stream carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub populated_bytes: Option<u64>,
    /// How it was proven; absent for files that we wrote ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// A finished export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Report {
    /// Inventory path of the VM, from the root.
    pub vm_path: String,
    /// vCenter-unique id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// Absolute directory of the package.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub directory: PathBuf,
    /// The descriptor's file name; everything else is named in it.
    pub descriptor: String,
    /// All files, descriptor and manifest included.
    pub files: Vec<FileReport>,
    /// Bytes received over the network.
    pub received_bytes: u64,
    /// Milliseconds from the first request for bytes to the last byte.
    pub copy_ms: u64,
    /// The snapshot that was exported; absent when it was the VM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotReport>,
    /// The weakest grade among the files; absent for a VM without disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}
