//! A job as older callers see it, made from its picture.
//!
//! ```text
//!  picture of /api/v1 ─┬─► Job        definition, status, progress, result    here
//!  definition as kept ─┘─► Progress   how far, flat and nested                 progress
//!                        ─► Eta        how much longer                         eta
//! ```
//!
//! A job that came by `/api/v1` has no definition; what the picture knows is put in its place.

pub mod eta;
pub mod progress;

use std::time::Duration;

use hyper_api::{JobState, Report};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::definition::JobDefinition;
use super::{duration, text, time};
use progress::{JobProgress, Peak};

/// The way of every export of ours.
const METHOD: &str = "web";

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// What was asked for.
    pub definition: JobDefinition,
    /// One of the five words.
    pub status: &'static str,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// What it made; of a completed export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, in whatever way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// When this was last true.
    pub updated_at: String,
}

/// What a completed export made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobResult {
    /// The VM's name.
    pub vm_name: String,
    /// The directory of the package.
    pub output_dir: String,
    /// The descriptor.
    pub ovf_path: String,
    /// All files, absolute.
    pub files: Vec<String>,
    /// The same.
    pub output_files: Vec<String>,
    /// Bytes on disk.
    pub total_size: i64,
    /// How long it took, in nanoseconds.
    pub duration: i64,
    /// Always true: a failed job has no result.
    pub success: bool,
    /// How it was exported.
    pub export_method: &'static str,
}

/// What turns pictures into replies: the moment and the zone of their times.
#[derive(Clone, Debug)]
pub struct View {
    /// The present.
    pub now: Timestamp,
    /// The daemon's zone.
    pub zone: TimeZone,
}

impl View {
    /// Returns the present as it stands in replies.
    pub fn timestamp(&self) -> String {
        time::write(self.now, &self.zone)
    }

    /// Returns a job as it stands in replies; `peak` is what was shown of its progress before.
    pub fn job(&self, picture: &hyper_api::Job, kept: Option<JobDefinition>, peak: &mut Peak) -> Job {
        let local = |time: &Option<String>| time.as_deref().and_then(|time| time::from_native(time, &self.zone));
        let completed_at = local(&picture.ended_at);
        Job {
            definition: self.definition(picture, kept),
            status: picture.state.word(),
            progress: Some(JobProgress::new(picture, peak)),
            result: result(picture),
            error: picture.problem.as_ref().map(|problem| text::one_line(&problem.error)),
            started_at: local(&picture.started_at),
            updated_at: completed_at.clone().unwrap_or_else(|| self.timestamp()),
            completed_at,
        }
    }

    fn definition(&self, picture: &hyper_api::Job, kept: Option<JobDefinition>) -> JobDefinition {
        let mut definition = kept.unwrap_or_else(|| made_up(picture));
        picture.id.as_str().clone_into(&mut definition.id);
        definition.created_at = time::from_native(&picture.created_at, &self.zone);
        definition
    }

    /// Returns how long a job has been running, or ran; `None` before it has begun.
    pub fn elapsed(&self, picture: &hyper_api::Job) -> Option<Duration> {
        let started = moment(picture.started_at.as_deref())?;
        let until = moment(picture.ended_at.as_deref()).unwrap_or(self.now);
        // A clock that was set back makes it zero.
        Some(until.duration_since(started).try_into().unwrap_or_default())
    }
}

/// Returns the definition that would have led to a job of `/api/v1`.
fn made_up(picture: &hyper_api::Job) -> JobDefinition {
    let vm_path = text::one_line(picture.vm_path.as_deref().unwrap_or(&picture.spec.subject()));
    let output = picture.spec.output().map(|output| text::one_line(&output.to_string_lossy())).unwrap_or_default();
    JobDefinition {
        name: text::last_element(&vm_path).to_owned(),
        vm_path,
        output_path: output.clone(),
        output_dir: output,
        format: "ovf".to_owned(),
        ..JobDefinition::default()
    }
}

fn moment(text: Option<&str>) -> Option<Timestamp> {
    time::read(text?)?
}

fn result(picture: &hyper_api::Job) -> Option<JobResult> {
    let report = picture.report.as_ref().filter(|_| picture.state == JobState::Completed)?;
    let (started, ended) = (moment(picture.started_at.as_deref()), moment(picture.ended_at.as_deref()));
    let took = started.zip(ended).map(|(started, ended)| ended.duration_since(started));
    let took: Duration = took.and_then(|took| took.try_into().ok()).unwrap_or_default();
    let sizes = report.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size_bytes));
    let files: Vec<_> = report.files.iter().map(|file| path_of(report, &file.name)).collect();
    Some(JobResult {
        vm_name: text::one_line(text::last_element(&report.vm_path)),
        output_dir: text::one_line(&report.directory.to_string_lossy()),
        ovf_path: path_of(report, &report.descriptor),
        output_files: files.clone(),
        files,
        total_size: i64::try_from(sizes).unwrap_or(i64::MAX),
        duration: duration::nanoseconds(took),
        success: true,
        export_method: METHOD,
    })
}

fn path_of(report: &Report, name: &str) -> String {
    text::one_line(&report.directory.join(name).to_string_lossy())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{json, to_value};

    use super::*;

    pub(in super::super) fn view() -> View {
        View { now: "2026-02-03T01:00:30Z".parse().unwrap(), zone: TimeZone::fixed(jiff::tz::offset(1)) }
    }

    /// A running job of two disks, as `/api/v1` shows it, with `changes` in it.
    pub(in super::super) fn picture(changes: serde_json::Value) -> hyper_api::Job {
        let mut job = json!({
            "id": "5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11", "revision": 7,
            "spec": {"vm": "web01", "output": "/out"}, "state": "running", "phase": "copying",
            "vm_path": "/DC0/vm/web01",
            "progress": {
                "received_bytes": 300, "covered_bytes": 600, "total_bytes": 2000,
                "rate_bytes_per_s": 1_572_864, "eta_s": 95,
                "files": [
                    {"name": "web01-disk-0.vmdk", "disk": true, "complete": true,
                     "received_bytes": 200, "covered_bytes": 500, "total_bytes": 500},
                    {"name": "web01-disk-1.vmdk", "disk": true, "complete": false,
                     "received_bytes": 100, "covered_bytes": 100, "total_bytes": 1500},
                ],
            },
            "created_at": "2026-02-03T00:59:50.000000Z", "started_at": "2026-02-03T01:00:00.250000Z",
        });
        let (job_fields, changes) = (job.as_object_mut().unwrap(), changes);
        for (key, value) in changes.as_object().unwrap() {
            job_fields.insert(key.clone(), value.clone());
        }
        serde_json::from_value(job).unwrap()
    }

    fn shown(picture: &hyper_api::Job) -> serde_json::Value {
        to_value(view().job(picture, None, &mut Peak::default())).unwrap()
    }

    #[test]
    fn a_running_job_of_the_native_routes_has_a_definition_too() {
        assert_eq!(
            shown(&picture(json!({}))),
            json!({
                "definition": {
                    "id": "5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11", "name": "web01", "vm_path": "/DC0/vm/web01",
                    "output_path": "/out", "output_dir": "/out", "format": "ovf",
                    "created_at": "2026-02-03T01:59:50.000000+01:00",
                },
                "status": "running",
                "progress": {
                    "phase": "copying", "current_file": "web01-disk-1.vmdk", "current_step": "copying",
                    "files_downloaded": 1, "total_files": 2, "bytes_downloaded": 600, "bytes_transferred": 600,
                    "total_bytes": 2000, "percent_complete": 30.0, "estimated_remaining": "1m35s",
                    "export_method": "web",
                },
                "started_at": "2026-02-03T02:00:00.250000+01:00",
                "updated_at": "2026-02-03T02:00:30.000000+01:00",
            })
        );
    }

    #[test]
    fn a_completed_job_has_its_result_and_is_at_a_hundred() {
        let completed = picture(json!({
            "state": "completed", "phase": "finishing", "ended_at": "2026-02-03T01:00:20.250000Z",
            "report": {
                "vm_path": "/DC0/vm/web01", "directory": "/out", "descriptor": "web01.ovf",
                "files": [{"name": "web01.ovf", "size_bytes": 10, "sha256": ""},
                          {"name": "web01-disk-0.vmdk", "size_bytes": 300, "sha256": ""}],
                "received_bytes": 300, "copy_ms": 1,
            },
        }));
        let job = shown(&completed);
        assert_eq!(
            job["result"],
            json!({
                "vm_name": "web01", "output_dir": "/out", "ovf_path": "/out/web01.ovf",
                "files": ["/out/web01.ovf", "/out/web01-disk-0.vmdk"],
                "output_files": ["/out/web01.ovf", "/out/web01-disk-0.vmdk"],
                "total_size": 310, "duration": 20_000_000_000_u64, "success": true, "export_method": "web",
            })
        );
        assert_eq!((&job["status"], &job["progress"]["percent_complete"]), (&json!("completed"), &json!(100.0)));
        assert_eq!(job["completed_at"], "2026-02-03T02:00:20.250000+01:00");
        assert_eq!(job["updated_at"], job["completed_at"]);
    }

    #[test]
    fn a_failed_job_says_why_on_one_line_and_has_no_result() {
        let problem = hyper_api::Problem::new(hyper_api::ProblemKind::Target, 422, "write into /out:\nno space");
        let job = shown(&picture(json!({
            "state": "failed", "problem": problem, "ended_at": "2026-02-03T01:00:20.000000Z",
        })));
        assert_eq!((&job["status"], &job["error"]), (&json!("failed"), &json!("write into /out: no space")));
        assert!(job.get("result").is_none() && job.get("completed_at").is_some());
    }

    #[test]
    fn a_pending_job_has_no_times_but_its_own() {
        let job = shown(&picture(json!({
            "state": "pending", "phase": "waiting", "started_at": null, "vm_path": null, "progress": {
                "received_bytes": 0, "covered_bytes": 0, "total_bytes": 0, "files": []},
        })));
        assert_eq!(job["definition"]["vm_path"], "web01");
        assert_eq!(
            job["progress"],
            json!({"phase": "waiting", "current_step": "waiting", "files_downloaded": 0, "total_files": 0,
                   "bytes_downloaded": 0, "bytes_transferred": 0, "total_bytes": 0, "percent_complete": 0.0,
                   "export_method": "web"})
        );
        assert!(job.get("started_at").is_none() && job.get("completed_at").is_none());
    }

    #[test]
    fn a_kept_definition_goes_out_as_it_is_with_the_id_and_the_time_of_the_job() {
        let kept = JobDefinition { name: "mine".into(), vm_path: "web01".into(), ..JobDefinition::default() };
        let job = view().job(&picture(json!({})), Some(kept), &mut Peak::default());
        assert_eq!((job.definition.name.as_str(), job.definition.vm_path.as_str()), ("mine", "web01"));
        assert_eq!(job.definition.id, "5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11");
        assert!(job.definition.created_at.is_some());
    }

    #[test]
    fn elapsed_ends_with_the_job_and_never_runs_backwards() {
        assert_eq!(view().elapsed(&picture(json!({}))), Some(Duration::from_millis(29_750)));
        let ended = picture(json!({"ended_at": "2026-02-03T01:00:10.250000Z"}));
        assert_eq!(view().elapsed(&ended), Some(Duration::from_secs(10)));
        let future = picture(json!({"started_at": "2026-02-03T02:00:00Z"}));
        assert_eq!(view().elapsed(&future), Some(Duration::ZERO));
        assert_eq!(view().elapsed(&picture(json!({"started_at": null}))), None);
    }
}
