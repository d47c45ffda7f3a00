//! What a start makes of jobs that an earlier process has left.

use std::sync::Arc;

use hyper_api::{JobId, JobState, ProblemKind};

use super::fold::{Folded, fold};
use super::log::{Again, Ended, Entry};
use super::moment::Moment;
use super::settings::Life;
use super::{Shared, ticket};
use crate::problems::problem;
use crate::store::Result;

/// Queues, or ends, every job that is not done.
pub(super) async fn recover(shared: &Arc<Shared>) -> Result<()> {
    for id in shared.store.in_states(&[JobState::Pending, JobState::Running]).await? {
        recover_one(shared, &id).await?;
    }
    let waiting = shared.state().queue.waiting();
    if waiting > 0 {
        tracing::info!(jobs = waiting, "jobs of an earlier start go on");
    }
    Ok(())
}

async fn recover_one(shared: &Arc<Shared>, id: &JobId) -> Result<()> {
    let records = shared.store.log(id).await?;
    let Some(row) = shared.store.row(id).await? else { return Ok(()) };
    let Some(mut folded) = fold(id, &records) else {
        tracing::error!(job = %id, "the job's log does not begin with what was asked for; it is left alone");
        return Ok(());
    };
    if let Some(ended) = end_of(shared.settings.life, &folded) {
        shared.store.append(id, folded.job.attempt, vec![Entry::Ended(Box::new(ended))]).await?;
        return Ok(());
    }
    if folded.job.state == JobState::Running {
        let entry = Entry::Requeued { why: Again::Interrupted, detail: String::new(), moment: Some(Moment::now()) };
        let records = shared.store.requeue(id, folded.job.attempt, entry).await?;
        records.iter().for_each(|record| folded.apply(record));
    }
    shared.state().queue.push(ticket(&folded, row.order));
    Ok(())
}

/// Returns how a job that was left ends; `None` when it goes on.
fn end_of(life: Life, folded: &Folded) -> Option<Ended> {
    if folded.cancel_asked {
        return Some(Ended::without_result(JobState::Cancelled, None));
    }
    match life {
        Life::Daemon => None,
        Life::Private => {
            let problem = problem(ProblemKind::Cancelled, "the hyperctl that ran the job ended before it")
                .with_hint("run the same command again; it goes on with what is there");
            Some(Ended::without_result(JobState::Failed, Some(problem)))
        }
    }
}
