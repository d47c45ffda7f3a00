//! Progress as plain lines: one at every change of phase, and while bytes move at most one a second.
//! Pure; `now` is the time since any fixed moment.

use std::time::Duration;

use hyper_api::{Amounts, Job, JobSpec, JobState, Phase};

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
            Some((_, shown, at)) => moves_bytes(job) && *shown != amounts && now.saturating_sub(*at) >= SPACING,
        };
        is_due.then(|| {
            self.last = Some((job.phase, amounts, now));
            line(job, &amounts)
        })
    }
}

/// Returns the phase, and what it is about where the job exports a snapshot.
pub(super) fn words(job: &Job) -> String {
    let word = job.phase.word();
    match (job.spec.export().and_then(|spec| spec.snapshot), job.phase) {
        (Some(policy), Phase::Preparing) => format!("{word} a snapshot ({})", policy.word()),
        (Some(_), Phase::Copying) => format!("{word} the snapshot"),
        (Some(_), Phase::Finishing | Phase::Undoing) => format!("{word}: removing the snapshot"),
        _ => word.to_owned(),
    }
}

/// Says whether the phase is the one that takes long.
fn moves_bytes(job: &Job) -> bool {
    job.phase == Phase::Copying || (job.phase == Phase::Verifying && matches!(job.spec, JobSpec::Verify(_)))
}

/// Returns what the bytes of a job are that are not yet covered.
fn moved(job: &Job) -> &'static str {
    match job.spec {
        JobSpec::Export(_) => "received",
        _ => "read",
    }
}

fn line(job: &Job, amounts: &Amounts) -> String {
    let mut line = words(job);
    if !moves_bytes(job) {
        return line;
    }
    if let Some(percent) = human::percent(amounts.covered_bytes, amounts.total_bytes) {
        let (covered, total) = (human::bytes(amounts.covered_bytes), human::bytes(amounts.total_bytes));
        line.push_str(&format!(": {percent}% ({covered} of {total})"));
    }
    line.push_str(&format!(", {} {}", human::bytes(amounts.received_bytes), moved(job)));
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
            let JobSpec::Export(spec) = &mut job.spec else { panic!("the sample is an export") };
            spec.snapshot = Some(hyper_api::SnapshotPolicy::Quiesce);
            words(&job)
        };
        assert_eq!(said(Phase::Planning), "planning");
        assert_eq!(said(Phase::Preparing), "preparing a snapshot (quiesce)");
        assert_eq!(said(Phase::Copying), "copying the snapshot");
        assert_eq!(said(Phase::Undoing), "undoing: removing the snapshot");
    }

    #[test]
    fn a_conversion_reads_and_a_verification_tells_how_far_it_is() {
        let mut job = job(Phase::Copying, 1 << 20);
        (job.progress.amounts.rate_bytes_per_s, job.progress.amounts.eta_s) = (None, None);
        job.spec = hyper_api::VerifySpec { path: "/srv/export".into() }.into();
        let mut lines = Lines::default();
        for (at_s, phase) in [(0, Phase::Verifying), (1, Phase::Verifying)] {
            job.phase = phase;
            job.progress.amounts.received_bytes += 1 << 20;
            let line = lines.next(&job, Duration::from_secs(at_s)).unwrap();
            assert_eq!(line, format!("verifying: 0% (4.0 MiB of 8.0 GiB), {}.0 MiB read", at_s + 2));
        }
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
