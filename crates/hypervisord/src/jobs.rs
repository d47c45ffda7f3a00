//! All jobs of a daemon.
//!
//! ```text
//!  submit ─► check ─► store ─► queue ─► one task per job at work (run) ─► store, pictures ─► routes, event streams
//!                       │                          ▲
//!                       └─ recover, at a start     └── cancel, drain: by token
//! ```
//!
//! The log in the store is the truth about a job; [`fold`] makes its state of it. A job at work is owned by its
//! task, which alone writes to its log; everybody else sees pictures. Jobs that wait are tickets in the
//! [`queue`], and jobs that have ended are in the store only: memory grows with neither.
//!
//! What it does not do: nothing here knows HTTP.

mod act;
mod check;
pub mod fold;
mod heard;
pub mod lines;
pub mod log;
pub mod moment;
pub mod owner;
pub mod queue;
mod rates;
mod recover;
mod retention;
mod run;
pub mod settings;
mod submit;
mod task;
mod wire;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hyper_api::{Job, JobId, LogLine, Problem, ProblemKind};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use submit::{Asked, Submission};
pub use wire::vm as vm_on_wire;

use crate::engine::Configured;
use crate::problems::{from_store, refusal};
use crate::store::{Counts, Filter, Store};
use fold::{Folded, fold};
use queue::{Limits, Queue, Ticket};
use settings::{Life, Settings};

/// Changes that a reader of all jobs may lag behind before it has to read them from the store.
const CHANGES_MAX: usize = 1024;

/// Pause before a job is looked for again that was in nobody's hands for a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The jobs of this daemon. Clones are the same jobs.
#[derive(Clone, Debug)]
pub struct Jobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    configured: RwLock<Configured>,
    settings: Settings,
    state: Mutex<State>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    changes: broadcast::Sender<Change>,
}

/// What is in memory: which jobs wait, which are at work, and what watchers see.
#[derive(Debug)]
struct State {
    queue: Queue,
    /// Jobs that a task has, and how it is told to stop.
    working: HashMap<JobId, Stop>,
    /// The pictures of jobs that are at work or looked at.
    pictures: HashMap<JobId, watch::Sender<Arc<Job>>>,
}

/// How a task is told to stop.
#[derive(Clone, Debug)]
struct Stop {
    token: CancellationToken,
    /// True when it was somebody who wants the job to end, and not the end of the daemon.
    asked: Arc<AtomicBool>,
}

impl Stop {
    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.token.cancel();
    }
}

/// A job has changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Place of the entry that changed it in the order of all jobs; `None` when only its progress moved.
    pub sequence: Option<u64>,
    /// The job.
    pub job: Arc<Job>,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// What to give as [`Filter::before`] for the next page; none after the last.
    pub next: Option<u64>,
}

impl Jobs {
    /// Takes up what the store has, and begins to work on it.
    ///
    /// # Errors
    /// Those of a store that cannot be used.
    pub async fn open(store: Store, configured: Configured, settings: Settings) -> crate::store::Result<Self> {
        let state = State { queue: Queue::new(settings.limits), working: HashMap::new(), pictures: HashMap::new() };
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let shared = Shared {
            store,
            configured: RwLock::new(configured),
            settings,
            state: Mutex::new(state),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            changes,
        };
        let jobs = Self { shared: Arc::new(shared) };
        recover::recover(&jobs.shared).await?;
        retention::start(&jobs.shared);
        jobs.shared.dispatch();
        Ok(jobs)
    }

    /// Returns one job as it is now.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; those of a store that cannot be read.
    pub async fn job(&self, id: &JobId) -> Result<Job, Box<Problem>> {
        if let Some(pictures) = self.shared.state().pictures.get(id) {
            return Ok(Job::clone(&pictures.borrow()));
        }
        Ok(self.shared.folded(id).await?.job)
    }

    /// Returns a page of jobs, newest first.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn list(&self, filter: Filter) -> Result<Listed, Box<Problem>> {
        let page = self.shared.store.page(filter).await.map_err(|error| from_store("list the jobs", &error))?;
        let state = self.shared.state();
        let now = |(id, records): &(JobId, Vec<log::Record>)| match state.pictures.get(id) {
            Some(pictures) => Some(Job::clone(&pictures.borrow())),
            None => fold(id, records).map(|folded| folded.job),
        };
        Ok(Listed { jobs: page.jobs.iter().filter_map(now).collect(), next: page.next })
    }

    /// Returns how many jobs there are in each state.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn counts(&self) -> Result<Counts, Box<Problem>> {
        self.shared.store.counts().await.map_err(|error| from_store("count the jobs", &error))
    }

    /// Returns how older programs defined these jobs, in the order of the ids; `None` for a job that came in another
    /// way, and for one that there is not.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn definitions(&self, ids: Vec<JobId>) -> Result<Vec<Option<serde_json::Value>>, Box<Problem>> {
        let first = self.shared.store.first_entries(ids).await;
        let first = first.map_err(|error| from_store("read how jobs were defined", &error))?;
        let definition = |entry| match entry {
            Some(log::Entry::Queued(queued)) => queued.older,
            _ => None,
        };
        Ok(first.into_iter().map(definition).collect())
    }

    /// Returns what a job has said, oldest first; with `tail` the last so many lines.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; those of a store that cannot be read.
    pub async fn lines(&self, id: &JobId, tail: Option<usize>) -> Result<Vec<LogLine>, Box<Problem>> {
        let records = self.shared.store.log(id).await.map_err(|error| from_store("read a job's log", &error))?;
        if records.is_empty() { Err(not_found(id)) } else { Ok(lines::lines(&records, tail)) }
    }

    /// Returns the pictures of one job, the present one first. Of a job that has ended there is only that.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; those of a store that cannot be read.
    pub async fn watch(&self, id: &JobId) -> Result<watch::Receiver<Arc<Job>>, Box<Problem>> {
        loop {
            if let Some(pictures) = self.shared.state().pictures.get(id) {
                return Ok(pictures.subscribe());
            }
            let job = Arc::new(self.shared.folded(id).await?.job);
            if job.state.is_final() {
                return Ok(watch::channel(job).1);
            }
            // It waits, or is about to be begun. Whoever begins it finds the channel here.
            {
                let mut state = self.shared.state();
                if state.queue.is_waiting(id) || state.working.contains_key(id) {
                    let pictures = state.pictures.entry(id.clone()).or_insert_with(|| watch::channel(job).0);
                    return Ok(pictures.subscribe());
                }
            }
            // It was begun or taken out between the two looks.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Returns what changes from now on, of all jobs, and the place of the newest entry before that.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn changes(&self) -> Result<(broadcast::Receiver<Change>, u64), Box<Problem>> {
        let changes = self.shared.changes.subscribe();
        let newest = self.shared.store.newest().await.map_err(|error| from_store("follow the jobs", &error))?;
        Ok((changes, newest))
    }

    /// Returns jobs that have changed since the entry `sequence`, each as it is now and with the place of its
    /// newest entry, in the order of those; at most `limit`.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn changed_since(&self, sequence: u64, limit: u32) -> Result<Vec<Change>, Box<Problem>> {
        let failed = |error| from_store("follow the jobs", &error);
        let ids = self.shared.store.changed_since(sequence, limit).await.map_err(failed)?;
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let records = self.shared.store.log(&id).await.map_err(failed)?;
            if let Some(folded) = fold(&id, &records) {
                changes.push(Change { sequence: Some(folded.sequence), job: Arc::new(folded.job) });
            }
        }
        Ok(changes)
    }

    /// Takes another source for jobs that begin from now on.
    pub fn set_configured(&self, configured: Configured) {
        *self.shared.configured.write().unwrap_or_else(PoisonError::into_inner) = configured;
    }

    /// Returns true while jobs are taken.
    pub fn is_accepting(&self) -> bool {
        !self.shared.stopping.is_cancelled()
    }

    /// Changes how many jobs are at work at once.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.state().queue.set_limits(limits);
        self.shared.dispatch();
    }

    /// Runs a question to the source beside the jobs, so that [`Self::drain`] waits for its end too. The
    /// question gets a token that says when to stop: one that was dropped midway would leave a session
    /// behind. A caller that goes away does not end it.
    ///
    /// # Errors
    /// [`ProblemKind::Busy`] when the daemon stops before there is an answer.
    pub async fn ask<T, F>(&self, question: impl FnOnce(CancellationToken) -> F) -> Result<T, Box<Problem>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let stopping = self.shared.stopping.clone();
        let question = question(stopping.child_token());
        let asked = self.shared.tasks.spawn(async move {
            let late = async {
                stopping.cancelled().await;
                tokio::time::sleep(run::ANSWER_GRACE).await;
            };
            tokio::select! {
                answer = question => Ok(answer),
                () = late => Err(refusal(ProblemKind::Busy, "ask the source: the daemon is stopping")),
            }
        });
        asked.await.unwrap_or_else(|_| Err(refusal(ProblemKind::Internal, "ask the source: the question panicked")))
    }

    /// Refuses new jobs, stops those at work and returns when every one of them has given its VM back. In a
    /// daemon they go on at its next start; in a private child they have ended.
    pub async fn drain(&self) {
        // Under the lock, so that nothing is begun any more.
        {
            let _state = self.shared.state();
            self.shared.stopping.cancel();
        }
        if self.shared.settings.life == Life::Private {
            self.cancel_waiting().await;
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    /// Returns the source, and who does whose work.
    fn configured(&self) -> Configured {
        self.configured.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a job as its log has it.
    async fn folded(&self, id: &JobId) -> Result<Folded, Box<Problem>> {
        let records = self.store.log(id).await.map_err(|error| from_store("read a job", &error))?;
        fold(id, &records).ok_or_else(|| not_found(id))
    }

    /// Begins as many jobs as there is room for.
    fn dispatch(self: &Arc<Self>) {
        let mut state = self.state();
        if self.stopping.is_cancelled() {
            return;
        }
        while let Some(ticket) = state.queue.take() {
            let stop = Stop { token: self.stopping.child_token(), asked: Arc::default() };
            state.working.insert(ticket.id.clone(), stop.clone());
            self.tasks.spawn(run::run(Arc::clone(self), ticket, stop));
        }
    }

    /// Lets a job wait for its turn.
    fn enqueue(self: &Arc<Self>, ticket: Ticket) {
        self.state().queue.push(ticket);
        self.dispatch();
    }

    /// Shows a change of a job to whoever looks.
    fn publish(&self, job: &Arc<Job>, sequence: Option<u64>) {
        {
            let mut state = self.state();
            let at_work = state.working.contains_key(&job.id);
            if let Some(pictures) = state.pictures.get(&job.id) {
                pictures.send_replace(Arc::clone(job));
                if !at_work && (job.state.is_final() || pictures.is_closed()) {
                    state.pictures.remove(&job.id);
                }
            }
        }
        // Nobody listening is no error.
        drop(self.changes.send(Change { sequence, job: Arc::clone(job) }));
    }
}

fn not_found(id: &JobId) -> Box<Problem> {
    refusal(ProblemKind::NotFound, format!("find job {id}: there is none with this id"))
}

/// Returns the ticket of a job that waits.
fn ticket(folded: &Folded, order: u64) -> Ticket {
    Ticket {
        id: folded.job.id.clone(),
        order,
        priority: folded.job.priority,
        owner: folded.owner.clone(),
        source: folded.place.source.clone(),
        host: folded.place.host.clone(),
        vm: folded.job.spec.export().map(|export| folded.place.vm_path.clone().unwrap_or_else(|| export.vm.clone())),
    }
}
