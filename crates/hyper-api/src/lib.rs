//! What the programs say to each other: wire types of `/api/v1` and a small HTTP client.
//!
//! The types here are one of the three places in the project that are serialized (DESIGN, "The
//! seams"). Their rules:
//!
//! * Fields are only added, never renamed; a reader ignores fields and words that it does not know
//!   ([`Phase::Unknown`], [`ProblemKind::Unknown`]). `tests/samples` keeps what older versions wrote.
//! * Sizes are bytes, rates bytes per second, durations name their unit; times are RFC 3339 in UTC with `Z`.
//! * No type has a field for a secret, but for the one reply that shows a new token ([`NewToken`]).
//!
//! What this crate does not do: no vSphere, no disks, no terminal. `hypervisord` serves these
//! types, `hyperctl` reads them; they meet nowhere else.

mod batch;
pub mod client;
mod conversion;
mod info;
mod inspection;
mod job;
mod logs;
mod operation;
mod problem;
mod progress;
mod report;
mod role;
mod snapshot;
mod spec;
pub mod sse;
mod token;
mod vm;

pub use batch::{BatchAnswer, BatchBody, BatchReply, JobRequest, check_priority};
pub use conversion::{Conversion, ConvertedDisk, ConvertedFile, Mismatch, Verification};
pub use info::Info;
pub use inspection::{
    Controller, Fact, Image, InspectRequest, InspectedDisk, Inspection, Link, Machine, Nic, PackageSummary, Part,
    Removable,
};
pub use job::{ExportSpec, Job, JobId, JobList, JobState, Phase};
pub use logs::{LogLine, LogList};
pub use operation::{SHUTDOWN_LIMIT_S, ShutdownSpec, VmDetail, VmDisk, VmDrive, VmOperation, VmRequest};
pub use problem::{MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem, ProblemKind};
pub use progress::{Amounts, FileProgress, Progress};
pub use report::{FileReport, Proof, Report};
pub use role::{NoRole, Role};
pub use snapshot::{Consistency, SnapshotPolicy, SnapshotReport};
pub use spec::{Compression, ConvertSpec, ImageFormat, JobSpec, VerifySpec};
pub use token::{NewToken, Token, TokenList, TokenSpec};
pub use vm::{Vm, VmList};

/// Leaves a switch that is off out of what is written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) const fn is_false(value: &bool) -> bool {
    !*value
}
