//! What is said over `/ws`.

use std::time::Duration;

use serde::Serialize;

use super::definition::JobDefinition;
use super::job::progress::JobProgress;
use super::job::{Job, View};
use super::replies::Counts;

/// Jobs that the figures name, newest first.
pub const RECENT_MAX: usize = 50;

/// The form of every frame.
#[derive(Debug, Serialize)]
pub struct Frame<'a, T> {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When it was made.
    pub timestamp: String,
    /// What it says.
    pub data: &'a T,
}

/// The first frame.
#[derive(Debug, Serialize)]
pub struct Status {
    total_jobs: u64,
    running_jobs: u64,
    completed_jobs: u64,
    failed_jobs: u64,
}

impl From<Counts> for Status {
    fn from(counts: Counts) -> Self {
        let Counts { total_jobs, running_jobs, completed_jobs, failed_jobs, .. } = counts;
        Self { total_jobs, running_jobs, completed_jobs, failed_jobs }
    }
}

/// The second frame.
#[derive(Debug, Serialize)]
pub struct Jobs {
    /// The jobs, newest first.
    pub jobs: Vec<JobFrame>,
}

/// A job in a frame.
#[derive(Debug, Serialize)]
pub struct JobFrame {
    definition: JobDefinition,
    status: &'static str,
    progress: Option<JobProgress>,
    error: Option<String>,
}

impl From<Job> for JobFrame {
    fn from(job: Job) -> Self {
        Self { definition: job.definition, status: job.status, progress: job.progress, error: job.error }
    }
}

/// What the daemon says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// How long it has been up.
    pub uptime: Duration,
    /// How many listen.
    pub listeners: usize,
    /// The jobs by state.
    pub counts: Counts,
}

/// The frame of every second.
#[derive(Debug, Serialize)]
pub struct Metrics {
    raw: Raw,
}

/// The figures. What this daemon does not measure is zero; none is made up.
#[derive(Debug, Serialize)]
struct Raw {
    timestamp: String,
    jobs_active: u64,
    jobs_completed: u64,
    jobs_failed: u64,
    jobs_pending: u64,
    jobs_cancelled: u64,
    queue_length: u64,
    http_requests: u64,
    http_errors: u64,
    avg_response_time: f64,
    memory_usage: u64,
    cpu_usage: f64,
    goroutines: u64,
    active_connections: usize,
    websocket_clients: usize,
    provider_stats: serde_json::Map<String, serde_json::Value>,
    recent_jobs: Vec<RecentJob>,
    system_health: &'static str,
    alerts: [(); 0],
    uptime_seconds: u64,
}

#[derive(Debug, Serialize)]
struct RecentJob {
    id: String,
    name: String,
    status: &'static str,
    progress: u8,
    start_time: Option<String>,
    duration_seconds: u64,
    provider: &'static str,
    vm_name: String,
    vm_path: String,
    output_dir: String,
    format: String,
    compress: bool,
    created_at: Option<String>,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_msg: Option<String>,
}

impl Metrics {
    /// Makes the frame from what was `seen` and the newest jobs, each with how long it has been running.
    pub fn new<'a>(view: &View, seen: &Seen, jobs: impl IntoIterator<Item = (&'a Job, Option<Duration>)>) -> Self {
        let counts = seen.counts;
        let raw = Raw {
            timestamp: view.timestamp(),
            jobs_active: counts.running_jobs,
            jobs_completed: counts.completed_jobs,
            jobs_failed: counts.failed_jobs,
            jobs_pending: counts.pending_jobs,
            jobs_cancelled: counts.cancelled_jobs,
            queue_length: counts.pending_jobs,
            http_requests: 0,
            http_errors: 0,
            avg_response_time: 0.0,
            memory_usage: 0,
            cpu_usage: 0.0,
            goroutines: 0,
            active_connections: seen.listeners,
            websocket_clients: seen.listeners,
            provider_stats: serde_json::Map::new(),
            recent_jobs: jobs.into_iter().take(RECENT_MAX).map(|(job, elapsed)| recent(job, elapsed)).collect(),
            system_health: "healthy",
            alerts: [],
            uptime_seconds: seen.uptime.as_secs(),
        };
        Self { raw }
    }
}

fn recent(job: &Job, elapsed: Option<Duration>) -> RecentJob {
    let definition = &job.definition;
    RecentJob {
        id: definition.id.clone(),
        name: definition.name.clone(),
        status: job.status,
        progress: job.progress.as_ref().map_or(0, JobProgress::whole_percent),
        start_time: job.started_at.clone(),
        duration_seconds: elapsed.unwrap_or_default().as_secs(),
        provider: "vsphere",
        vm_name: super::text::last_element(&definition.vm_path).to_owned(),
        vm_path: definition.vm_path.clone(),
        output_dir: definition.output_dir.clone(),
        format: definition.format.clone(),
        compress: definition.compress,
        created_at: definition.created_at.clone(),
        updated_at: job.updated_at.clone(),
        end_time: job.completed_at.clone(),
        error_msg: job.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::job::progress::Peak;
    use super::super::job::tests::{picture, view};
    use super::*;

    #[test]
    fn the_first_frames_have_the_form_of_the_contract() {
        let counts = Counts { total_jobs: 3, running_jobs: 1, pending_jobs: 2, ..Counts::default() };
        let status = Status::from(counts);
        let frame = Frame { kind: "status", timestamp: "T".into(), data: &status };
        assert_eq!(
            to_value(frame).unwrap(),
            json!({"type": "status", "timestamp": "T",
                   "data": {"total_jobs": 3, "running_jobs": 1, "completed_jobs": 0, "failed_jobs": 0}})
        );
        let job = JobFrame::from(view().job(&picture(json!({})), None, &mut Peak::default()));
        let jobs = to_value(Jobs { jobs: vec![job] }).unwrap();
        let keys: Vec<_> = jobs["jobs"][0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["definition", "error", "progress", "status"]);
    }

    #[test]
    fn the_figures_of_every_second_are_all_there() {
        let job = view().job(&picture(json!({})), None, &mut Peak::default());
        let counts = Counts { total_jobs: 3, running_jobs: 1, pending_jobs: 2, ..Counts::default() };
        let seen = Seen { uptime: Duration::from_millis(61_500), listeners: 2, counts };
        let metrics = Metrics::new(&view(), &seen, [(&job, Some(Duration::from_secs(29)))]);
        assert_eq!(
            to_value(metrics).unwrap(),
            json!({"raw": {
                "timestamp": "2026-02-03T02:00:30.000000+01:00", "jobs_active": 1, "jobs_completed": 0,
                "jobs_failed": 0, "jobs_pending": 2, "jobs_cancelled": 0, "queue_length": 2, "http_requests": 0,
                "http_errors": 0, "avg_response_time": 0.0, "memory_usage": 0, "cpu_usage": 0.0, "goroutines": 0,
                "active_connections": 2, "websocket_clients": 2, "provider_stats": {},
                "recent_jobs": [{
                    "id": "5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11", "name": "web01", "status": "running",
                    "progress": 30, "start_time": "2026-02-03T02:00:00.250000+01:00", "duration_seconds": 29,
                    "provider": "vsphere", "vm_name": "web01", "vm_path": "/DC0/vm/web01", "output_dir": "/out",
                    "format": "ovf", "compress": false, "created_at": "2026-02-03T01:59:50.000000+01:00",
                    "updated_at": "2026-02-03T02:00:30.000000+01:00",
                }],
                "system_health": "healthy", "alerts": [], "uptime_seconds": 61,
            }})
        );
    }
}
