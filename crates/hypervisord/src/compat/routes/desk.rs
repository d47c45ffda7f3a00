//! Between the handlers and the jobs: what of a job is kept, how it is found, when a stop is over.

use std::sync::Arc;
use std::time::Duration;

use hyper_api::{Job, JobId, JobRequest, JobState, Problem, ProblemKind};

use super::super::definition::JobDefinition;
use super::super::question::{Query, Wanted};
use super::super::replies::Counts;
use super::super::submission::rules::Accepted;
use super::super::text;
use crate::caller::Caller;
use crate::http::State;
use crate::jobs::{Asked, Submission};
use crate::problems::refusal;
use crate::store::Filter;

/// Longest wait for the end of a job that is to stop. The older client hangs up after 30 s.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(20);

/// Jobs that are read at once.
const PAGE_JOBS: u32 = 500;

/// A job as the handlers show it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) picture: Arc<Job>,
    /// As it was submitted here; of a job of `/api/v1` there is none.
    pub(super) definition: Option<JobDefinition>,
}

/// Submits what was accepted, in its order; what was rejected stays so. Returns the ids or the reasons.
pub(super) async fn submit(
    state: &State,
    caller: &Caller,
    jobs: Vec<Result<Accepted, String>>,
) -> Vec<Result<String, String>> {
    let requests = jobs.iter().filter_map(|job| job.as_ref().ok()).map(request).map(Ok).collect();
    let submission = Submission { jobs: requests, caller: caller.clone(), key: None };
    let mut answers = match state.jobs.submit(submission).await {
        Ok(answers) => answers.into_iter(),
        Err(problem) => return jobs.into_iter().map(|job| Err(refused(&job?, &problem))).collect(),
    };
    let answer = |job: Result<Accepted, String>| {
        let accepted = job?;
        match answers.next() {
            Some(Ok((job, _))) => Ok(job.id.to_string()),
            Some(Err(problem)) => Err(refused(&accepted, &problem)),
            None => Err(format!("{}: there is no answer", accepted.definition.name)),
        }
    };
    jobs.into_iter().map(answer).collect()
}

/// Returns what is asked of the jobs. The definition stays with the job; its password was taken out when it was read.
fn request(accepted: &Accepted) -> Asked {
    let id = &accepted.definition.id;
    let id = (!id.is_empty()).then(|| JobId::new(id.as_str()));
    let job = JobRequest { id, priority: 0, spec: accepted.spec.clone().into() };
    Asked { job, older: serde_json::to_value(&accepted.definition).ok(), notes: accepted.notes.clone() }
}

fn refused(accepted: &Accepted, problem: &Problem) -> String {
    text::one_line(&format!("{}: {}", accepted.definition.name, problem.error))
}

/// Returns the jobs that are asked for, newest first.
///
/// # Errors
/// When the jobs cannot be read.
pub(super) async fn query(state: &State, query: Query) -> Result<Vec<Kept>, Box<Problem>> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let mut jobs = Vec::new();
    match query.wanted {
        Wanted::Ids(ids) => {
            for id in ids {
                match state.jobs.job(&JobId::new(id)).await {
                    Ok(job) => jobs.push(job),
                    Err(problem) if problem.kind == ProblemKind::NotFound => {}
                    Err(problem) => return Err(problem),
                }
            }
            // Newest first, and each once.
            jobs.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
            jobs.dedup_by(|a, b| a.id == b.id);
        }
        Wanted::All => jobs = listed(state, Vec::new(), limit).await?,
        Wanted::States(states) => jobs = listed(state, states, limit).await?,
    }
    jobs.truncate(limit);
    kept(state, jobs).await
}

/// Returns the newest jobs in these states, page by page.
async fn listed(state: &State, states: Vec<JobState>, limit: usize) -> Result<Vec<Job>, Box<Problem>> {
    let mut jobs = Vec::new();
    let mut filter = Filter { states, limit: PAGE_JOBS, ..Filter::default() };
    loop {
        let page = state.jobs.list(filter.clone()).await?;
        jobs.extend(page.jobs);
        match page.next {
            Some(next) if jobs.len() < limit => filter.before = Some(next),
            _ => return Ok(jobs),
        }
    }
}

/// Returns one job.
///
/// # Errors
/// [`ProblemKind::NotFound`].
pub(super) async fn find(state: &State, id: &JobId) -> Result<Kept, Box<Problem>> {
    let found = kept(state, vec![state.jobs.job(id).await?]).await?.pop();
    found.ok_or_else(|| refusal(ProblemKind::Internal, format!("find job {id}: it was lost on the way")))
}

/// Puts the definitions to jobs. They never change, so those that were read before are not read again.
async fn kept(state: &State, jobs: Vec<Job>) -> Result<Vec<Kept>, Box<Problem>> {
    let known: Vec<_> = jobs.iter().map(|job| state.compat.definition(job)).collect();
    let missing: Vec<_> =
        jobs.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(job, _)| job.id.clone()).collect();
    let mut read = match missing.is_empty() {
        true => Vec::new(),
        false => state.jobs.definitions(missing).await?,
    }
    .into_iter();
    let put = |(job, known): (Job, Option<Option<JobDefinition>>)| {
        let definition = known.unwrap_or_else(|| {
            // What a newer version kept in another form is as good as none.
            let definition = read.next().flatten().and_then(|value| serde_json::from_value(value).ok());
            state.compat.remember(&job, definition.clone());
            definition
        });
        Kept { picture: Arc::new(job), definition }
    };
    Ok(jobs.into_iter().zip(known).map(put).collect())
}

/// Stops a job and returns when it has been stopped: until then it could still become completed.
///
/// # Errors
/// When there is no such job, when it has ended in another way, or when it takes too long to end.
pub(super) async fn cancel(state: &State, caller: &Caller, id: &JobId) -> Result<(), Box<Problem>> {
    let mut pictures = state.jobs.watch(id).await?;
    state.jobs.cancel(id, caller).await?;
    let ended = tokio::time::timeout(CANCEL_TIME_MAX, pictures.wait_for(|job| job.state.is_final())).await;
    let state = match ended {
        Ok(Ok(picture)) => picture.state,
        // The one who owns the job is gone without an end, or it takes its time.
        Ok(Err(_)) | Err(_) => {
            let why = format!("cancel job {id}: it was told to stop, and has not given its VM back yet");
            return Err(refusal(ProblemKind::Busy, why));
        }
    };
    match state {
        JobState::Cancelled => Ok(()),
        state => Err(refusal(ProblemKind::State, format!("cancel job {id}: it has {}", state.word()))),
    }
}

/// Returns what the log of a job says, oldest first.
///
/// # Errors
/// [`ProblemKind::NotFound`].
pub(super) async fn lines(state: &State, id: &JobId) -> Result<Vec<String>, Box<Problem>> {
    let said = state.jobs.lines(id, None).await?;
    Ok(said.into_iter().map(|line| line.text).collect())
}

/// Returns how many jobs there are in each state.
///
/// # Errors
/// When the jobs cannot be read.
pub(super) async fn counts(state: &State) -> Result<Counts, Box<Problem>> {
    let counts = state.jobs.counts().await?;
    let (pending_jobs, running_jobs) = (counts.pending, counts.running);
    let (completed_jobs, failed_jobs, cancelled_jobs) = (counts.completed, counts.failed, counts.cancelled);
    let total_jobs = pending_jobs + running_jobs + completed_jobs + failed_jobs + cancelled_jobs;
    Ok(Counts { total_jobs, running_jobs, completed_jobs, failed_jobs, cancelled_jobs, pending_jobs })
}
