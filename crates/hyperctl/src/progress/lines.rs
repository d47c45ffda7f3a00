//! Progress as plain lines: one at every change of phase, and while bytes move at most one a second.
//! Pure; `now` is the time since any fixed moment.

use std::time::Duration;

use hyper_api::{Amounts, Job, JobState, Phase};

use crate::human;

/// The least time between two lines of the same phase.
const SPACING: Duration = Duration::from_secs(1);

/// Remembers what was said last.
#[derive(Debug, Default)]
pub(super) struct Lines {
    last: Option<(Phase, Amounts, Duration)>,
}

impl Lines {
    /// Returns the line that `job` is worth at `now`, if any. The end of a job is told by its summary or its
    /// error, not here.
    pub(super) fn next(&mut self, job: &Job, now: Duration) -> Option<String> {
        if job.state != JobState::Running {
            return None;
        }
        let amounts = job.progress.amounts;
        let is_due = match &self.last {
            None => true,
            Some((phase, _, _)) if *phase != job.phase => true,
            Some((_, shown, at)) => {
                job.phase == Phase::Copying && *shown != amounts && now.saturating_sub(*at) >= SPACING
            }
        };
        is_due.then(|| {
            self.last = Some((job.phase, amounts, now));
            line(&words(job), &amounts, job.phase)
        })
    }
}

/// Returns the phase, and what it is about where the job exports a snapshot.
pub(super) fn words(job: &Job) -> String {
    let word = job.phase.word();
    match (job.spec.snapshot, job.phase) {
        (Some(policy), Phase::Preparing) => format!("{word} a snapshot ({})", policy.word()),
        (Some(_), Phase::Copying) => format!("{word} the snapshot"),
        (Some(_), Phase::Finishing | Phase::Undoing) => format!("{word}: removing the snapshot"),
        _ => word.to_owned(),
    }
}

fn line(words: &str, amounts: &Amounts, phase: Phase) -> String {
    let mut line = words.to_owned();
    if phase != Phase::Copying {
        return line;
    }
    if let Some(percent) = human::percent(amounts.covered_bytes, amounts.total_bytes) {
        let (covered, total) = (human::bytes(amounts.covered_bytes), human::bytes(amounts.total_bytes));
        line.push_str(&format!(": {percent}% ({covered} of {total})"));
    }
    line.push_str(&format!(", {} received", human::bytes(amounts.received_bytes)));
    if let Some(rate) = amounts.rate_bytes_per_s {
        line.push_str(&format!(", {}", human::rate(rate)));
    }
    if let Some(eta) = amounts.eta_s {
        line.push_str(&format!(", ETA {}", human::seconds(eta)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(phase: Phase, received: u64) -> Job {
        let sample = include_str!("../../../hyper-api/tests/samples/job-running-0.1.json");
        let mut job: Job = serde_json::from_str(sample).unwrap();
        job.phase = phase;
        job.progress.amounts.received_bytes = received;
        job
    }

    #[test]
    fn every_phase_is_told_at_once_and_copying_once_a_second() {
        let mut lines = Lines::default();
        let mut said = Vec::new();
        for (at_ms, phase, received) in [
            (0, Phase::Connecting, 0),
            (10, Phase::Connecting, 0),
            (20, Phase::Preparing, 0),
            (2500, Phase::Preparing, 0),
            (3000, Phase::Copying, 0),
            (3100, Phase::Copying, 1 << 20),
            (4000, Phase::Copying, 1 << 21),
            (4900, Phase::Copying, 1 << 22),
            (6000, Phase::Copying, 1 << 22),
            (7500, Phase::Copying, 1 << 22),
            (7600, Phase::Finishing, 1 << 22),
        ] {
            said.extend(
                lines.next(&job(phase, received), Duration::from_millis(at_ms)).map(|line| format!("{at_ms}: {line}")),
            );
        }
        insta::assert_snapshot!(said.join("\n"), @"
        0: connecting
        20: preparing
        3000: copying: 0% (4.0 MiB of 8.0 GiB), 0 B received, 512.0 KiB/s, ETA 12 s
        4000: copying: 0% (4.0 MiB of 8.0 GiB), 2.0 MiB received, 512.0 KiB/s, ETA 12 s
        6000: copying: 0% (4.0 MiB of 8.0 GiB), 4.0 MiB received, 512.0 KiB/s, ETA 12 s
        7600: finishing
        ");
    }

    #[test]
    fn an_export_of_a_snapshot_says_so_in_its_phases() {
        let said = |phase| {
            let mut job = job(phase, 0);
            job.spec.snapshot = Some(hyper_api::SnapshotPolicy::Quiesce);
            words(&job)
        };
        assert_eq!(said(Phase::Planning), "planning");
        assert_eq!(said(Phase::Preparing), "preparing a snapshot (quiesce)");
        assert_eq!(said(Phase::Copying), "copying the snapshot");
        assert_eq!(said(Phase::Undoing), "undoing: removing the snapshot");
    }

    #[test]
    fn a_job_that_waits_or_has_ended_says_nothing() {
        for state in [JobState::Pending, JobState::Completed, JobState::Failed, JobState::Cancelled] {
            let mut job = job(Phase::Copying, 5);
            job.state = state;
            assert_eq!(Lines::default().next(&job, Duration::ZERO), None);
        }
    }
}
