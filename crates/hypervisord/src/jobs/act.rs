//! What people do with jobs: cancel, resume, try again, forget, put in front.

use std::sync::Arc;

use hyper_api::{Job, JobId, JobRequest, JobState, Problem, ProblemKind};

use super::fold::Folded;
use super::log::{Again, Ended, Entry, Record};
use super::moment::Moment;
use super::owner::Owner;
use super::queue::Ticket;
use super::submit::Submission;
use super::{Jobs, LOOK_AGAIN, Shared, not_found, ticket};
use crate::caller::Caller;
use crate::problems::{from_store, refusal};
use crate::store::ErrorKind;

impl Jobs {
    /// Asks for a stop of one job. It has ended when its picture says so, which takes as long as giving
    /// the VM back. Asking again changes nothing.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; [`ProblemKind::State`] when it has completed or failed; those of a store that
    /// cannot be written, and then the job stops all the same if it was at work.
    pub async fn cancel(&self, id: &JobId, caller: &Caller) -> Result<Job, Box<Problem>> {
        let (jobs, id, caller) = (self.clone(), id.clone(), caller.clone());
        self.to_the_end(async move { jobs.cancel_now(&id, &caller).await }).await
    }

    async fn cancel_now(&self, id: &JobId, caller: &Caller) -> Result<Job, Box<Problem>> {
        let shared = &self.shared;
        let (taken, stop) = {
            let mut state = shared.state();
            (state.queue.remove(id), state.working.get(id).cloned())
        };
        let by = caller.who.to_string();
        if let Some(ticket) = taken {
            return shared.cancel_waiting(ticket, by).await;
        }
        let folded = shared.folded(id).await?;
        let Some(stop) = stop else {
            return match folded.job.state {
                JobState::Cancelled => Ok(folded.job),
                state => Err(refusal(ProblemKind::State, format!("cancel job {id}: it has {}", state.word()))),
            };
        };
        let asked = shared.store.append(id, folded.job.attempt, vec![Entry::CancelAsked { by }]).await;
        stop.ask();
        match asked {
            // It was ending on its own meanwhile.
            Err(error) if error.kind() != ErrorKind::Stale => Err(from_store("cancel the job", &error)),
            _ => self.job(id).await,
        }
    }

    /// Queues a job again that has failed or was cancelled; it goes on with what it has left at its target.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; [`ProblemKind::State`] when it has not ended or has completed, or when another job
    /// works on its target; those of a store that cannot be written.
    pub async fn resume(&self, id: &JobId, caller: &Caller) -> Result<Job, Box<Problem>> {
        let (jobs, id, caller) = (self.clone(), id.clone(), caller.clone());
        self.to_the_end(async move { jobs.resume_now(&id, &caller).await }).await
    }

    async fn resume_now(&self, id: &JobId, caller: &Caller) -> Result<Job, Box<Problem>> {
        let shared = &self.shared;
        shared.check_open()?;
        // A job that has just ended is in the hands of its task for a moment longer.
        while shared.state().working.contains_key(id) && shared.folded(id).await?.job.state.is_final() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let mut folded = shared.folded(id).await?;
        if !matches!(folded.job.state, JobState::Failed | JobState::Cancelled) {
            let why = format!("resume job {id}: it is {}", folded.job.state.word());
            return Err(refusal(ProblemKind::State, why));
        }
        if folded.owner == Owner::Unknown {
            return Err(refusal(ProblemKind::State, format!("resume job {id}: a newer version accepted it")));
        }
        let detail = caller.who.to_string();
        let entry = Entry::Requeued { why: Again::Resumed, detail, moment: Some(Moment::now()) };
        let records = shared.store.requeue(id, folded.job.attempt, entry).await;
        let records = records.map_err(|error| match error.kind() {
            ErrorKind::Stale | ErrorKind::TargetTaken => refusal(ProblemKind::State, error.to_string()),
            _ => from_store("resume the job", &error),
        })?;
        let row = shared.store.row(id).await.map_err(|error| from_store("resume the job", &error))?;
        let order = row.ok_or_else(|| not_found(id))?.order;
        records.iter().for_each(|record| folded.apply(record));
        shared.publish(&Arc::new(folded.job.clone()), Some(folded.sequence));
        shared.enqueue(ticket(&folded, order));
        Ok(folded.job)
    }

    /// Accepts a new job with what another one, that has ended, was asked to do. That one stays as it is.
    ///
    /// # Errors
    /// As [`Self::submit`]; [`ProblemKind::NotFound`]; [`ProblemKind::State`] when it has not ended.
    pub async fn retry(&self, id: &JobId, caller: Caller) -> Result<Job, Box<Problem>> {
        let job = self.job(id).await?;
        if !job.state.is_final() {
            return Err(refusal(ProblemKind::State, format!("do job {id} once more: it is {}", job.state.word())));
        }
        let request = JobRequest { id: None, priority: job.priority, spec: job.spec };
        let answer = self.submit(Submission::one(request, caller)).await?.pop();
        let none = || refusal(ProblemKind::Internal, "accept a job: there is no answer");
        answer.ok_or_else(none)?.map(|(job, _)| job)
    }

    /// Forgets a job that has ended, with its log. Files that it has written stay.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; [`ProblemKind::State`] when it has not ended; those of a store that cannot be written.
    pub async fn delete(&self, id: &JobId) -> Result<(), Box<Problem>> {
        let folded = self.shared.folded(id).await?;
        let deleted = self.shared.store.delete(vec![id.clone()]).await;
        match deleted.map_err(|error| from_store("delete the job", &error))? {
            0 => {
                let why = format!("delete job {id}: it is {}; cancel it first", folded.job.state.word());
                Err(refusal(ProblemKind::State, why))
            }
            _ => Ok(()),
        }
    }

    /// Gives a job that has not ended another priority; one that is at work keeps its place.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; [`ProblemKind::State`] when it has ended; those of a store that cannot be written.
    pub async fn prioritise(&self, id: &JobId, priority: i32) -> Result<Job, Box<Problem>> {
        let (jobs, id) = (self.clone(), id.clone());
        self.to_the_end(async move { jobs.prioritise_now(&id, priority).await }).await
    }

    async fn prioritise_now(&self, id: &JobId, priority: i32) -> Result<Job, Box<Problem>> {
        let shared = &self.shared;
        let taken = shared.state().queue.remove(id);
        let written = shared.reprioritise(id, priority).await;
        if let Some(ticket) = taken {
            let priority = if written.is_ok() { priority } else { ticket.priority };
            shared.enqueue(Ticket { priority, ..ticket });
        }
        written
    }

    /// Does the whole of `work`, also when whoever asked goes away meanwhile: half of it would leave a job that
    /// is in the store and in no queue.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Box<Problem>>> + Send + 'static,
    ) -> Result<T, Box<Problem>> {
        let done = self.shared.tasks.spawn(work).await;
        done.unwrap_or_else(|_| Err(refusal(ProblemKind::Internal, "act on a job: the daemon broke down over it")))
    }

    /// Ends every job that waits, because the process ends to which they belong.
    pub(super) async fn cancel_waiting(&self) {
        loop {
            let Some(ticket) = self.shared.state().queue.take_waiting() else { return };
            if let Err(problem) = self.shared.cancel_waiting(ticket, "the end of the private daemon".to_owned()).await {
                tracing::warn!(%problem, "a job that waited is not ended in the store");
                return;
            }
        }
    }
}

impl Shared {
    fn check_open(&self) -> Result<(), Box<Problem>> {
        match self.stopping.is_cancelled() {
            true => Err(refusal(ProblemKind::Busy, "queue a job: the daemon is stopping")),
            false => Ok(()),
        }
    }

    /// Ends a job whose ticket was taken out of the queue.
    async fn cancel_waiting(self: &Arc<Self>, ticket: Ticket, by: String) -> Result<Job, Box<Problem>> {
        let ended = Ended::without_result(JobState::Cancelled, None);
        let entries = vec![Entry::CancelAsked { by }, Entry::Ended(Box::new(ended))];
        let ended = self.add(&ticket.id, entries, "cancel the job").await;
        if ended.is_err() {
            // It waits as before; the caller knows.
            self.enqueue(ticket);
        }
        ended
    }

    async fn reprioritise(&self, id: &JobId, priority: i32) -> Result<Job, Box<Problem>> {
        self.add(id, vec![Entry::Reprioritised { priority }], "change the job's priority").await
    }

    /// Adds entries to the log of a job that is not in a task's hands, or that its task can do without.
    async fn add(&self, id: &JobId, entries: Vec<Entry>, doing: &str) -> Result<Job, Box<Problem>> {
        let mut folded: Folded = self.folded(id).await?;
        let records: Vec<Record> =
            self.store.append(id, folded.job.attempt, entries).await.map_err(|error| match error.kind() {
                ErrorKind::Stale => refusal(ProblemKind::State, format!("{doing}: {error}")),
                _ => from_store(doing, &error),
            })?;
        records.iter().for_each(|record| folded.apply(record));
        self.publish(&Arc::new(folded.job.clone()), Some(folded.sequence));
        Ok(folded.job)
    }
}

/// Ends a job that was about to have its turn again.
pub(super) async fn end_waiting(shared: &Shared, ticket: &Ticket) {
    let ended = Ended::without_result(JobState::Cancelled, None);
    if let Err(problem) = shared.add(&ticket.id, vec![Entry::Ended(Box::new(ended))], "cancel the job").await {
        // That a stop was asked for is in the log; the next start ends the job.
        tracing::warn!(job = %ticket.id, %problem, "the end of the job is not stored");
    }
}
