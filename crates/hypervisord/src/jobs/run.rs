//! Runs one job: owns its state from `pending` to the end and sends a picture at every change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_api::{Job, JobState, Phase, ProblemKind};
use migrate::export::{Observer, Progress};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::fold::Fold;
use super::wire;
use super::work::{self, Done};
use crate::engine::Configured;
use crate::problems;

/// A question to the source that is under way when the daemon stops gets this long to log out: longer than
/// the source's own patience with a login that is not answered.
pub(super) const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// Without news the picture is made anew this often, so that a stall shows in rate and estimate.
const REFRESH: Duration = Duration::from_secs(1);

/// Warnings kept per job. Of more the first are kept, and the newest: what is left on the server is said last.
const WARNINGS_MAX: usize = 100;

/// What the work has said so far.
#[derive(Debug, Default)]
struct Seen {
    progress: Option<Progress>,
    warnings: Vec<String>,
}

/// Keeps the latest of what the work says; never blocks and never grows.
#[derive(Debug)]
struct Listener(watch::Sender<Seen>);

impl Observer for Listener {
    fn progress(&self, progress: &Progress) {
        self.0.send_modify(|seen| seen.progress = Some(progress.clone()));
    }

    fn warning(&self, text: &str) {
        self.0.send_modify(|seen| {
            if seen.warnings.len() >= WARNINGS_MAX {
                seen.warnings.remove(WARNINGS_MAX / 2);
            }
            seen.warnings.push(text.to_owned());
        });
    }
}

/// Runs the job whose first picture is in `pictures`, once `slots` has room.
pub(super) async fn run(
    configured: Configured,
    cancel: CancellationToken,
    slots: Arc<Semaphore>,
    pictures: watch::Sender<Arc<Job>>,
) {
    let job = Job::clone(&pictures.borrow());
    let mut owner = Owner { job, pictures, fold: Fold::default(), epoch: Instant::now() };
    let slot = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        slot = slots.acquire() => slot.ok(),
    };
    if slot.is_none() {
        owner.end(Err(migrate::Error::new(migrate::ErrorKind::Cancelled, "wait for a turn: cancelled")));
        return;
    }
    owner.begin();
    let (listener, mut seen) = watch::channel(Seen::default());
    // A task of its own: a panic in there becomes a failed job, not a job that runs for ever.
    let mut work = tokio::spawn(work::start(&configured, &owner.job.spec, Arc::new(Listener(listener)), cancel));
    let mut refresh = tokio::time::interval(REFRESH);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            // The sender lives as long as the work; after it only the result is left to wait for.
            Ok(()) = seen.changed() => owner.observe(&seen.borrow_and_update()),
            _ = refresh.tick() => owner.refresh(),
        }
    };
    // What was said last may have come together with the end.
    owner.observe(&seen.borrow_and_update());
    owner.end(result.unwrap_or_else(|panic| {
        let verb = owner.job.spec.verb();
        tracing::error!(job = %owner.job.id, "the {verb} panicked");
        Err(migrate::Error::new(migrate::ErrorKind::Internal, format!("the {verb} broke down")).with_source(panic))
    }));
}

/// The one who changes a job's state.
struct Owner {
    job: Job,
    pictures: watch::Sender<Arc<Job>>,
    fold: Fold,
    epoch: Instant,
}

impl Owner {
    fn begin(&mut self) {
        tracing::info!(job = %self.job.id, "started");
        self.job.state = JobState::Running;
        let needs_source = self.job.spec.export().is_some();
        self.job.phase = if needs_source { Phase::Connecting } else { Phase::Planning };
        self.job.started_at = Some(timestamp());
        self.publish();
    }

    fn observe(&mut self, seen: &Seen) {
        self.job.warnings.clone_from(&seen.warnings);
        if let Some(progress) = &seen.progress {
            self.job.phase = wire::phase(progress.phase);
            self.job.vm_path = progress.vm_path.clone();
            self.fold.observe(self.epoch.elapsed(), progress);
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        let progress = self.fold.progress(self.epoch.elapsed());
        let latest = self.pictures.borrow();
        let is_news =
            latest.progress != progress || latest.phase != self.job.phase || latest.warnings != self.job.warnings;
        drop(latest);
        if is_news {
            self.job.progress = progress;
            self.publish();
        }
    }

    fn end(&mut self, result: migrate::Result<Done>) {
        match result.and_then(|done| done.into_job(&mut self.job)) {
            Ok(()) => self.job.state = JobState::Completed,
            Err(error) => {
                let problem = problems::from_migrate(&error);
                let cancelled = problem.kind == ProblemKind::Cancelled;
                self.job.state = if cancelled { JobState::Cancelled } else { JobState::Failed };
                self.job.problem = (!cancelled).then_some(problem);
            }
        }
        let amounts = std::iter::once(&mut self.job.progress.amounts);
        for amounts in amounts.chain(self.job.progress.files.iter_mut().map(|file| &mut file.amounts)) {
            (amounts.rate_bytes_per_s, amounts.eta_s) = (None, None);
        }
        self.job.ended_at = Some(timestamp());
        tracing::info!(job = %self.job.id, state = self.job.state.word(), "ended");
        self.publish();
    }

    fn publish(&mut self) {
        self.job.revision += 1;
        self.pictures.send_replace(Arc::new(self.job.clone()));
    }
}

/// Returns the time as `/api/v1` has it: RFC 3339 in UTC with `Z`.
pub(super) fn timestamp() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}
