//! How far a job is.
//!
//! Received bytes and covered bytes differ: the lease road sends compressed data and leaves empty
//! parts of a disk out, so a 40 GiB disk may be covered after 3 GiB were received. Percentages and
//! estimates follow what is covered, rates what is received.

use serde::{Deserialize, Serialize};

/// Bytes, rate and estimate; the same for a file and for the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Amounts {
    /// Bytes received over the network.
    pub received_bytes: u64,
    /// Bytes of `total_bytes` that are dealt with: of a disk guest bytes, else as received.
    pub covered_bytes: u64,
    /// Of a disk its capacity, else the announced size; 0 while unknown.
    pub total_bytes: u64,
    /// Received bytes per second over the last seconds; `None` before there is a measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes_per_s: Option<u64>,
    /// Seconds until done at the present speed; `None` without an estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u64>,
}

/// One file of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FileProgress {
    /// Final file name, without directory.
    pub name: String,
    /// True for a disk.
    pub disk: bool,
    /// True once the file has arrived whole.
    pub complete: bool,
    /// How much of it.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// A whole job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Sums over `files`.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// The files, in the order of the export.
    #[serde(default)]
    pub files: Vec<FileProgress>,
}
