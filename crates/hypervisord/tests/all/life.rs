//! Jobs of a daemon: what they do over its ends and beginnings.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper_api::{ExportSpec, Job, JobId, JobRequest, JobState, Phase, Problem, ProblemKind};
use hypervisord::caller::Caller;
use hypervisord::engine::Configured;
use hypervisord::jobs::queue::Limits;
use hypervisord::jobs::settings::Settings;
use hypervisord::jobs::{Jobs, Submission};
use hypervisord::store::{Filter, Store};
use hypervisord::workers::Workers;
use tempfile::TempDir;

use crate::twin::Twin;

/// Jobs in a folder that outlives them.
struct Machine {
    folder: TempDir,
    settings: Settings,
}

impl Machine {
    fn new() -> Self {
        let settings = Settings { retry_pause: Duration::from_millis(1), ..Settings::daemon() };
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    async fn start(&self, twin: &Arc<Twin>) -> Jobs {
        let store = Store::open(&self.folder.path().join("state")).unwrap();
        let configured = Configured {
            engine: Ok(("https://twin:443".into(), Arc::clone(twin) as _)),
            images: Arc::clone(twin) as _,
            workers: Workers::process(),
        };
        Jobs::open(store, configured, self.settings).await.unwrap()
    }

    fn spec(&self, vm: &str, output: &str) -> JobRequest {
        let output = self.folder.path().join(output);
        JobRequest::from(hyper_api::JobSpec::from(ExportSpec { vm: vm.into(), output, ..ExportSpec::default() }))
    }

    async fn submit(&self, jobs: &Jobs, vm: &str, output: &str) -> Result<Job, Box<Problem>> {
        one(jobs, self.spec(vm, output)).await
    }
}

async fn one(jobs: &Jobs, request: JobRequest) -> Result<Job, Box<Problem>> {
    let answers = jobs.submit(Submission::one(request, Caller::private())).await?;
    answers.into_iter().next().unwrap().map(|(job, _)| job)
}

/// Follows a job until `wanted` is true of it.
async fn until(jobs: &Jobs, id: &JobId, wanted: impl Fn(&Job) -> bool) -> Job {
    let mut pictures = jobs.watch(id).await.unwrap();
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let job = Job::clone(&pictures.borrow_and_update());
            if wanted(&job) {
                return job;
            }
            if pictures.changed().await.is_err() {
                pictures = jobs.watch(id).await.unwrap();
            }
        }
    });
    found.await.expect("the job does what the test waits for")
}

async fn ended(jobs: &Jobs, id: &JobId) -> Job {
    until(jobs, id, |job| job.state.is_final()).await
}

#[tokio::test]
async fn a_job_that_was_cut_off_by_a_stop_goes_on_at_the_next_start() {
    let machine = Machine::new();
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    let id = machine.submit(&jobs, "hold", "a").await.unwrap().id;
    until(&jobs, &id, |job| job.phase == Phase::Copying).await;
    twin.undo.add_permits(1);
    jobs.drain().await;
    drop(jobs);
    let jobs = machine.start(&twin).await;
    let job = until(&jobs, &id, |job| job.phase == Phase::Copying).await;
    assert_eq!((job.attempt, job.state), (2, JobState::Running));
    twin.undo.add_permits(1);
    jobs.cancel(&id, &Caller::private()).await.unwrap();
    let job = ended(&jobs, &id).await;
    assert_eq!((job.state, job.attempt), (JobState::Cancelled, 2));
    let lines: Vec<_> = jobs.lines(&id, None).await.unwrap().into_iter().map(|line| line.text).collect();
    assert!(lines.contains(&"the daemon ended while the job ran; queued again".to_owned()), "{lines:?}");
    assert!(lines.contains(&"a stop was asked for by private".to_owned()), "{lines:?}");
    jobs.drain().await;
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_and_one_that_stays_is_not() {
    let machine = Machine::new();
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    twin.flaky.store(2, Ordering::SeqCst);
    let id = machine.submit(&jobs, "flaky", "a").await.unwrap().id;
    let job = ended(&jobs, &id).await;
    assert_eq!((job.state, job.attempt), (JobState::Completed, 3));
    twin.flaky.store(9, Ordering::SeqCst);
    let id = machine.submit(&jobs, "flaky", "b").await.unwrap().id;
    let job = ended(&jobs, &id).await;
    assert_eq!((job.state, job.attempt, job.problem.unwrap().kind), (JobState::Failed, 4, ProblemKind::Unreachable));
    let id = machine.submit(&jobs, "fails", "c").await.unwrap().id;
    let job = ended(&jobs, &id).await;
    assert_eq!((job.state, job.attempt, job.problem.unwrap().kind), (JobState::Failed, 1, ProblemKind::Target));
    jobs.drain().await;
}

#[tokio::test]
async fn a_failed_job_is_resumed_as_itself_and_done_once_more_as_another() {
    let machine = Machine::new();
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    twin.flaky.store(4, Ordering::SeqCst);
    let id = machine.submit(&jobs, "flaky", "a").await.unwrap().id;
    assert_eq!(ended(&jobs, &id).await.state, JobState::Failed);
    let resumed = jobs.resume(&id, &Caller::private()).await.unwrap();
    assert_eq!((resumed.id, resumed.state, resumed.attempt), (id.clone(), JobState::Pending, 5));
    assert_eq!(ended(&jobs, &id).await.state, JobState::Completed);
    assert_eq!(jobs.resume(&id, &Caller::private()).await.unwrap_err().kind, ProblemKind::State, "it has completed");
    let again = jobs.retry(&id, Caller::private()).await.unwrap();
    assert_ne!(again.id, id);
    assert_eq!(ended(&jobs, &again.id).await.state, JobState::Completed);
    let none = JobId::new("none");
    for refused in [jobs.resume(&none, &Caller::private()).await, jobs.retry(&none, Caller::private()).await] {
        assert_eq!(refused.unwrap_err().kind, ProblemKind::NotFound);
    }
    jobs.drain().await;
}

#[tokio::test]
async fn what_can_be_seen_to_be_wrong_is_refused_with_its_reason_and_the_rest_is_accepted() {
    let machine = Machine::new();
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    std::fs::write(machine.folder.path().join("file"), "").unwrap();
    let requests = [("ok", "a"), ("missing", "b"), ("ok", "a"), ("ok", "file"), ("ok", "c")];
    let requests = requests.map(|(vm, output)| Ok(machine.spec(vm, output).into())).into();
    let submission = Submission { jobs: requests, caller: Caller::private(), key: None };
    let answers = jobs.submit(submission).await.unwrap();
    let kinds: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().map(|_| ()).map_err(|problem| problem.kind)).collect();
    let (found, twice, target) = (ProblemKind::NotFound, ProblemKind::State, ProblemKind::Target);
    assert_eq!(kinds, [Ok(()), Err(found), Err(twice), Err(target), Ok(())]);
    assert_eq!(twin.finds.load(Ordering::SeqCst), 1, "one question for all");
    let id = &answers[4].as_ref().unwrap().0.id;
    assert_eq!(ended(&jobs, id).await.vm_path.as_deref(), Some("/DC0/vm/ok"));
    jobs.drain().await;
}

#[tokio::test]
async fn jobs_wait_for_their_turn_by_priority_and_can_be_moved_cancelled_and_forgotten() {
    let mut machine = Machine::new();
    machine.settings.limits = Limits { running_max: 1, ..Limits::default() };
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    let first = machine.submit(&jobs, "hold", "a").await.unwrap().id;
    until(&jobs, &first, |job| job.phase == Phase::Copying).await;
    let low = machine.submit(&jobs, "ok", "b").await.unwrap().id;
    let high = one(&jobs, JobRequest { priority: 5, ..machine.spec("ok", "c") }).await.unwrap().id;
    let gone = machine.submit(&jobs, "ok", "d").await.unwrap().id;
    assert_eq!(jobs.cancel(&gone, &Caller::private()).await.unwrap().state, JobState::Cancelled);
    assert_eq!(jobs.prioritise(&low, 9).await.unwrap().priority, 9);
    assert_eq!(jobs.delete(&low).await.unwrap_err().kind, ProblemKind::State);
    jobs.delete(&gone).await.unwrap();
    assert_eq!(jobs.job(&gone).await.unwrap_err().kind, ProblemKind::NotFound);
    twin.undo.add_permits(1);
    jobs.cancel(&first, &Caller::private()).await.unwrap();
    let (low, high) = (ended(&jobs, &low).await, ended(&jobs, &high).await);
    assert!(low.started_at < high.started_at, "{low:?} {high:?}");
    assert_eq!(jobs.counts().await.unwrap().completed, 2);
    jobs.drain().await;
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_the_same_jobs_and_another_under_its_key_is_refused() {
    let machine = Machine::new();
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    let send = async |output: &str, body: &str| {
        let requests = vec![Ok(machine.spec("ok", output).into())];
        let key = Some(("key".to_owned(), body.as_bytes().to_vec()));
        jobs.submit(Submission { jobs: requests, caller: Caller::private(), key }).await
    };
    let id = |answers: &[Result<(Job, bool), Box<Problem>>]| answers[0].as_ref().unwrap().0.id.clone();
    let first = id(&send("a", "body").await.unwrap());
    ended(&jobs, &first).await;
    assert_eq!(id(&send("a", "body").await.unwrap()), first);
    assert_eq!(send("b", "other").await.unwrap_err().kind, ProblemKind::State);
    assert_eq!(jobs.list(Filter { limit: 9, ..Filter::default() }).await.unwrap().jobs.len(), 1);
    jobs.drain().await;
}

#[tokio::test]
async fn changes_of_all_jobs_are_seen_as_they_come_and_found_again_later() {
    let machine = Machine::new();
    let twin = Twin::new();
    let jobs = machine.start(&twin).await;
    let (mut changes, newest) = jobs.changes().await.unwrap();
    assert_eq!(newest, 0);
    let id = machine.submit(&jobs, "ok", "a").await.unwrap().id;
    let mut last = 0;
    loop {
        let change = changes.recv().await.unwrap();
        assert_eq!(change.job.id, id);
        if let Some(sequence) = change.sequence {
            assert!(sequence > last);
            last = sequence;
        }
        if change.job.state.is_final() {
            break;
        }
    }
    let missed = jobs.changed_since(0, 9).await.unwrap();
    assert_eq!((missed.len(), missed[0].sequence, missed[0].job.state), (1, Some(last), JobState::Completed));
    assert!(jobs.changed_since(last, 9).await.unwrap().is_empty());
    jobs.drain().await;
}
