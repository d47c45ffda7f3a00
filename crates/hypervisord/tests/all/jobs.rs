//! The life of a job, seen over the wire.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper_api::client::EventStream;
use hyper_api::{ConvertSpec, ImageFormat, Job, JobState, Phase, ProblemKind, Proof, VerifySpec};

use crate::twin::{Daemon, Twin};

async fn all(mut events: EventStream) -> Vec<Job> {
    let mut jobs = Vec::new();
    while let Some(job) = events.next().await.unwrap() {
        jobs.push(job);
    }
    jobs
}

#[tokio::test]
async fn a_job_is_followed_to_its_report_and_the_stream_ends_there() {
    let daemon = Daemon::over(&Twin::new()).await;
    let job = daemon.submit("ok").await;
    assert_eq!((job.state, job.id.as_str().len()), (JobState::Pending, 36));
    let pictures = all(daemon.client.events(&job.id, None).await.unwrap()).await;
    assert!(pictures.windows(2).all(|pair| pair[0].revision < pair[1].revision));
    assert!(pictures.iter().rev().skip(1).all(|job| !job.state.is_final()));
    let last = pictures.last().unwrap();
    assert_eq!(last.state, JobState::Completed);
    assert_eq!(last.report.as_ref().unwrap().proof, Some(Proof::Manifest));
    assert_eq!(last.vm_path.as_deref(), Some("/DC0/vm/ok"));
    assert_eq!(last.warnings, ["one device is not known here"]);
    assert_eq!((last.progress.amounts.received_bytes, last.progress.amounts.covered_bytes), (100, 1000));
    assert_eq!(daemon.client.job(&job.id).await.unwrap(), *last);
    assert!(last.created_at.ends_with('Z') && last.ended_at.is_some());
}

#[tokio::test]
async fn a_stream_that_is_taken_up_again_leaves_out_what_was_seen() {
    let daemon = Daemon::over(&Twin::new()).await;
    let job = daemon.submit("ok").await;
    let last = daemon.until(&job, |job| job.state.is_final()).await;
    let seen = last.revision.to_string();
    assert_eq!(all(daemon.client.events(&job.id, Some(&seen)).await.unwrap()).await, []);
    let before = (last.revision - 1).to_string();
    assert_eq!(all(daemon.client.events(&job.id, Some(&before)).await.unwrap()).await, [last]);
}

#[tokio::test]
async fn a_failed_job_carries_its_problem_and_a_panic_is_one() {
    let daemon = Daemon::over(&Twin::new()).await;
    for (vm, kind, hint) in [("fails", ProblemKind::Target, Some("make room")), ("panics", ProblemKind::Internal, None)]
    {
        let job = daemon.submit(vm).await;
        let job = daemon.until(&job, |job| job.state.is_final()).await;
        let problem = job.problem.unwrap();
        assert_eq!((job.state, problem.kind, problem.hint.as_deref()), (JobState::Failed, kind, hint));
    }
}

#[tokio::test]
async fn a_cancelled_job_has_ended_only_when_the_vm_is_given_back() {
    let twin = Twin::new();
    let daemon = Daemon::over(&twin).await;
    let job = daemon.submit("hold").await;
    daemon.until(&job, |job| job.phase == Phase::Copying).await;
    daemon.client.cancel(&job.id).await.unwrap();
    daemon.client.cancel(&job.id).await.unwrap();
    let undoing = daemon.until(&job, |job| job.phase == Phase::Undoing).await;
    assert_eq!((undoing.state, twin.holding.load(Ordering::SeqCst)), (JobState::Running, 1));
    twin.undo.add_permits(1);
    let ended = daemon.until(&job, |job| job.state.is_final()).await;
    assert_eq!((ended.state, ended.problem), (JobState::Cancelled, None));
    assert_eq!(twin.holding.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_job_that_has_ended_otherwise_cannot_be_cancelled() {
    let daemon = Daemon::over(&Twin::new()).await;
    let job = daemon.submit("ok").await;
    daemon.until(&job, |job| job.state.is_final()).await;
    let error = daemon.client.cancel(&job.id).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemKind::State);
}

#[tokio::test]
async fn jobs_beyond_the_limit_wait_and_can_be_cancelled_while_waiting() {
    let twin = Twin::new();
    let daemon = Daemon::over(&twin).await;
    for vm in ["hold-1", "hold-2", "hold-3", "hold-4"] {
        let job = daemon.submit(vm).await;
        daemon.until(&job, |job| job.phase == Phase::Copying).await;
    }
    let fifth = daemon.submit("ok").await;
    assert_eq!(daemon.client.job(&fifth.id).await.unwrap().state, JobState::Pending);
    assert_eq!(daemon.client.jobs().await.unwrap().jobs[0].id, fifth.id, "newest first");
    daemon.client.cancel(&fifth.id).await.unwrap();
    let ended = daemon.until(&fifth, |job| job.state.is_final()).await;
    assert_eq!((ended.state, ended.started_at), (JobState::Cancelled, None));
}

#[tokio::test]
async fn a_stop_waits_until_every_vm_is_given_back() {
    let twin = Twin::new();
    let mut daemon = Daemon::over(&twin).await;
    let job = daemon.submit("hold").await;
    daemon.until(&job, |job| job.phase == Phase::Copying).await;
    let events = daemon.client.events(&job.id, None).await.unwrap();
    daemon.stop.cancel();
    let early = tokio::time::timeout(Duration::from_millis(200), &mut daemon.served).await;
    assert!(early.is_err(), "it ended with a VM in its hands");
    twin.undo.add_permits(1);
    daemon.served.await.unwrap().unwrap();
    assert_eq!(twin.holding.load(Ordering::SeqCst), 0);
    assert_eq!(all(events).await.last().unwrap().state, JobState::Cancelled, "the reader sees the end");
}

#[tokio::test]
async fn pictures_of_the_same_phase_are_a_tenth_of_a_second_apart() {
    let twin = Twin::new();
    let daemon = Daemon::over(&twin).await;
    let job = daemon.submit("ok").await;
    let pictures = all(daemon.client.events(&job.id, None).await.unwrap()).await;
    // A hundred reports without a pause between them: pending, running, copying, the end, and little else.
    assert!(pictures.len() <= 8, "{} pictures", pictures.len());
}

fn convert(source: &str) -> ConvertSpec {
    ConvertSpec {
        source: source.into(),
        output: "/out.qcow2".into(),
        format: ImageFormat::Qcow2,
        compression: None,
        cluster_bytes: None,
        replace: false,
        follow_outside: false,
        source_is_raw: false,
    }
}

#[tokio::test]
async fn work_on_local_files_needs_no_source() {
    let reason = hypervisord::problems::problem(ProblemKind::Usage, "read the source: GOVC_URL is not set");
    let daemon = Daemon::without_source(&Twin::new(), reason).await;
    let job = daemon.start(convert("/ok")).await;
    let job = daemon.until(&job, |job| job.state.is_final()).await;
    let conversion = job.conversion.unwrap();
    assert_eq!((job.state, conversion.format), (JobState::Completed, ImageFormat::Qcow2));
    assert_eq!((conversion.output.to_str(), conversion.disks[0].capacity_bytes), (Some("/out.qcow2"), 1000));
    assert_eq!((job.report, job.vm_path), (None, Some("/DC0/vm/ok".into())), "the twin says so");
    let job = daemon.start(convert("/hold")).await;
    daemon.until(&job, |job| job.phase == Phase::Copying).await;
    daemon.client.cancel(&job.id).await.unwrap();
    assert_eq!(daemon.until(&job, |job| job.state.is_final()).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_file_that_is_not_what_its_manifest_says_fails_the_job_and_is_named() {
    let daemon = Daemon::over(&Twin::new()).await;
    let job = daemon.start(VerifySpec { path: "/ok".into() }).await;
    let job = daemon.until(&job, |job| job.state.is_final()).await;
    assert_eq!((job.state, job.verification.unwrap().verified), (JobState::Completed, vec!["vm.ovf".to_owned()]));
    let job = daemon.start(VerifySpec { path: "/wrong".into() }).await;
    let job = daemon.until(&job, |job| job.state.is_final()).await;
    let problem = job.problem.unwrap();
    assert_eq!((job.state, problem.kind), (JobState::Failed, ProblemKind::Verification));
    assert_eq!(problem.error, "verify /wrong: disk.vmdk is not what the manifest says");
    assert_eq!(job.verification.unwrap().mismatches[0].found, "bb");
}

#[tokio::test]
async fn what_became_of_a_job_is_known_after_its_daemon() {
    let twin = Twin::new();
    let daemon = Daemon::over(&twin).await;
    let done = daemon.submit("ok").await;
    daemon.until(&done, |job| job.state.is_final()).await;
    let held = daemon.submit("hold").await;
    daemon.until(&held, |job| job.phase == Phase::Copying).await;
    twin.undo.add_permits(1);
    let stored = daemon.stored().await;
    let states: Vec<_> = stored.iter().map(|job| (job.id.clone(), job.state)).collect();
    assert_eq!(states, [(held.id, JobState::Cancelled), (done.id, JobState::Completed)]);
    assert_eq!(stored[1].report.as_ref().unwrap().descriptor, "ok.ovf");
}
