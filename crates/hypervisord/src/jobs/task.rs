//! A job in the hands of its task: what its log has, and what its watchers see.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_api::{Job, Phase};
use migrate::export::Hold;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::fold::{Folded, REVISION_SHIFT};
use super::heard::Heard;
use super::log::{self, Again, Ended, Entry, Level, Output};
use super::moment::Moment;
use super::rates::Meters;
use super::run::{STORE_RETRY, stopped};
use super::settings::Life;
use super::wire;
use crate::store::{Error, ErrorKind, Result};

/// Of the renewals of a lease every one is logged that comes this share of its timeout after the last logged one.
const RENEWALS_LOGGED: u32 = 4;

/// Added to the life of a lease: the log's moment is a little before the server's.
const HOLD_MARGIN: Duration = Duration::from_millis(500);

/// A job in the hands of its task.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    /// The job as its log has it.
    pub(super) folded: Folded,
    meters: Meters,
    epoch: Instant,
    /// The step that is under way.
    step: Option<Phase>,
    /// Inventory path of the VM, as the work has it.
    vm_path: Option<String>,
    /// Pictures shown since the last entry.
    ticks: u64,
    /// The lease that was logged last, and when.
    logged_hold: Option<(String, Instant)>,
    /// Ends the work when the job is not ours any more.
    cancel: Option<CancellationToken>,
    /// True when another attempt was begun behind our back.
    lost: bool,
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>, folded: Folded) -> Self {
        {
            let mut state = shared.state();
            let job = || watch::channel(Arc::new(folded.job.clone())).0;
            state.pictures.entry(folded.job.id.clone()).or_insert_with(job);
        }
        Self {
            shared,
            folded,
            meters: Meters::default(),
            epoch: Instant::now(),
            step: None,
            vm_path: None,
            ticks: 0,
            logged_hold: None,
            cancel: None,
            lost: false,
        }
    }

    /// Begins to measure, once more if the work is done once more.
    pub(super) fn begin_work(&mut self, cancel: CancellationToken) {
        self.meters = Meters::default();
        self.step = None;
        self.cancel = Some(cancel);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Adds entries to the log, durably, and shows what they make of the job.
    pub(super) async fn write(&mut self, entries: Vec<Entry>) -> Result<()> {
        let (id, attempt) = (self.folded.job.id.clone(), self.folded.job.attempt);
        match self.shared.store.append(&id, attempt, entries).await {
            Ok(records) => {
                records.iter().for_each(|record| self.folded.apply(record));
                self.ticks = 0;
                self.publish(Some(self.folded.sequence));
                Ok(())
            }
            Err(error) => {
                if error.kind() == ErrorKind::Stale {
                    self.lose(&error);
                }
                Err(error)
            }
        }
    }

    fn lose(&mut self, error: &Error) {
        tracing::warn!(job = %self.folded.job.id, error = %error.chain(), "the attempt is given up");
        self.lost = true;
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }

    /// Adds entries that the job can do without.
    async fn note(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() || self.lost {
            return;
        }
        if let Err(error) = self.write(entries).await {
            tracing::warn!(job = %self.folded.job.id, error = %error.chain(), "a note on the job is lost");
        }
    }

    /// Writes down what the work has said.
    pub(super) async fn hear(&mut self, heard: Heard) {
        let mut entries = Vec::new();
        if let Some(path) = heard.progress.as_ref().and_then(|progress| progress.vm_path.as_ref()) {
            self.vm_path = Some(path.clone());
        }
        for phase in heard.phases {
            let step = wire::phase(phase);
            entries.extend(self.succeeded());
            entries.push(Entry::StepStarted { step });
            self.step = Some(step);
        }
        let warnings = heard.warnings.into_iter();
        entries.extend(warnings.map(|text| Entry::Line { level: Level::Warning, text }));
        entries.extend(heard.hold.as_ref().and_then(|hold| self.holding(hold)));
        entries.extend(heard.released.map(|lease| Entry::Released { lease }));
        self.note(entries).await;
        if let Some(progress) = &heard.progress {
            self.meters.observe(self.epoch.elapsed(), progress);
        }
        self.refresh();
    }

    /// Returns the entry for the end of the step that is under way.
    fn succeeded(&mut self) -> Option<Entry> {
        let step = self.step.take()?;
        let known = self.folded.job.vm_path.as_ref();
        let output = Output { vm_path: self.vm_path.take_if(|path| known != Some(path)) };
        Some(Entry::StepSucceeded { step, output })
    }

    /// Notes that the last step came to its end.
    pub(super) async fn step_succeeded(&mut self) {
        let entry = self.succeeded();
        self.note(entry.into_iter().collect()).await;
    }

    /// Notes that the step which was under way failed; what follows it was only the way back.
    pub(super) async fn step_failed(&mut self) {
        let step = self.step.take().unwrap_or(self.folded.job.phase);
        self.note(vec![Entry::StepFailed { step }]).await;
    }

    /// Returns the entry for a sign of life of a lease, if it is worth one.
    fn holding(&mut self, hold: &Hold) -> Option<Entry> {
        let spacing = hold.timeout / RENEWALS_LOGGED;
        let is_known = |(lease, at): &(String, Instant)| *lease == hold.lease && at.elapsed() < spacing;
        if self.logged_hold.as_ref().is_some_and(is_known) {
            return None;
        }
        self.logged_hold = Some((hold.lease.clone(), Instant::now()));
        let lasts = hold.timeout + spacing + HOLD_MARGIN;
        Some(Entry::Holding(log::Hold {
            lease: hold.lease.clone(),
            vm: hold.vm_path.clone(),
            renewed: Moment::now(),
            lasts_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
        }))
    }

    /// Notes that the job waits, unless it has said the same before.
    pub(super) async fn waiting(&mut self, reason: String, left: Duration) {
        if self.folded.job.waiting_for.as_ref() == Some(&reason) {
            return;
        }
        let until = Some(crate::clock::ahead(left));
        self.note(vec![Entry::Waiting { reason, until }]).await;
    }

    /// Shows how far the work is, if that has changed.
    pub(super) fn refresh(&mut self) {
        let progress = self.meters.progress(self.epoch.elapsed());
        if self.folded.job.progress == progress {
            return;
        }
        self.folded.job.progress = progress;
        self.ticks += 1;
        self.publish(None);
    }

    fn publish(&mut self, sequence: Option<u64>) {
        let mut job: Job = self.folded.job.clone();
        job.revision += self.ticks.min((1 << REVISION_SHIFT) - 1);
        self.shared.publish(&Arc::new(job), sequence);
    }

    /// Ends the job as failed.
    pub(super) async fn fail(mut self, problem: hyper_api::Problem) -> super::run::Outcome {
        self.end(Ended::without_result(hyper_api::JobState::Failed, Some(problem))).await;
        super::run::Outcome::Over
    }

    /// Ends the job. Comes back when that is stored, or when the process of a private child ends first.
    pub(super) async fn end(&mut self, ended: Ended) {
        let mut progress = self.folded.job.progress.clone();
        let amounts = std::iter::once(&mut progress.amounts);
        for amounts in amounts.chain(progress.files.iter_mut().map(|file| &mut file.amounts)) {
            (amounts.rate_bytes_per_s, amounts.eta_s) = (None, None);
        }
        let ended = Ended { progress, ..ended };
        tracing::info!(job = %self.folded.job.id, state = ended.state.word(), "ended");
        let entry = Entry::Ended(Box::new(ended));
        while let Err(error) = self.write(vec![entry.clone()]).await {
            if !self.may_try_again(&error).await {
                return;
            }
        }
    }

    /// Queues the job again.
    pub(super) async fn requeue(&mut self, why: Again, detail: &str) {
        let entry = Entry::Requeued { why, detail: detail.to_owned(), moment: Some(Moment::now()) };
        loop {
            let (id, attempt) = (self.folded.job.id.clone(), self.folded.job.attempt);
            match self.shared.store.requeue(&id, attempt, entry.clone()).await {
                Ok(records) => {
                    records.iter().for_each(|record| self.folded.apply(record));
                    self.ticks = 0;
                    self.publish(Some(self.folded.sequence));
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Stale => return self.lose(&error),
                Err(error) => {
                    if !self.may_try_again(&error).await {
                        return;
                    }
                }
            }
        }
    }

    /// Says that the store cannot be written, and waits before the next try. Returns false when there is no sense
    /// in one: the job is not ours any more, or the process is about to end. What the store does not have then is
    /// found out by the next start.
    async fn may_try_again(&mut self, error: &Error) -> bool {
        if matches!(error.kind(), ErrorKind::Stale | ErrorKind::Closed | ErrorKind::Internal) {
            tracing::error!(job = %self.folded.job.id, error = %error.chain(), "the end of the job is not stored");
            return false;
        }
        let reason = format!("the job store, which cannot be written: {}", error.chain());
        if self.folded.job.waiting_for.as_ref() != Some(&reason) {
            self.folded.job.waiting_for = Some(reason);
            self.folded.job.phase = Phase::Waiting;
            self.ticks += 1;
            self.publish(None);
        }
        let stopping = self.shared.stopping.clone();
        if stopping.is_cancelled() {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(STORE_RETRY) => true,
            () = stopped(Some(&stopping)) => self.shared.settings.life == Life::Daemon,
        }
    }

    /// Returns the job's place in the order of acceptance.
    pub(super) async fn order(&self) -> Option<u64> {
        let row = self.shared.store.row(&self.folded.job.id).await;
        row.ok().flatten().map(|row| row.order)
    }
}
