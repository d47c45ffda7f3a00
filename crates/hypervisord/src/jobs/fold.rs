//! The state of a job, as a fold over its log.
//!
//! ```text
//!            started            ended
//!  pending ──────────► running ──────► completed · failed · cancelled
//!     ▲                   │                          │
//!     └─────requeued──────┴───────(resumed)──────────┘   the attempt counts up
//! ```
//!
//! Pure and total: any sequence of entries folds, also one that no daemon would write, because a log may
//! come from an older daemon or from a damaged file. What makes no sense where it stands changes nothing.

use hyper_api::{Job, JobId, JobState, Phase, Progress};

use super::log::{Again, Ended, Entry, Hold, Level, Place, Record};
use super::moment::Moment;
use super::owner::Owner;

/// Bits of a revision below the number of the entry: pictures of progress between two entries are counted
/// there. A JSON number has room for 2^33 entries above them.
pub const REVISION_SHIFT: u32 = 20;

/// Warnings shown with a job. Of more the first are kept, and the newest.
const WARNINGS_MAX: usize = 100;

/// A job as its log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// What callers see.
    pub job: Job,
    /// With whose rights it works.
    pub owner: Owner,
    /// Where its VM was when it was accepted.
    pub place: Place,
    /// The lease that an attempt took and nobody has given back since.
    pub hold: Option<Hold>,
    /// True when an attempt got as far as holding the VM, so that what stands at the target is this job's.
    pub claimed: bool,
    /// True when a stop was asked for and it has not ended.
    pub cancel_asked: bool,
    /// When a daemon last found that an earlier one had ended while the job ran, until an attempt ends by itself.
    pub interrupted: Option<Moment>,
    /// How often in a row it was queued again because it failed.
    pub failures: u32,
    /// Place of the last entry in the order of all jobs.
    pub sequence: u64,
}

/// Folds a log; `None` when it does not begin with an acceptance.
pub fn fold(id: &JobId, records: &[Record]) -> Option<Folded> {
    let (first, rest) = records.split_first()?;
    let mut folded = accept(id, first)?;
    rest.iter().for_each(|record| folded.apply(record));
    Some(folded)
}

fn accept(id: &JobId, record: &Record) -> Option<Folded> {
    let Entry::Queued(queued) = &record.entry else { return None };
    let job = Job {
        id: id.clone(),
        revision: revision(record),
        attempt: record.attempt,
        priority: queued.priority,
        spec: queued.spec.clone(),
        state: JobState::Pending,
        phase: Phase::Waiting,
        waiting_for: None,
        vm_path: queued.place.vm_path.clone(),
        progress: Progress::default(),
        warnings: Vec::new(),
        report: None,
        conversion: None,
        verification: None,
        problem: None,
        created_at: record.at.clone(),
        started_at: None,
        ended_at: None,
    };
    Some(Folded {
        job,
        owner: queued.owner.clone(),
        place: queued.place.clone(),
        hold: None,
        claimed: false,
        cancel_asked: false,
        interrupted: None,
        failures: 0,
        sequence: record.sequence,
    })
}

const fn revision(record: &Record) -> u64 {
    record.number << REVISION_SHIFT
}

impl Folded {
    /// Takes the next entry.
    pub fn apply(&mut self, record: &Record) {
        self.job.revision = revision(record);
        self.sequence = record.sequence;
        let running = self.job.state == JobState::Running;
        match &record.entry {
            Entry::Started if self.job.state == JobState::Pending => self.start(record),
            Entry::StepStarted { step } if running => {
                self.job.phase = *step;
                self.job.waiting_for = None;
            }
            Entry::StepSucceeded { output, .. } => {
                if let Some(path) = &output.vm_path {
                    self.job.vm_path = Some(path.clone());
                }
            }
            Entry::Holding(hold) => {
                self.hold = Some(hold.clone());
                self.claimed = true;
            }
            Entry::Released { lease } => {
                self.hold.take_if(|hold| hold.lease == *lease);
            }
            Entry::Waiting { reason, .. } if running => {
                self.job.phase = Phase::Waiting;
                self.job.waiting_for = Some(reason.clone());
            }
            Entry::Line { level: Level::Warning, text } => self.warn(text),
            Entry::CancelAsked { .. } => self.cancel_asked = !self.job.state.is_final(),
            Entry::Reprioritised { priority } => self.job.priority = *priority,
            Entry::Requeued { why, moment, .. } if self.job.state != JobState::Completed => {
                self.requeue(record, *why, moment.as_ref());
            }
            Entry::Ended(ended) if !self.job.state.is_final() && ended.state.is_final() => self.end(record, ended),
            _ => {}
        }
    }

    fn start(&mut self, record: &Record) {
        self.job.state = JobState::Running;
        let needs_source = self.job.spec.export().is_some();
        self.job.phase = if needs_source { Phase::Connecting } else { Phase::Planning };
        self.job.attempt = record.attempt;
        self.job.progress = Progress::default();
        self.job.started_at.get_or_insert_with(|| record.at.clone());
    }

    fn requeue(&mut self, record: &Record, why: Again, moment: Option<&Moment>) {
        self.job.state = JobState::Pending;
        self.job.phase = Phase::Waiting;
        self.job.attempt = record.attempt;
        self.job.waiting_for = None;
        self.job.problem = None;
        self.job.ended_at = None;
        self.interrupted = match why {
            Again::Interrupted => moment.cloned(),
            Again::Failed => None,
            Again::Resumed | Again::Unknown => self.interrupted.take(),
        };
        self.failures = match why {
            Again::Failed => self.failures.saturating_add(1),
            Again::Resumed => 0,
            Again::Interrupted | Again::Unknown => self.failures,
        };
        if why == Again::Resumed {
            self.cancel_asked = false;
        }
    }

    fn end(&mut self, record: &Record, ended: &Ended) {
        self.job.state = ended.state;
        self.job.waiting_for = None;
        self.job.progress = ended.progress.clone();
        self.job.report.clone_from(&ended.report);
        self.job.conversion.clone_from(&ended.conversion);
        self.job.verification.clone_from(&ended.verification);
        self.job.problem.clone_from(&ended.problem);
        if let Some(report) = &ended.report {
            self.job.vm_path = Some(report.vm_path.clone());
        }
        self.job.ended_at = Some(record.at.clone());
        self.cancel_asked = false;
    }

    fn warn(&mut self, text: &str) {
        let warnings = &mut self.job.warnings;
        if warnings.iter().any(|known| known == text) {
            // A later attempt says again what the first has said.
            return;
        }
        if warnings.len() >= WARNINGS_MAX {
            warnings.remove(WARNINGS_MAX / 2);
        }
        warnings.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests;
