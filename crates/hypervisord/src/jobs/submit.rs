//! From a request to jobs in the queue.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hyper_api::{Job, JobId, JobRequest, Problem, ProblemKind};
use migrate::rights::Rights;

use super::check::{Targets, check, target_of};
use super::fold::fold;
use super::log::{Entry, Level, Place, Queued};
use super::owner::Owner;
use super::settings::Life;
use super::{Jobs, Shared, ticket};
use crate::caller::Caller;
use crate::problems::{from_migrate, from_store, refusal};
use crate::store::{Accepted, Key, NewJob, Refused};

/// A job that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The job.
    pub job: JobRequest,
    /// How an older program defined it, to be kept with it.
    pub older: Option<serde_json::Value>,
    /// What its log is to begin with.
    pub notes: Vec<String>,
}

impl From<JobRequest> for Asked {
    fn from(job: JobRequest) -> Self {
        Self { job, older: None, notes: Vec::new() }
    }
}

/// A request to accept jobs.
#[derive(Debug)]
pub struct Submission {
    /// The jobs, or why one of them could not be read.
    pub jobs: Vec<Result<Asked, Box<Problem>>>,
    /// Who asks.
    pub caller: Caller,
    /// The caller's key for this very request, and the request's bytes.
    pub key: Option<(String, Vec<u8>)>,
}

impl Submission {
    /// Makes the request of one job without a key.
    pub fn one(job: impl Into<JobRequest>, caller: Caller) -> Self {
        Self { jobs: vec![Ok(job.into().into())], caller, key: None }
    }
}

/// What became of each job of a request, in their order: the job, and whether it is new.
pub(super) type Answers = Vec<Result<(Job, bool), Box<Problem>>>;

impl Jobs {
    /// Accepts jobs and begins them as soon as there is room. Each has its own answer; those that are accepted
    /// are so together, durably.
    ///
    /// # Errors
    /// [`ProblemKind::Busy`] when the daemon is stopping, [`ProblemKind::State`] for a key that came with another
    /// request before, [`ProblemKind::Storage`] when the store cannot be written. Nothing is accepted then.
    pub async fn submit(&self, submission: Submission) -> Result<Answers, Box<Problem>> {
        let jobs = self.clone();
        self.to_the_end(async move { jobs.submit_now(submission).await }).await
    }

    async fn submit_now(&self, submission: Submission) -> Result<Answers, Box<Problem>> {
        let shared = &self.shared;
        if shared.stopping.is_cancelled() {
            return Err(refusal(ProblemKind::Busy, "accept a job: the daemon is stopping"));
        }
        let Submission { jobs, caller, key } = submission;
        let owner = Owner::of(&caller);
        let checked = self.check_all(jobs, &caller).await;
        let new: Vec<_> =
            checked.iter().filter_map(|job| job.as_ref().ok()).map(|job| shared.new_job(job, &owner)).collect();
        let key = key.map(|(key, body)| name_key(&key, &body, &caller));
        let failed = |error| from_store("accept the jobs", &error);
        let mut stored = shared.store.submit(new, key).await.map_err(failed)?.into_iter();
        let none = || refusal(ProblemKind::Internal, "accept a job: the store gave no answer");
        // The store has heard only of those that may be accepted.
        let answers = checked.into_iter().map(|job| job.and_then(|_| shared.answer(stored.next().ok_or_else(none)?)));
        let answers = answers.collect();
        shared.dispatch();
        Ok(answers)
    }

    /// Looks at every job by itself, at its target and at its VM.
    async fn check_all(
        &self,
        jobs: Vec<Result<Asked, Box<Problem>>>,
        caller: &Caller,
    ) -> Vec<Result<Checked, Box<Problem>>> {
        let configured = self.shared.configured();
        let plain = |asked: Asked| {
            let Asked { job, older, notes } = asked;
            check(&job.spec)?;
            configured.check(&job.spec)?;
            // With which rights it will work; what they forbid is refused now.
            let rights = configured.workers.rights(&caller.who, &job.spec)?;
            let remarks = notes.into_iter().map(|text| Entry::Line { level: Level::Info, text }).collect();
            Ok(Checked { job, older, rights, place: Place::default(), remarks })
        };
        let mut jobs: Vec<Result<Checked, Box<Problem>>> = jobs.into_iter().map(|job| job.and_then(plain)).collect();
        if self.shared.settings.life == Life::Private {
            // The job itself is about to look, and its starter waits for what it finds.
            return jobs;
        }
        jobs = blocking(move || {
            let mut targets = Targets::default();
            let mut look = |job: Checked| targets.check(&job.rights, &job.job.spec).map(|()| job);
            jobs.into_iter().map(|job| job.and_then(&mut look)).collect()
        })
        .await;
        self.find_vms(&mut jobs).await;
        jobs
    }

    /// Asks the source for the VMs of all jobs, in one question. A source that cannot be asked now refuses no
    /// job: it may answer when the job's turn comes.
    async fn find_vms(&self, jobs: &mut [Result<Checked, Box<Problem>>]) {
        let Ok((source, engine)) = self.shared.configured().engine else { return };
        let vm = |job: &Result<Checked, Box<Problem>>| Some(job.as_ref().ok()?.job.spec.export()?.vm.clone());
        let wanted: Vec<String> = jobs.iter().filter_map(vm).collect();
        if wanted.is_empty() {
            return;
        }
        let found = self.ask(|stop| async move { engine.find(wanted, stop).await }).await;
        let found = found.and_then(|found| found.map_err(|error| Box::new(from_migrate(&error))));
        let exports = jobs.iter_mut().filter(|job| vm(job).is_some());
        match found {
            Ok(found) => {
                for (job, found) in exports.zip(found) {
                    match (job.as_mut(), found) {
                        (Ok(checked), Ok(found)) => {
                            let (vm_path, host) = (Some(found.path), found.host);
                            checked.place = Place { source: Some(source.clone()), host, vm_path };
                        }
                        (_, Err(error)) => *job = Err(Box::new(from_migrate(&error))),
                        (Err(_), Ok(_)) => {}
                    }
                }
            }
            // These do not pass by themselves, and each further try may lock the account.
            Err(problem) if matches!(problem.kind, ProblemKind::Login | ProblemKind::Certificate) => {
                exports.for_each(|job| *job = Err(problem.clone()));
            }
            Err(problem) => {
                let text = format!("the VM was not looked up when the job was accepted: {}", problem.error);
                for job in exports.flatten() {
                    job.place.source = Some(source.clone());
                    job.remarks.push(Entry::Line { level: Level::Warning, text: text.clone() });
                }
            }
        }
    }
}

/// A job that may be accepted.
#[derive(Debug)]
struct Checked {
    job: JobRequest,
    older: Option<serde_json::Value>,
    /// With which it will work.
    rights: Rights,
    place: Place,
    remarks: Vec<Entry>,
}

impl Shared {
    fn new_job(&self, checked: &Checked, owner: &Owner) -> NewJob {
        let JobRequest { id, priority, spec } = checked.job.clone();
        let mut place = checked.place.clone();
        if spec.export().is_some() && place.source.is_none() {
            place.source = self.configured().engine.ok().map(|(source, _)| source);
        }
        NewJob {
            id: id.unwrap_or_else(|| JobId::new(uuid::Uuid::new_v4().to_string())),
            target: target_of(&spec, place.vm_path.as_deref()),
            vm: place.vm_path.clone().unwrap_or_else(|| spec.subject().into_owned()),
            queued: Queued { spec, priority, owner: owner.clone(), place, older: checked.older.clone() },
            remarks: checked.remarks.clone(),
        }
    }

    fn answer(&self, answer: Result<Accepted, Refused>) -> Result<(Job, bool), Box<Problem>> {
        let refuse = |why: String| Err(refusal(ProblemKind::State, format!("accept a job: {why}")));
        match answer {
            Ok(accepted) => {
                let gone = || refusal(ProblemKind::NotFound, format!("find job {}: it was deleted", accepted.id));
                let folded = fold(&accepted.id, &accepted.records).ok_or_else(gone)?;
                let job = Arc::new(folded.job.clone());
                if accepted.is_new {
                    self.state().queue.push(ticket(&folded, accepted.order));
                    self.publish(&job, Some(folded.sequence));
                }
                Ok((Arc::unwrap_or_clone(job), accepted.is_new))
            }
            Err(Refused::IdTaken) => refuse("its id is that of another job".to_owned()),
            Err(Refused::TargetTaken(other)) => {
                refuse(format!("job {other} exports the same VM to the same place, or writes the same file"))
            }
        }
    }
}

/// Puts a key into the space of its caller: nobody finds the jobs of others by guessing keys.
fn name_key(key: &str, body: &[u8], caller: &Caller) -> Key {
    let digest = digest(&SHA256, body);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Key { name: format!("{}\u{0}{key}", caller.who), digest: bytes }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
