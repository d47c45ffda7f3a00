//! The bodies of the replies, field by field; what each holds is decided elsewhere.
//!
//! The order of the fields is that of the contract. Lists are never `null`, counts are those of the lists
//! beside them, and no field has another type than its name stands for: one that has makes the whole reply
//! unreadable to the older client.

use std::collections::BTreeMap;

use serde::Serialize;

use super::job::Job;
use super::text;

/// The reply of `GET /health`.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `healthy`.
    pub status: &'static str,
    /// When it was asked.
    pub timestamp: String,
}

/// The reply of `GET /status`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct DaemonStatus {
    /// Version of the daemon.
    pub version: String,
    /// How long it has been up, in Go's form.
    pub uptime: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// When it was asked.
    pub timestamp: String,
}

/// How many jobs there are, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub total_jobs: u64,
    /// Those at work.
    pub running_jobs: u64,
    /// Those done.
    pub completed_jobs: u64,
    /// Those that ended badly.
    pub failed_jobs: u64,
    /// Those that were stopped.
    pub cancelled_jobs: u64,
    /// Those that have not begun.
    pub pending_jobs: u64,
}

/// The reply of a query.
#[derive(Debug, Serialize)]
pub struct QueryResponse {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// The length of `jobs`.
    pub total: usize,
    /// When it was asked.
    pub timestamp: String,
}

impl QueryResponse {
    /// Makes the reply that lists `jobs`.
    pub fn new(jobs: Vec<Job>, timestamp: String) -> Self {
        Self { total: jobs.len(), jobs, timestamp }
    }
}

/// The reply of a submit.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SubmitResponse {
    /// The ids of the accepted jobs, in the order of the request.
    pub job_ids: Vec<String>,
    /// The first of them, or empty.
    pub job_id: String,
    /// The length of `job_ids`.
    pub accepted: usize,
    /// The length of `errors`.
    pub rejected: usize,
    /// One text per rejected job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// When it was asked.
    pub timestamp: String,
}

impl SubmitResponse {
    /// Makes the reply from what became of each job, in the order of the request.
    pub fn new(results: impl IntoIterator<Item = Result<String, String>>, timestamp: String) -> Self {
        let (mut job_ids, mut errors) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(id) => job_ids.push(id),
                Err(reason) => errors.push(text::one_line(&reason)),
            }
        }
        let job_id = job_ids.first().cloned().unwrap_or_default();
        Self { accepted: job_ids.len(), rejected: errors.len(), job_ids, job_id, errors, timestamp }
    }
}

/// The reply of a cancel.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CancelResponse {
    /// The ids of the jobs that are cancelled now.
    pub cancelled: Vec<String>,
    /// The ids of the others.
    pub failed: Vec<String>,
    /// Why, by id.
    pub errors: BTreeMap<String, String>,
    /// When it was asked.
    pub timestamp: String,
}

impl CancelResponse {
    /// Makes the reply from what became of each job.
    pub fn new(results: impl IntoIterator<Item = (String, Result<(), String>)>, timestamp: String) -> Self {
        let mut reply = Self { cancelled: Vec::new(), failed: Vec::new(), errors: BTreeMap::new(), timestamp };
        for (id, result) in results {
            match result {
                Ok(()) => reply.cancelled.push(id),
                Err(reason) => {
                    reply.errors.insert(id.clone(), text::one_line(&reason));
                    reply.failed.push(id);
                }
            }
        }
        reply
    }
}

/// The reply of `GET /jobs/logs/{id}`.
#[derive(Debug, Serialize)]
pub struct Logs {
    /// The job.
    pub job_id: String,
    /// The lines, oldest first.
    pub logs: Vec<String>,
    /// The length of `logs`.
    pub log_count: usize,
    /// When it was asked.
    pub timestamp: String,
}

impl Logs {
    /// Makes the reply with `lines`, each on one line.
    pub fn new(job_id: String, lines: impl IntoIterator<Item = String>, timestamp: String) -> Self {
        let logs: Vec<_> = lines.into_iter().map(|line| text::one_line(&line)).collect();
        Self { job_id, log_count: logs.len(), logs, timestamp }
    }
}

/// The reply of `GET /capabilities`.
#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// By the name of the method.
    pub capabilities: BTreeMap<&'static str, Capability>,
    /// The method that is taken when a job names none.
    pub default_method: &'static str,
    /// When it was asked.
    pub timestamp: String,
}

/// One way to export.
#[derive(Clone, Debug, Serialize)]
pub struct Capability {
    /// Its name.
    pub method: &'static str,
    /// True when it works.
    pub available: bool,
    /// Its version; empty when it is not there.
    pub version: &'static str,
    /// Where it lies; empty when it is not there.
    pub path: &'static str,
    /// Lower is better.
    pub priority: u8,
    /// When that was found out.
    pub last_checked: String,
}

impl Capabilities {
    /// Makes the reply: the daemon exports by itself and runs no tool, so its own way is the only one there is.
    pub fn new(timestamp: String) -> Self {
        let capabilities = [("ctl", 1), ("govc", 2), ("ovftool", 3), ("web", 4)].map(|(method, priority)| {
            let own = method == "web";
            let (version, path) = if own { ("built-in", "internal") } else { ("", "") };
            let last_checked = timestamp.clone();
            (method, Capability { method, available: own, version, path, priority, last_checked })
        });
        Self { capabilities: capabilities.into(), default_method: "web", timestamp }
    }
}

/// One VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmInfo {
    /// Its name.
    pub name: String,
    /// Its inventory path.
    pub path: String,
    /// `poweredOn`, `poweredOff` or `suspended`.
    pub power_state: String,
    /// Guest operating system as configured; empty when unknown.
    pub guest_os: String,
    /// Memory in MiB; 0 when unknown.
    pub memory_mb: i32,
    /// Virtual CPUs; 0 when unknown.
    pub num_cpu: i32,
    /// Sum of the capacities of its disks; 0 when unknown.
    pub storage_bytes: i64,
}

impl From<&hyper_api::Vm> for VmInfo {
    fn from(vm: &hyper_api::Vm) -> Self {
        Self {
            name: text::one_line(&vm.name),
            path: text::one_line(&vm.path),
            power_state: text::one_line(&vm.power_state),
            guest_os: text::one_line(vm.guest.as_deref().unwrap_or_default()),
            memory_mb: vm.memory_mib.unwrap_or(0).try_into().unwrap_or(i32::MAX),
            num_cpu: vm.cpus.unwrap_or(0).try_into().unwrap_or(i32::MAX),
            storage_bytes: vm.capacity_bytes.unwrap_or(0).try_into().unwrap_or(i64::MAX),
        }
    }
}

/// The reply of `GET` and `POST /vms/list`.
#[derive(Debug, Serialize)]
pub struct VmList {
    /// The VMs.
    pub vms: Vec<VmInfo>,
    /// The length of `vms`.
    pub total: usize,
    /// When it was asked.
    pub timestamp: String,
}

impl VmList {
    /// Makes the reply that lists `vms`.
    pub fn new(vms: Vec<VmInfo>, timestamp: String) -> Self {
        Self { total: vms.len(), vms, timestamp }
    }
}

/// The reply of `POST /vms/info`.
#[derive(Debug, Serialize)]
pub struct VmDetails {
    /// Always true: a failure is an error reply.
    pub success: bool,
    /// The VM.
    pub vm_info: VmInfo,
    /// When it was asked.
    pub timestamp: String,
}

/// The reply of an operation on a VM that went well.
#[derive(Debug, Serialize)]
pub struct Done {
    /// Always true: a failure is an error reply.
    pub success: bool,
    /// One line; all that the older client shows.
    pub message: String,
    /// When it was asked.
    pub timestamp: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    const NOW: &str = "2026-02-03T02:00:00.000000+01:00";

    fn now() -> String {
        NOW.to_owned()
    }

    #[test]
    fn a_status_has_every_count() {
        let counts = Counts { total_jobs: 9, running_jobs: 1, completed_jobs: 2, failed_jobs: 3, ..Counts::default() };
        let status = DaemonStatus { version: "0.1.0".into(), uptime: "1h2m3s".into(), counts, timestamp: now() };
        assert_eq!(
            to_value(status).unwrap(),
            json!({"version": "0.1.0", "uptime": "1h2m3s", "total_jobs": 9, "running_jobs": 1, "completed_jobs": 2,
                   "failed_jobs": 3, "cancelled_jobs": 0, "pending_jobs": 0, "timestamp": NOW})
        );
    }

    #[test]
    fn a_submit_says_what_became_of_each_job() {
        let reply = SubmitResponse::new([Ok("a".into()), Err("b:\nno VM".into()), Ok("c".into())], now());
        assert_eq!(
            to_value(reply).unwrap(),
            json!({"job_ids": ["a", "c"], "job_id": "a", "accepted": 2, "rejected": 1, "errors": ["b: no VM"],
                   "timestamp": NOW})
        );
        assert_eq!(
            to_value(SubmitResponse::new([Ok("a".into())], now())).unwrap(),
            json!({"job_ids": ["a"], "job_id": "a", "accepted": 1, "rejected": 0, "timestamp": NOW})
        );
        assert_eq!(
            to_value(SubmitResponse::new([Err("x".into())], now())).unwrap(),
            json!({"job_ids": [], "job_id": "", "accepted": 0, "rejected": 1, "errors": ["x"], "timestamp": NOW})
        );
    }

    #[test]
    fn a_cancel_always_has_both_lists_and_the_errors() {
        assert_eq!(
            to_value(CancelResponse::new([], now())).unwrap(),
            json!({"cancelled": [], "failed": [], "errors": {}, "timestamp": NOW})
        );
        let results = [("a".to_owned(), Ok(())), ("b".to_owned(), Err("it has\ncompleted".to_owned()))];
        assert_eq!(
            to_value(CancelResponse::new(results, now())).unwrap(),
            json!({"cancelled": ["a"], "failed": ["b"], "errors": {"b": "it has completed"}, "timestamp": NOW})
        );
    }

    #[test]
    fn empty_lists_are_lists() {
        assert_eq!(
            to_value(QueryResponse::new(Vec::new(), now())).unwrap(),
            json!({"jobs": [], "total": 0, "timestamp": NOW})
        );
        assert_eq!(to_value(VmList::new(Vec::new(), now())).unwrap(), json!({"vms": [], "total": 0, "timestamp": NOW}));
        assert_eq!(
            to_value(Logs::new("a".into(), [], now())).unwrap(),
            json!({"job_id": "a", "logs": [], "log_count": 0, "timestamp": NOW})
        );
    }

    #[test]
    fn log_lines_are_texts_on_one_line() {
        assert_eq!(
            to_value(Logs::new("a".into(), ["one\u{1b}[0m".into(), "two\r\nlines".into()], now())).unwrap(),
            json!({"job_id": "a", "logs": ["one [0m", "two  lines"], "log_count": 2, "timestamp": NOW})
        );
    }

    #[test]
    fn only_the_daemons_own_way_is_available() {
        let tool = |method: &str, priority: u8| {
            json!({"method": method, "available": false, "version": "", "path": "", "priority": priority,
                   "last_checked": NOW})
        };
        assert_eq!(
            to_value(Capabilities::new(now())).unwrap(),
            json!({
                "capabilities": {
                    "ctl": tool("ctl", 1), "govc": tool("govc", 2), "ovftool": tool("ovftool", 3),
                    "web": {"method": "web", "available": true, "version": "built-in", "path": "internal",
                            "priority": 4, "last_checked": NOW},
                },
                "default_method": "web", "timestamp": NOW,
            })
        );
    }

    #[test]
    fn a_vm_fits_the_types_that_older_clients_have() {
        let mut vm = hyper_api::Vm {
            path: "/DC0/vm/two\nlines".into(),
            name: "two\nlines".into(),
            moref: "vm-1".into(),
            instance_uuid: None,
            power_state: "poweredOn".into(),
            connection_state: "connected".into(),
            template: false,
            guest: Some("Debian".into()),
            cpus: Some(2),
            memory_mib: Some(4096),
            capacity_bytes: Some(40 << 30),
            committed_bytes: None,
        };
        assert_eq!(
            to_value(VmInfo::from(&vm)).unwrap(),
            json!({"name": "two lines", "path": "/DC0/vm/two lines", "power_state": "poweredOn", "guest_os": "Debian",
                   "memory_mb": 4096, "num_cpu": 2, "storage_bytes": 42_949_672_960_u64})
        );
        vm.memory_mib = Some(u64::MAX);
        (vm.cpus, vm.capacity_bytes, vm.guest) = (None, None, None);
        let info = VmInfo::from(&vm);
        assert_eq!((info.memory_mb, info.num_cpu, info.storage_bytes), (i32::MAX, 0, 0));
        let reply = to_value(VmDetails { success: true, vm_info: info, timestamp: now() }).unwrap();
        assert_eq!(reply["vm_info"]["guest_os"], "");
        let reply = to_value(Done { success: true, message: "web01 is off".into(), timestamp: now() }).unwrap();
        assert_eq!(reply, json!({"success": true, "message": "web01 is off", "timestamp": NOW}));
    }

    #[test]
    fn health_is_healthy() {
        let reply = to_value(Health { status: "healthy", timestamp: now() }).unwrap();
        assert_eq!(reply, json!({"status": "healthy", "timestamp": NOW}));
    }
}
