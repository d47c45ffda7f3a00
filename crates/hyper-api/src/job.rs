//! A job: what was asked for, and where it is.
//!
//! ```text
//!  pending ──► running ──┬─► completed
//!     │                  ├─► failed        `problem` says why
//!     └──────────────────┴─► cancelled
//! ```
//!
//! A job that failed or was cancelled can be resumed: it is pending again, at its next attempt. So is one whose
//! daemon ended while it ran.

use std::fmt;
use std::path::PathBuf;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{Conversion, JobSpec, Problem, Progress, Report, ShutdownSpec, SnapshotPolicy, Verification, is_false};

/// The id of a job: a UUID of version 4, because older clients show eight characters of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Takes an id as it came.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to export, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExportSpec {
    /// Inventory path, or a name that fits exactly one VM.
    pub vm: String,
    /// Absolute target directory; made when missing.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub output: PathBuf,
    /// Export a snapshot made for this, so that the VM may run; absent: the VM itself, which must be off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotPolicy>,
    /// Shut a VM that runs down first; it stays off. Not together with `snapshot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<ShutdownSpec>,
    /// Take the media out of the VM's CD/DVD drives for the length of the export, and put them back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub eject_cdrom: bool,
    /// Describe the VM without its CD/DVD drives; the source is not changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub remove_cdrom: bool,
    /// Only these disks, by number, label or file; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// All disks but these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_disks: Vec<String>,
}

impl ExportSpec {
    /// Reads the body of a submit. Unlike a job that is read back, a request with a field that this
    /// version does not know is refused: an option is never accepted and ignored.
    ///
    /// # Errors
    /// When `body` is not JSON, lacks a field or has one too many.
    pub fn from_request(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            /// Who asks knows what it is.
            #[serde(default, rename = "kind")]
            _kind: IgnoredAny,
            vm: String,
            output: PathBuf,
            #[serde(default)]
            snapshot: Option<SnapshotPolicy>,
            #[serde(default)]
            shutdown: Option<ShutdownSpec>,
            #[serde(default)]
            eject_cdrom: bool,
            #[serde(default)]
            remove_cdrom: bool,
            #[serde(default)]
            disks: Vec<String>,
            #[serde(default)]
            exclude_disks: Vec<String>,
        }
        let strict: Strict = serde_json::from_slice(body)?;
        let Strict { vm, output, snapshot, shutdown, eject_cdrom, remove_cdrom, disks, exclude_disks, .. } = strict;
        if snapshot == Some(SnapshotPolicy::Unknown) {
            return Err(serde::de::Error::custom("`snapshot` is neither `crash` nor `quiesce`"));
        }
        if snapshot.is_some() && shutdown.is_some() {
            return Err(serde::de::Error::custom("`snapshot` and `shutdown` exclude each other"));
        }
        Ok(Self { vm, output, snapshot, shutdown, eject_cdrom, remove_cdrom, disks, exclude_disks })
    }
}

/// The five words that a job's state can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Accepted, not begun.
    Pending,
    /// At work.
    Running,
    /// Done; what it made is there.
    Completed,
    /// Ended badly; `problem` is there.
    Failed,
    /// Stopped because somebody asked.
    Cancelled,
}

impl JobState {
    /// Returns true when the job has ended; it goes on only if somebody resumes it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Returns the word that stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a job is; the order is the order of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// Not begun, or waiting for somebody else's hold to end.
    Waiting,
    /// Logging in and finding the VM.
    Connecting,
    /// Checking what can be exported and whether the target takes it.
    Planning,
    /// Waiting for the server to make the export ready.
    Preparing,
    /// Bytes are moving.
    Copying,
    /// Comparing hashes.
    Verifying,
    /// Syncing and renaming.
    Finishing,
    /// Giving the VM back after a failure or a stop.
    Undoing,
    /// A word of a newer daemon that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Returns the word that stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Planning => "planning",
            Self::Preparing => "preparing",
            Self::Copying => "copying",
            Self::Verifying => "verifying",
            Self::Finishing => "finishing",
            Self::Undoing => "undoing",
            Self::Unknown => "unknown",
        }
    }
}

/// A whole picture of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Counts up with every change; also the id of the event that carries this picture.
    pub revision: u64,
    /// Counts from 1 up each time that it is queued; absent from an older daemon.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// Jobs of a higher priority go first; absent for 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// What was asked for.
    pub spec: JobSpec,
    /// Its state.
    pub state: JobState,
    /// Where it is; of a job that has ended, where it was then.
    pub phase: Phase,
    /// What it waits for in the phase `waiting`, where that is not its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Inventory path of the VM, once it is found; of an export only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_path: Option<String>,
    /// How far it is.
    #[serde(default)]
    pub progress: Progress,
    /// Odd things that a person should read, oldest first.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What an export made; present when completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What a conversion made; present when completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// What a comparison with a manifest found; present when it came to its end, also when it failed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Why it failed; present when failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// When it was accepted.
    pub created_at: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, in whatever way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The reply of `GET /api/v1/jobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobList {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// The length of `jobs`.
    pub total: u64,
    /// What to give as `cursor` for the jobs that follow; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_what_serde_writes() {
        use JobState::*;
        for state in [Pending, Running, Completed, Failed, Cancelled] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
        for phase in [
            Phase::Waiting,
            Phase::Connecting,
            Phase::Planning,
            Phase::Preparing,
            Phase::Copying,
            Phase::Verifying,
            Phase::Finishing,
            Phase::Undoing,
        ] {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.word());
        }
    }

    #[test]
    fn a_request_with_an_option_that_is_not_built_is_refused_by_name() {
        let body = br#"{"vm":"web01","output":"/tmp/x","format":"qcow2"}"#;
        assert!(ExportSpec::from_request(body).unwrap_err().to_string().contains("format"));
        let body = br#"{"vm":"web01","output":"/tmp/x","snapshot":"memory"}"#;
        assert!(ExportSpec::from_request(body).unwrap_err().to_string().contains("snapshot"));
    }

    #[test]
    fn a_job_of_a_newer_daemon_is_read_without_its_news() {
        let spec: ExportSpec = serde_json::from_str(r#"{"vm":"a","output":"/b","format":"qcow2"}"#).unwrap();
        assert_eq!(spec, ExportSpec { vm: "a".into(), output: "/b".into(), ..ExportSpec::default() });
        assert_eq!(serde_json::from_str::<Phase>("\"converting\"").unwrap(), Phase::Unknown);
    }
}
