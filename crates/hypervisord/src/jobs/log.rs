//! What happened to a job, in the words that are stored.
//!
//! A job's log is the truth about it: entries are only ever added, and everything that callers see is
//! a fold over them ([`super::fold`]). The text of an entry is JSON with a version, so that a daemon reads what
//! every older one wrote; `tests/samples` keeps what that was.
//!
//! Rules for whoever changes this: words and fields are added, never renamed or given another meaning. An
//! entry that this version does not know is [`Entry::Unknown`] and changes nothing.

use hyper_api::{Conversion, JobSpec, JobState, Phase, Problem, Progress, Report, Verification};
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::owner::Owner;

/// The version of the form that this file describes.
const VERSION: u32 = 1;

/// One entry of a log, with what the store knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Place in the log of its job, from 1 on.
    pub number: u64,
    /// Place in the order of all entries of all jobs.
    pub sequence: u64,
    /// The attempt that it belongs to, from 1 on.
    pub attempt: u32,
    /// When it was written: RFC 3339 in UTC.
    pub at: String,
    /// What happened.
    pub entry: Entry,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// It was accepted. The first entry of every log.
    Queued(Box<Queued>),
    /// An attempt began.
    Started,
    /// A step of the attempt began.
    StepStarted {
        /// Which.
        step: Phase,
    },
    /// A step ended well.
    StepSucceeded {
        /// Which.
        step: Phase,
        /// What it found or made, where later steps or people need it.
        #[serde(default)]
        output: Output,
    },
    /// A step ended badly; how the job goes on is said by a later entry.
    StepFailed {
        /// Which.
        step: Phase,
    },
    /// The server holds a VM for this job.
    Holding(Hold),
    /// The server was told that the VM is free again.
    Released {
        /// Id of the lease on the server.
        lease: String,
    },
    /// The attempt waits for something that is not ours to end.
    Waiting {
        /// What for.
        reason: String,
        /// When that ends at the latest, by this machine's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// A line for people.
    Line {
        /// How much it matters.
        level: Level,
        /// The text, on one line.
        text: String,
    },
    /// Somebody wants it to stop.
    CancelAsked {
        /// Who, for people.
        by: String,
    },
    /// It has another priority now.
    Reprioritised {
        /// Higher goes first.
        priority: i32,
    },
    /// It is queued again; begins the next attempt.
    Requeued {
        /// Why.
        why: Again,
        /// For people: who asked, or what went wrong.
        #[serde(default)]
        detail: String,
        /// When that was; what an interrupted attempt held may be held from then on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moment: Option<Moment>,
    },
    /// It has ended.
    Ended(Box<Ended>),
    /// Something of a newer version.
    #[serde(other)]
    Unknown,
}

/// What was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// What is asked for.
    pub spec: JobSpec,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// With whose rights it works.
    #[serde(default)]
    pub owner: Owner,
    /// Where its VM was when it was accepted.
    #[serde(default)]
    pub place: Place,
    /// How an older program defined it. Kept for such programs; it has no meaning for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<serde_json::Value>,
}

/// Where a job's VM is: what limits are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The source, for people; absent for work on local files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Id of the host that runs the VM, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Inventory path, where the VM was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_path: Option<String>,
}

/// What a step found or made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Inventory path of the VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_path: Option<String>,
}

/// A lease of the server on a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Id of the lease on the server.
    pub lease: String,
    /// Inventory path of the VM.
    pub vm: String,
    /// When it was last renewed, as far as the log knows.
    pub renewed: Moment,
    /// How long after the last renewal the server still holds the VM. Renewals are not all logged; the time
    /// between two that are is part of it.
    pub lasts_ms: u64,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The job failed.
    Error,
    /// Odd, but the job goes on.
    Warning,
    /// Something of a newer version, and the ordinary course of things.
    #[serde(other)]
    Info,
}

/// Why a job is queued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// The daemon ended while it ran.
    Interrupted,
    /// It failed in a way that may pass.
    Failed,
    /// Somebody asked.
    Resumed,
    /// Something of a newer version.
    #[serde(other)]
    Unknown,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Completed, failed or cancelled.
    pub state: JobState,
    /// How far it was.
    #[serde(default)]
    pub progress: Progress,
    /// What an export made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What a conversion made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// What a comparison with a manifest found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Ended {
    /// Makes an end without a result.
    pub fn without_result(state: JobState, problem: Option<Problem>) -> Self {
        Self { state, progress: Progress::default(), report: None, conversion: None, verification: None, problem }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    #[serde(flatten)]
    entry: &'a Entry,
}

impl Entry {
    /// Returns the text that is stored.
    ///
    /// # Errors
    /// When a value cannot be JSON, which only a path that is no UTF-8 can cause.
    pub fn to_text(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Written { v: VERSION, entry: self })
    }

    /// Reads what was stored. What cannot be read changes nothing of its job: it is [`Entry::Unknown`].
    pub fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(%error, "an entry of a job's log is not understood");
            Self::Unknown
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        for entry in [
            Entry::Started,
            Entry::StepStarted { step: Phase::Copying },
            Entry::StepSucceeded { step: Phase::Connecting, output: Output { vm_path: Some("/DC0/vm/a".into()) } },
            Entry::Line { level: Level::Warning, text: "odd".into() },
            Entry::Requeued { why: Again::Interrupted, detail: String::new(), moment: Some(Moment::now()) },
            Entry::Ended(Box::new(Ended::without_result(JobState::Cancelled, None))),
        ] {
            let text = entry.to_text().unwrap();
            assert!(text.starts_with(r#"{"v":1,"entry":""#), "{text}");
            assert_eq!(Entry::from_text(&text), entry);
        }
    }

    #[test]
    fn what_a_newer_version_or_damage_wrote_is_unknown_and_no_error() {
        for text in [r#"{"v":9,"entry":"frozen","until":7}"#, "", "{", r#"{"v":1,"entry":"queued"}"#] {
            assert_eq!(Entry::from_text(text), Entry::Unknown, "{text:?}");
        }
    }
}
