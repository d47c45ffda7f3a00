//! A job on one line, as older callers read it (contract A.4).
//!
//! Readers of a query test its whole output for the words `completed`, `failed` and `cancelled`, in this order and in
//! any case. So the vocabulary is closed, what people or servers have named is left out or escaped, and a last guard
//! prints `-` in place of a field that holds a word of a state that the job is not in.

use hyper_api::{Job, JobState, Phase};

use crate::escape::escape_ascii;
use crate::human;

/// The words that readers look for.
const FINAL_WORDS: [&str; 3] = ["completed", "failed", "cancelled"];

/// Returns the line of a job.
pub(crate) fn line(job: &Job) -> String {
    let mut fields = vec![("Status", job.state.word().to_owned())];
    match job.state {
        JobState::Pending => fields.push(("Phase", phase(job.phase))),
        JobState::Running => {
            fields.push(("Progress", percent(job)));
            fields.push(("Phase", phase(job.phase)));
            fields.push(("Bytes", bytes(job)));
            let amounts = &job.progress.amounts;
            fields.extend(amounts.rate_bytes_per_s.map(|rate| ("Rate", human::rate(rate))));
            fields.extend(amounts.eta_s.map(|seconds| ("ETA", format!("{seconds}s"))));
            fields.push(("Files", files(job)));
        }
        JobState::Completed => {
            fields.push(("Progress", "100.0%".to_owned()));
            fields.push(("Bytes", bytes(job)));
            fields.push(("Files", files(job)));
            fields.extend(seconds(job).map(|seconds| ("Duration", format!("{seconds}s"))));
            fields.extend(output(job).map(|output| ("Output", output)));
        }
        JobState::Failed => {
            fields.push(("Progress", percent(job)));
            let code = job.problem.as_ref().map_or("unknown", |problem| problem.kind.word());
            fields.push(("Code", code.to_owned()));
        }
        JobState::Cancelled => fields.push(("Progress", percent(job))),
    }
    render(job, &fields)
}

/// Returns the line of one job among several: with what it is about.
pub(crate) fn line_among(job: &Job) -> String {
    let subject = job.vm_path.as_deref().map_or_else(|| job.spec.subject(), Into::into);
    format!("{} | VM: {}", line(job), guarded(job.state, &escape_ascii(&subject)))
}

fn render(job: &Job, fields: &[(&str, String)]) -> String {
    let mut line = format!("Job: {}", guarded(job.state, &escape_ascii(job.id.as_str())));
    for (label, value) in fields {
        let value = if *label == "Status" { value.clone() } else { guarded(job.state, &escape_ascii(value)) };
        line.push_str(&format!(" | {label}: {value}"));
    }
    line
}

/// The last guard.
fn guarded(state: JobState, value: &str) -> String {
    let lower = value.to_lowercase();
    let mut forbidden = FINAL_WORDS.into_iter().filter(|word| *word != state.word());
    if forbidden.any(|word| lower.contains(word)) { "-".to_owned() } else { value.to_owned() }
}

fn phase(phase: Phase) -> String {
    match phase {
        Phase::Unknown => "-".to_owned(),
        known => known.word().to_owned(),
    }
}

/// Cut, not rounded: no job is at 100 % before its end.
fn percent(job: &Job) -> String {
    let amounts = &job.progress.amounts;
    let tenths = u128::from(amounts.covered_bytes) * 1000 / u128::from(amounts.total_bytes.max(1));
    let tenths = tenths.min(1000);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

fn bytes(job: &Job) -> String {
    format!("{}/{}", job.progress.amounts.covered_bytes, job.progress.amounts.total_bytes)
}

fn files(job: &Job) -> String {
    let files = &job.progress.files;
    format!("{}/{}", files.iter().filter(|file| file.complete).count(), files.len())
}

/// Returns how long a job took, in whole seconds.
fn seconds(job: &Job) -> Option<i64> {
    let parse = |time: &Option<String>| time.as_deref()?.parse::<jiff::Timestamp>().ok();
    let (began, ended) = (parse(&job.started_at)?, parse(&job.ended_at)?);
    Some(ended.as_second().saturating_sub(began.as_second()).max(0))
}

fn output(job: &Job) -> Option<String> {
    let directory = job.report.as_ref().map(|report| report.directory.as_path()).or_else(|| job.spec.output())?;
    Some(directory.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use hyper_api::{JobId, Problem, ProblemKind};

    use super::*;

    fn job(sample: &str) -> Job {
        serde_json::from_str(sample).unwrap()
    }

    fn samples() -> [Job; 5] {
        let running = job(include_str!("../../hyper-api/tests/samples/job-running-0.1.json"));
        let completed = job(include_str!("../../hyper-api/tests/samples/job-completed-0.1.json"));
        let failed = job(include_str!("../../hyper-api/tests/samples/job-failed-0.1.json"));
        let pending = Job { state: JobState::Pending, phase: Phase::Waiting, ..running.clone() };
        let cancelled = Job { state: JobState::Cancelled, ..running.clone() };
        [pending, running, completed, failed, cancelled]
    }

    #[test]
    fn every_state_has_its_line() {
        let lines: String = samples().iter().map(|job| line(job) + "\n").collect();
        insta::assert_snapshot!(lines, @r"
        Job: 5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11 | Status: pending | Phase: waiting
        Job: 5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11 | Status: running | Progress: 0.0% | Phase: copying | Bytes: 4194304/8589934592 | Rate: 512.0 KiB/s | ETA: 12s | Files: 0/2
        Job: 5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11 | Status: completed | Progress: 100.0% | Bytes: 8388608/8388608 | Files: 1/1 | Duration: 2s | Output: /srv/export/web01
        Job: 5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11 | Status: failed | Progress: 0.0% | Code: target
        Job: 5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11 | Status: cancelled | Progress: 0.0%
        ");
    }

    /// What readers do, in their order.
    fn as_read(output: &str) -> &'static str {
        let output = output.to_lowercase();
        FINAL_WORDS.into_iter().find(|word| output.contains(word)).unwrap_or("running")
    }

    #[test]
    fn no_name_makes_a_reader_see_another_state() {
        for hostile in ["failed-over-db", "not Completed", "CANCELLED\u{1b}[2J", "a\nb", "ümläut", "\\u{41}"] {
            for mut job in samples() {
                job.id = JobId::new(hostile);
                job.vm_path = Some(hostile.to_owned());
                job.problem = Some(Problem::new(ProblemKind::Cancelled, 409, hostile).with_hint(hostile));
                for file in &mut job.progress.files {
                    file.name = hostile.to_owned();
                }
                if let Some(report) = &mut job.report {
                    report.directory = hostile.into();
                }
                let expected = if job.state.is_final() { job.state.word() } else { "running" };
                for line in [line(&job), line_among(&job)] {
                    assert_eq!(as_read(&line), expected, "{line}");
                    assert!(line.contains(job.state.word()), "{line}");
                    assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
                    let others = FINAL_WORDS.into_iter().filter(|word| *word != job.state.word());
                    assert!(others.into_iter().all(|word| !line.to_lowercase().contains(word)), "{line}");
                }
            }
        }
    }

    #[test]
    fn percentages_are_cut_and_never_beyond_the_end() {
        let [_, mut running, ..] = samples();
        for (covered, total, text) in [(0, 0, "0.0%"), (999_999, 1_000_000, "99.9%"), (7, 5, "100.0%")] {
            (running.progress.amounts.covered_bytes, running.progress.amounts.total_bytes) = (covered, total);
            assert_eq!(percent(&running), text);
        }
    }
}
