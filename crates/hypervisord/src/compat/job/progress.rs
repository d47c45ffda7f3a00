//! How far a job is.
//!
//! A disk that has to be fetched again begins at its first byte, and a file may turn up late; older callers
//! show whatever comes, so what was shown once is the least that is shown from then on ([`Peak`]).

use hyper_api::{JobState, Phase};
use serde::Serialize;

use super::super::{duration, text};
use super::{METHOD, View};

/// The most that is shown of a job that has not completed.
const PERMILLE_UNFINISHED_MAX: u64 = 999;

/// What stands where an estimate belongs when there is none.
pub(super) const UNKNOWN: &str = "Unknown";

/// The most that was shown of a job so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    files: u64,
    bytes: u64,
    total_bytes: u64,
    permille: u64,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobProgress {
    /// Where it is.
    pub phase: &'static str,
    /// The first file that is not complete.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_file: String,
    /// What is being done; empty once the job has ended.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub current_step: &'static str,
    /// Files that are complete.
    pub files_downloaded: u64,
    /// Files that there are.
    pub total_files: u64,
    /// Bytes of `total_bytes` that are dealt with.
    pub bytes_downloaded: u64,
    /// The same.
    pub bytes_transferred: u64,
    /// Bytes that there are.
    pub total_bytes: u64,
    /// The share of the bytes in percent; 100 only of a completed job.
    pub percent_complete: f64,
    /// How much longer, in Go's form.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub estimated_remaining: String,
    /// How it is exported.
    pub export_method: &'static str,
}

impl JobProgress {
    /// Returns how far the job of `picture` is, and raises `peak` to it.
    pub fn new(picture: &hyper_api::Job, peak: &mut Peak) -> Self {
        peak.rise(picture);
        let (completed, ended) = (picture.state == JobState::Completed, picture.state.is_final());
        let open = picture.progress.files.iter().find(|file| !file.complete).filter(|_| !ended);
        let permille = if completed { 1000 } else { peak.permille };
        let bytes = if completed { peak.total_bytes } else { peak.bytes };
        Self {
            phase: picture.phase.word(),
            current_file: open.map(|file| text::one_line(&file.name)).unwrap_or_default(),
            current_step: if ended { "" } else { step(picture.phase) },
            files_downloaded: peak.files,
            total_files: picture.progress.files.len().try_into().unwrap_or(u64::MAX),
            bytes_downloaded: bytes,
            bytes_transferred: bytes,
            total_bytes: peak.total_bytes,
            percent_complete: f64::from(u16::try_from(permille).unwrap_or(1000)) / 10.0,
            estimated_remaining: remaining(picture).map(duration::text).unwrap_or_default(),
            export_method: METHOD,
        }
    }

    /// Returns the percentage without what is behind its point.
    pub fn whole_percent(&self) -> u8 {
        (0..=100).rev().find(|percent| f64::from(*percent) <= self.percent_complete).unwrap_or(0)
    }

    /// Returns the ten fields that the SDK reads, all of them there.
    fn whole(&self) -> Whole {
        let unknown = self.estimated_remaining.is_empty();
        Whole {
            phase: self.phase,
            current_file: self.current_file.clone(),
            current_step: self.current_step,
            files_downloaded: self.files_downloaded,
            total_files: self.total_files,
            bytes_downloaded: self.bytes_downloaded,
            total_bytes: self.total_bytes,
            percent_complete: self.percent_complete,
            estimated_remaining: if unknown { UNKNOWN.to_owned() } else { self.estimated_remaining.clone() },
            export_method: self.export_method,
        }
    }
}

impl Peak {
    /// Raises every figure to that of `picture`; none ever falls.
    fn rise(&mut self, picture: &hyper_api::Job) {
        let amounts = &picture.progress.amounts;
        let complete = picture.progress.files.iter().filter(|file| file.complete).count();
        self.files = self.files.max(complete.try_into().unwrap_or(u64::MAX));
        self.bytes = self.bytes.max(amounts.covered_bytes);
        self.total_bytes = self.total_bytes.max(amounts.total_bytes);
        let permille = u128::from(amounts.covered_bytes) * 1000 / u128::from(amounts.total_bytes).max(1);
        let permille = u64::try_from(permille).unwrap_or(u64::MAX).min(PERMILLE_UNFINISHED_MAX);
        self.permille = self.permille.max(permille);
    }
}

/// Returns how much longer a running job takes, as far as there is an estimate.
pub(super) fn remaining(picture: &hyper_api::Job) -> Option<std::time::Duration> {
    let running = picture.state == JobState::Running;
    picture.progress.amounts.eta_s.filter(|_| running).map(std::time::Duration::from_secs)
}

/// Returns the rate of a running job in MiB/s, two digits behind the point.
pub(super) fn rate(picture: &hyper_api::Job) -> Option<f64> {
    let rate = picture.progress.amounts.rate_bytes_per_s.filter(|_| picture.state == JobState::Running)?;
    let hundredths = u128::from(rate) * 100 / (1 << 20);
    Some(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0)
}

/// Says for a person what a phase is.
const fn step(phase: Phase) -> &'static str {
    match phase {
        Phase::Unknown => "working",
        phase => phase.word(),
    }
}

/// The ten fields that the SDK reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Whole {
    phase: &'static str,
    current_file: String,
    current_step: &'static str,
    files_downloaded: u64,
    total_files: u64,
    bytes_downloaded: u64,
    total_bytes: u64,
    percent_complete: f64,
    estimated_remaining: String,
    export_method: &'static str,
}

/// The reply of `GET /jobs/progress/{id}`: the ten fields nested, where the older daemon had them, and flat,
/// where the SDK looks for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProgressReply {
    job_id: String,
    status: &'static str,
    timestamp: String,
    progress: Whole,
    #[serde(flatten)]
    flat: Whole,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_rate_mbps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl View {
    /// Returns the reply of `GET /jobs/progress/{id}`.
    pub fn progress(&self, picture: &hyper_api::Job, peak: &mut Peak) -> ProgressReply {
        let job = self.job(picture, None, peak);
        let whole = JobProgress::new(picture, peak).whole();
        ProgressReply {
            job_id: job.definition.id,
            status: job.status,
            timestamp: self.timestamp(),
            flat: whole.clone(),
            progress: whole,
            transfer_rate_mbps: rate(picture),
            started_at: job.started_at,
            elapsed_seconds: self.elapsed(picture).map(|elapsed| elapsed.as_secs()),
            completed_at: job.completed_at,
            error: job.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::tests::{picture, view};
    use super::*;

    fn at(covered: u64, total: u64) -> hyper_api::Job {
        picture(json!({"progress": {"received_bytes": 0, "covered_bytes": covered, "total_bytes": total, "files": []}}))
    }

    #[test]
    fn progress_never_runs_backwards() {
        let mut peak = Peak::default();
        let mut shown = |covered, total| {
            let progress = JobProgress::new(&at(covered, total), &mut peak);
            (progress.bytes_downloaded, progress.percent_complete)
        };
        assert_eq!(shown(500, 1000), (500, 50.0));
        assert_eq!(shown(0, 1000), (500, 50.0));
        assert_eq!(shown(600, 2000), (600, 50.0), "a file that turned up late");
        assert_eq!(shown(1500, 2000), (1500, 75.0));
    }

    #[test]
    fn a_hundred_percent_is_for_completed_jobs_only() {
        let mut peak = Peak::default();
        assert_eq!(JobProgress::new(&at(1000, 1000), &mut peak).percent_complete, 99.9);
        for (state, percent) in [("failed", 99.9), ("cancelled", 99.9), ("completed", 100.0)] {
            let ended = picture(json!({"state": state}));
            assert_eq!(JobProgress::new(&ended, &mut peak.clone()).percent_complete, percent, "{state}");
        }
        let nothing = JobProgress::new(&at(0, 0), &mut Peak::default());
        assert_eq!((nothing.percent_complete, nothing.total_bytes), (0.0, 0));
    }

    #[test]
    fn the_reply_has_the_ten_fields_nested_and_flat() {
        let ten = json!({
            "phase": "copying", "current_file": "web01-disk-1.vmdk", "current_step": "copying", "files_downloaded": 1,
            "total_files": 2, "bytes_downloaded": 600, "total_bytes": 2000, "percent_complete": 30.0,
            "estimated_remaining": "1m35s", "export_method": "web",
        });
        let mut expected = json!({
            "job_id": "5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11", "status": "running",
            "timestamp": "2026-02-03T02:00:30.000000+01:00", "progress": ten, "transfer_rate_mbps": 1.5,
            "started_at": "2026-02-03T02:00:00.250000+01:00", "elapsed_seconds": 29,
        });
        for (key, value) in ten.as_object().unwrap() {
            expected[key] = value.clone();
        }
        assert_eq!(to_value(view().progress(&picture(json!({})), &mut Peak::default())).unwrap(), expected);
    }

    #[test]
    fn without_an_estimate_it_is_unknown_and_without_a_rate_there_is_none() {
        let reply = to_value(view().progress(&at(1, 2), &mut Peak::default())).unwrap();
        assert_eq!(reply["estimated_remaining"], "Unknown");
        assert_eq!(reply["progress"]["estimated_remaining"], "Unknown");
        assert_eq!(reply["current_file"], "");
        assert!(reply.get("transfer_rate_mbps").is_none() && reply.get("error").is_none());
    }
}
