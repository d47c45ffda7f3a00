//! Between the handlers and the jobs: what of a job is kept, how it is found, when a stop is over.

use std::sync::Arc;
use std::time::Duration;

use hyper_api::{Job, JobId, JobState, Problem, ProblemKind};

use super::super::definition::JobDefinition;
use super::super::question::{Query, Wanted};
use super::super::replies::Counts;
use super::super::submission::rules::Accepted;
use super::super::text;
use super::status;
use crate::caller::Caller;
use crate::http::State;
use crate::problems::refusal;

/// Longest wait for the end of a job that is to stop. The older client hangs up after 30 s.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(20);

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
    jobs.into_iter().map(|job| submit_one(state, caller, job?)).collect()
}

fn submit_one(state: &State, caller: &Caller, accepted: Accepted) -> Result<String, String> {
    let Accepted { definition, spec, notes } = accepted;
    if !definition.id.is_empty() {
        return Err(format!("{}: an id of the caller's own is not built yet", definition.id));
    }
    let refused = |problem: Box<Problem>| text::one_line(&format!("{}: {}", definition.name, problem.error));
    let spec = spec.into();
    let configured = state.configured.entitled(&caller.who, &spec).map_err(refused)?;
    let job = state.jobs.submit(&configured, spec).map_err(refused)?;
    state.compat.remember(&job.id, definition, notes);
    Ok(job.id.to_string())
}

/// Returns the jobs that are asked for, newest first.
///
/// # Errors
/// When the jobs cannot be read.
pub(super) async fn query(state: &State, query: Query) -> Result<Vec<Kept>, Box<Problem>> {
    let is_wanted = |job: &Job| match &query.wanted {
        Wanted::Ids(ids) => ids.iter().any(|id| id == job.id.as_str()),
        Wanted::All => true,
        Wanted::States(states) => states.is_empty() || states.contains(&job.state),
    };
    let found = state.jobs.list().into_iter().filter(|job| is_wanted(job));
    Ok(found.take(query.limit.unwrap_or(usize::MAX)).map(|picture| kept(state, picture)).collect())
}

/// Returns one job.
///
/// # Errors
/// [`ProblemKind::NotFound`].
pub(super) async fn find(state: &State, id: &JobId) -> Result<Kept, Box<Problem>> {
    let picture = Arc::clone(&state.jobs.watch(id)?.borrow());
    Ok(kept(state, picture))
}

fn kept(state: &State, picture: Arc<Job>) -> Kept {
    Kept { definition: state.compat.definition(&picture.id), picture }
}

/// Stops a job and returns when it has been stopped: until then it could still become completed.
///
/// # Errors
/// When there is no such job, when it has ended in another way, or when it takes too long to end.
pub(super) async fn cancel(state: &State, _caller: &Caller, id: &JobId) -> Result<(), Box<Problem>> {
    let mut pictures = state.jobs.watch(id)?;
    state.jobs.cancel(id)?;
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
    let picture = find(state, id).await?.picture;
    let mut lines = state.compat.notes(id);
    lines.extend(picture.warnings.iter().cloned());
    lines.extend(picture.problem.as_ref().map(|problem| problem.error.clone()));
    Ok(lines)
}

/// Returns how many jobs there are in each state.
///
/// # Errors
/// When the jobs cannot be read.
pub(super) async fn counts(state: &State) -> Result<Counts, Box<Problem>> {
    Ok(status::count(state.jobs.list().iter().map(|job| job.state)))
}
