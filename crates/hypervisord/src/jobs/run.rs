//! The life of one job at work: owns its log from `started` to the end of the attempt.
//!
//! ```text
//!  ticket ─► started ─► work ─┬─► done ────────────────────────────► ended: completed
//!                ▲            ├─► VM held by an earlier attempt ─► waiting ─► work again
//!                │            ├─► failed in a way that may pass ─► requeued, and after a pause its turn again
//!                │            ├─► the daemon stops ──────────────► requeued, for the next start
//!                └────────────┴─► failed, or a stop was asked ───► ended
//! ```
//!
//! An end is shown only when it is stored. A store that cannot be written is tried again until it can; the job
//! says so meanwhile.

use std::sync::Arc;
use std::time::Duration;

use hyper_api::{Job, JobState, ProblemKind};
use tokio_util::sync::CancellationToken;

use super::heard::Listener;
use super::log::{Again, Ended, Entry};
use super::moment::Moment;
use super::owner::Owner;
use super::queue::Ticket;
use super::settings::Life;
use super::task::Task;
use super::work::{self, Done};
use super::{Shared, Stop, fold::fold};
use crate::problems;
use crate::store::ErrorKind as StoreErrorKind;

/// A question to the source that is under way when the daemon stops gets this long to log out: longer than
/// the source's own patience with a login that is not answered.
pub(super) const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// Without news the picture is made anew this often, so that a stall shows in rate and estimate.
const REFRESH: Duration = Duration::from_secs(1);

/// Pause before a store that cannot be written is tried again.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(1);

/// A lease without a sign of life is given up by the server after this, unless it was told otherwise (vSphere's
/// default); so long an interrupted attempt may hold its VM also when its lease never came into the log.
const LEASE_TIMEOUT: Duration = Duration::from_secs(300);

/// Looks at a VM that is held are this far apart at least, and at most.
const HELD_LOOKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(10);

/// How an attempt came to its end.
pub(super) enum Outcome {
    /// The job has ended, and the store knows.
    Over,
    /// It is queued again and has its turn after a pause.
    After(Duration, Box<Ticket>),
    /// It goes on at the next start of a daemon, or belongs to somebody else by now.
    Left,
}

/// Runs the job of a ticket.
pub(super) async fn run(shared: Arc<Shared>, ticket: Ticket, stop: Stop) {
    let outcome = attempt(&shared, &ticket, &stop).await;
    shared.state().queue.done(&ticket.id);
    shared.dispatch();
    if let Outcome::After(pause, ticket) = outcome {
        let waited = tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stop.token.cancelled() => false,
        };
        if !waited && stop.is_asked() {
            super::act::end_waiting(&shared, &ticket).await;
        } else {
            shared.state().working.remove(&ticket.id);
            // When the daemon stops instead, it stays in the store for the next start.
            shared.enqueue(*ticket);
            return;
        }
    }
    shared.release(&ticket.id);
}

async fn attempt(shared: &Arc<Shared>, ticket: &Ticket, stop: &Stop) -> Outcome {
    let Some(mut task) = begin(shared, ticket, stop).await else { return Outcome::Left };
    if task.folded.owner == Owner::Unknown {
        let text = "run the job: a newer version accepted it, and this one does not know with whose rights";
        return task.fail(problems::problem(ProblemKind::Internal, text)).await;
    }
    let patience = Patience::of(&task);
    loop {
        let result = work(&mut task, stop).await;
        if task.is_lost() {
            // Somebody has begun another attempt; this one may say nothing any more.
            return Outcome::Left;
        }
        match result {
            Err(error) if error.is_held() && !stop.token.is_cancelled() => match patience.left(&Moment::now()) {
                Some(left) => wait_for_vm(&mut task, stop, left, &error).await,
                None => return conclude(task, stop, Err(error)).await,
            },
            result => return conclude(task, stop, result).await,
        }
    }
}

/// Notes that the attempt begins; `None` when the job is not there for that any more, or the daemon stops first.
async fn begin(shared: &Arc<Shared>, ticket: &Ticket, stop: &Stop) -> Option<Task> {
    loop {
        let records = shared.store.log(&ticket.id).await;
        let failed = match records {
            Ok(records) => {
                let folded = fold(&ticket.id, &records)?;
                if folded.job.state != JobState::Pending {
                    return None;
                }
                let mut task = Task::new(Arc::clone(shared), folded);
                if task.folded.cancel_asked || stop.is_asked() {
                    task.end(Ended::without_result(JobState::Cancelled, None)).await;
                    return None;
                }
                match task.write(vec![Entry::Started]).await {
                    Ok(()) => {
                        tracing::info!(job = %ticket.id, attempt = task.folded.job.attempt, "started");
                        return Some(task);
                    }
                    Err(error) if error.kind() == StoreErrorKind::Stale => return None,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        tracing::warn!(job = %ticket.id, error = %failed.chain(), "the job cannot begin");
        tokio::select! {
            () = tokio::time::sleep(STORE_RETRY) => {}
            () = stop.token.cancelled() => return None,
        }
    }
}

/// Does the work once, and writes down what it says.
async fn work(task: &mut Task, stop: &Stop) -> migrate::Result<Done> {
    let listener = Listener::new();
    let (observer, cancel) = (Arc::clone(&listener), stop.token.child_token());
    task.begin_work(cancel.clone());
    let folded = &task.folded;
    // What stands at the target is this job's own work only if an earlier attempt had got that far.
    let adopt = folded.claimed && folded.job.attempt > 1;
    // A task of its own: a panic in there becomes a failed job, not a job that runs for ever.
    let spec = &folded.job.spec;
    let configured = match task.shared.configured().entitled(&folded.owner.who(), spec) {
        Ok(configured) => configured,
        Err(problem) => return Err(migrate::Error::new(migrate::ErrorKind::Permission, problem.error)),
    };
    let mut work = tokio::spawn(work::start(&configured, spec, adopt, observer, cancel));
    let mut refresh = tokio::time::interval(REFRESH);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            () = listener.news() => task.hear(listener.take()).await,
            _ = refresh.tick() => task.refresh(),
        }
    };
    // What was said last may have come together with the end.
    task.hear(listener.take()).await;
    result.unwrap_or_else(|panic| {
        let verb = task.folded.job.spec.verb();
        tracing::error!(job = %task.folded.job.id, "the {verb} panicked");
        Err(migrate::Error::new(migrate::ErrorKind::Internal, format!("the {verb} broke down")).with_source(panic))
    })
}

/// Writes down how the attempt ended.
async fn conclude(mut task: Task, stop: &Stop, result: migrate::Result<Done>) -> Outcome {
    let mut job: Job = task.folded.job.clone();
    let error = match result.and_then(|done| done.into_job(&mut job)) {
        Ok(()) => {
            let (report, conversion, verification) = (job.report, job.conversion, job.verification);
            let ended = Ended { report, conversion, verification, ..Ended::without_result(JobState::Completed, None) };
            task.step_succeeded().await;
            task.end(ended).await;
            return Outcome::Over;
        }
        Err(error) => error,
    };
    let problem = problems::from_migrate(&error);
    let stopped = problem.kind == ProblemKind::Cancelled;
    let settings = task.shared.settings;
    if stopped && !stop.is_asked() && settings.life == Life::Daemon {
        task.requeue(Again::Interrupted, "the daemon stopped").await;
        return Outcome::Left;
    }
    if stopped {
        task.end(Ended::without_result(JobState::Cancelled, None)).await;
        return Outcome::Over;
    }
    task.step_failed().await;
    if passes(&error) && task.folded.failures < settings.retries_max && !stop.token.is_cancelled() {
        let order = task.order().await;
        task.requeue(Again::Failed, &problem.error).await;
        let pause = settings.pause(task.folded.failures);
        return match order {
            Some(order) => Outcome::After(pause, Box::new(super::ticket(&task.folded, order))),
            None => Outcome::Left,
        };
    }
    let verification = job.verification;
    task.end(Ended { verification, ..Ended::without_result(JobState::Failed, Some(problem)) }).await;
    Outcome::Over
}

/// Returns whether the same job may succeed later without anybody doing something. A VM that is powered on or
/// held by a stranger is for a person to decide about.
fn passes(error: &migrate::Error) -> bool {
    use migrate::ErrorKind as Kind;
    matches!(error.kind(), Kind::Unreachable | Kind::Verification | Kind::Server)
}

/// How long a VM is waited for that an earlier attempt may hold.
struct Patience {
    /// Since when nobody renews its lease, and how long it holds from then on.
    holds: Vec<(Moment, Duration)>,
}

impl Patience {
    fn of(task: &Task) -> Self {
        let folded = &task.folded;
        let known = folded.hold.iter().map(|hold| (hold.renewed.clone(), Duration::from_millis(hold.lasts_ms)));
        let unknown = folded.interrupted.iter().map(|moment| (moment.clone(), LEASE_TIMEOUT));
        Self { holds: known.chain(unknown).collect() }
    }

    /// Returns how much of it is left; `None` when a hold cannot be ours any more.
    fn left(&self, now: &Moment) -> Option<Duration> {
        let left = self.holds.iter().map(|(since, lasts)| lasts.saturating_sub(since.until(now)));
        left.max().filter(|left| !left.is_zero())
    }
}

/// Waits a moment for a VM that is held, and says so.
async fn wait_for_vm(task: &mut Task, stop: &Stop, left: Duration, error: &migrate::Error) {
    let lease = task.folded.hold.as_ref().map_or_else(String::new, |hold| format!(" (lease {})", hold.lease));
    let reason = format!("the VM, which an earlier attempt of this job may hold{lease}: {}", error.chain());
    task.waiting(reason, left).await;
    let pause = (left / 20).clamp(*HELD_LOOKS.start(), *HELD_LOOKS.end());
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.token.cancelled() => {}
    }
}

impl Shared {
    /// Gives a job out of the hands of its task.
    fn release(&self, id: &hyper_api::JobId) {
        let mut state = self.state();
        state.working.remove(id);
        let over = state.pictures.get(id).is_some_and(|seen| seen.borrow().state.is_final() || seen.is_closed());
        if over {
            state.pictures.remove(id);
        }
    }
}

/// Resolves when there is a token and it is cancelled.
pub(super) async fn stopped(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot_ms: u64) -> Moment {
        Moment { wall_ms: 0, boot: "b".into(), boot_ms }
    }

    #[test]
    fn a_vm_is_waited_for_until_no_lease_of_ours_can_hold_it() {
        let seconds = Duration::from_secs;
        let patience = Patience { holds: vec![(moment(1_000), seconds(2)), (moment(0), seconds(5))] };
        assert_eq!(patience.left(&moment(1_000)), Some(seconds(4)));
        assert_eq!(patience.left(&moment(4_999)), Some(Duration::from_millis(1)));
        assert_eq!(patience.left(&moment(5_000)), None);
        assert_eq!(Patience { holds: Vec::new() }.left(&moment(0)), None, "a stranger's hold is not waited for");
    }
}
