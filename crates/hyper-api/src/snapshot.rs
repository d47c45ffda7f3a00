//! Exports of a snapshot: what is asked for, and what it was.

use serde::{Deserialize, Serialize};

/// How much is asked of the guest of a running VM before its snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SnapshotPolicy {
    /// Nothing: the disks are as after a loss of power.
    Crash,
    /// To bring its file systems to rest; an export for which it does not is refused.
    Quiesce,
    /// A word of a newer caller that this version does not know; never accepted in a request.
    #[serde(other)]
    Unknown,
}

impl SnapshotPolicy {
    /// Returns the word that stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Quiesce => "quiesce",
            Self::Unknown => "unknown",
        }
    }
}

/// In which state of its guest the disks of a snapshot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Consistency {
    /// As after a loss of power.
    Crash,
    /// The guest had brought its file systems to rest.
    Quiesced,
    /// The VM was off.
    PoweredOff,
    /// A word of a newer daemon that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The snapshot that was exported; it is gone when the job has ended, unless a warning says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SnapshotReport {
    /// Its name.
    pub name: String,
    /// What its disks hold.
    pub consistency: Consistency,
}
