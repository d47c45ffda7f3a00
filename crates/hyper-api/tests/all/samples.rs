//! Old samples stay readable for ever, and what is read is written again without loss.
//!
//! A sample is never edited: a change of the wire adds a file.

use std::fmt::Debug;

use hyper_api::{
    Consistency, ExportSpec, ImageFormat, Info, Inspection, Job, JobSpec, JobState, Phase, Problem, ProblemKind, Proof,
    ShutdownSpec, SnapshotPolicy, VmDetail, VmList,
};
use serde::{Serialize, de::DeserializeOwned};

/// Reads a sample and checks that writing and reading it once more gives the same value.
fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(sample: &str) -> T {
    let value: T = serde_json::from_str(sample).expect("the sample is readable");
    let again: T = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
    assert_eq!(value, again);
    value
}

/// Checks that a sample of the present version is written exactly as it stands there.
fn is_current<T: Serialize>(value: &T, sample: &str) {
    let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
    assert_eq!(serde_json::to_value(value).unwrap(), sample);
}

#[test]
fn a_list_of_vms_of_0_1_is_read() {
    let sample = include_str!("../samples/vms-0.1.json");
    let list: VmList = read(sample);
    is_current(&list, sample);
    assert_eq!(list.vms[0].path, "/DC0/vm/web/web%2f01");
    assert_eq!(list.vms[1].instance_uuid, None);
}

#[test]
fn an_export_of_0_1_is_read() {
    let sample = include_str!("../samples/export-0.1.json");
    let spec: ExportSpec = read(sample);
    is_current(&spec, sample);
    assert_eq!(ExportSpec::from_request(sample.as_bytes()).unwrap(), spec);
}

#[test]
fn exports_that_change_their_source_or_leave_something_out_are_read() {
    let sample = include_str!("../samples/export-options-0.1.json");
    let spec: ExportSpec = read(sample);
    is_current(&spec, sample);
    assert_eq!(spec.shutdown, Some(ShutdownSpec { limit_s: 300, force_off: true }));
    assert_eq!(ExportSpec::from_request(sample.as_bytes()).unwrap(), spec);
    for wrong in [
        r#"{"vm":"a","output":"/x","shutdown":{"limit_s":1},"snapshot":"crash"}"#,
        r#"{"vm":"a","output":"/x","shutdown":{"limit":1}}"#,
        r#"{"vm":"a","output":"/x","eject":true}"#,
    ] {
        assert!(ExportSpec::from_request(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_vm_with_its_disks_and_drives_is_read() {
    let sample = include_str!("../samples/vm-detail-0.1.json");
    let detail: VmDetail = read(sample);
    is_current(&detail, sample);
    assert_eq!(detail.drives[1].medium, None);
}

#[test]
fn a_running_job_of_0_1_is_read() {
    let job: Job = read(include_str!("../samples/job-running-0.1.json"));
    assert_eq!((job.state, job.phase), (JobState::Running, Phase::Copying));
    assert_eq!(job.spec.export().unwrap().vm, "web01", "a job without a kind is an export");
    assert_eq!(job.progress.files[0].amounts.eta_s, Some(12));
}

#[test]
fn a_completed_job_of_0_1_is_read() {
    let job: Job = read(include_str!("../samples/job-completed-0.1.json"));
    assert_eq!(job.report.unwrap().proof, Some(Proof::Manifest));
}

#[test]
fn exports_of_snapshots_are_read() {
    let sample = include_str!("../samples/export-snapshot-0.1.json");
    let spec: ExportSpec = read(sample);
    is_current(&spec, sample);
    assert_eq!(spec.snapshot, Some(SnapshotPolicy::Quiesce));
    assert_eq!(ExportSpec::from_request(sample.as_bytes()).unwrap(), spec);
    let job: Job = read(include_str!("../samples/job-snapshot-0.1.json"));
    assert_eq!(job.report.unwrap().snapshot.unwrap().consistency, Consistency::Crash);
}

#[test]
fn a_list_with_capacities_is_read() {
    let sample = include_str!("../samples/vms-capacity-0.1.json");
    let list: VmList = read(sample);
    is_current(&list, sample);
    assert_eq!(list.vms[0].capacity_bytes, Some(40 << 30));
}

#[test]
fn a_failed_job_of_0_1_is_read() {
    let job: Job = read(include_str!("../samples/job-failed-0.1.json"));
    assert_eq!(job.problem.unwrap().kind, ProblemKind::Target);
}

#[test]
fn a_problem_of_0_1_is_read() {
    let sample = include_str!("../samples/problem-0.1.json");
    let problem: Problem = read(sample);
    is_current(&problem, sample);
    assert_eq!(problem.to_string(), "find VM web01: three VMs have this name");
}

#[test]
fn the_info_of_0_1_is_read() {
    let sample = include_str!("../samples/info-0.1.json");
    let info: Info = read(sample);
    is_current(&info, sample);
    assert_eq!(info.pid, 4711);
}

#[test]
fn a_job_of_the_future_is_read_as_far_as_it_is_known() {
    let job: Job = read(include_str!("../samples/job-future.json"));
    assert_eq!(job.phase, Phase::Unknown);
    assert_eq!(job.problem.unwrap().kind, ProblemKind::Unknown);
    assert_eq!(job.report.unwrap().proof, Some(Proof::Unknown));
}

#[test]
fn jobs_of_every_kind_are_read() {
    let sample = include_str!("../samples/job-kind-0.1.json");
    let job: Job = read(sample);
    is_current(&job, sample);
    assert_eq!((job.spec.verb(), &*job.spec.subject()), ("export", "web01"));
    let sample = include_str!("../samples/job-convert-0.1.json");
    let job: Job = read(sample);
    is_current(&job, sample);
    assert_eq!((job.spec.verb(), &*job.spec.subject()), ("convert", "/srv/web01.vmdk"));
    assert_eq!(job.conversion.unwrap().format, ImageFormat::Qcow2);
    let sample = include_str!("../samples/job-verify-0.1.json");
    let job: Job = read(sample);
    is_current(&job, sample);
    assert_eq!((job.spec.verb(), job.spec.output()), ("verify", None));
    assert_eq!(job.verification.unwrap().mismatches[0].name, "web01-disk-0.vmdk");
}

#[test]
fn inspections_are_read() {
    for sample in
        [include_str!("../samples/inspection-image-0.1.json"), include_str!("../samples/inspection-package-0.1.json")]
    {
        let found: Inspection = read(sample);
        is_current(&found, sample);
    }
}

#[test]
fn requests_of_every_kind_are_read() {
    for sample in [include_str!("../samples/convert-0.1.json"), include_str!("../samples/verify-0.1.json")] {
        let spec: JobSpec = read(sample);
        is_current(&spec, sample);
        assert_eq!(JobSpec::from_request(sample.as_bytes()).unwrap(), spec);
    }
}

#[test]
fn a_job_that_waits_at_a_later_attempt_is_read() {
    let sample = include_str!("../samples/job-waiting-0.1.json");
    let job: Job = read(sample);
    is_current(&job, sample);
    assert_eq!((job.attempt, job.priority, job.phase), (2, 5, Phase::Waiting));
    assert!(job.waiting_for.unwrap().contains("lease"));
}
