//! `hyperctl watch JOB`: a line at every change, until the job has ended.
//!
//! A daemon that is restarted is waited for: the job goes on in the next one.

use std::time::Duration;

use hyper_api::client::{Error, EventStream};
use hyper_api::{Job, JobId, JobState};
use tokio::time::Instant;

use super::Session;
use super::query::{is_unknown, job_json, say_reason};
use crate::cli::Json;
use crate::daemon::{Daemon, Running};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{ids, picture, repeat};

/// How long a daemon may be away.
const AWAY_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// Pause before it is looked for again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Which job.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    json: Json,
}

/// Watches a job to its end.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let daemon = Daemon::running(&session.globals)?;
    let id = JobId::new(args.job.trim());
    let mut last = String::new();
    let show = |job: &Job| {
        let line = picture::line(job);
        if !args.json.json && line != last {
            session.console.print(&format!("{line}\n"));
            last = line;
        }
    };
    let job = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        job = to_its_end(&daemon, &id, show) => job?,
    };
    if args.json.json {
        session.console.print(&job_json(&job));
    }
    say_reason(&job, session.console);
    Ok(match job.state {
        JobState::Completed => Exit::Done,
        JobState::Cancelled => Exit::Cancelled,
        _ => Exit::Refused,
    })
}

/// Follows a job, whatever becomes of connections and daemons meanwhile.
async fn to_its_end(daemon: &Running, id: &JobId, mut show: impl FnMut(&Job)) -> Result<Job, Failure> {
    let mut seen = None;
    let mut away_since = None;
    loop {
        let error = match follow(daemon, id, &mut seen, &mut show).await {
            Ok(Some(job)) => return Ok(job),
            // The daemon has ended the stream and not the job.
            Ok(None) => None,
            Err(error) if is_unknown(&error) => return Err(ids::unknown(id)),
            Err(error) if repeat::is_worth_repeating(&error) => Some(error),
            Err(error) => return Err(daemon.explain(error)),
        };
        match error {
            None => away_since = None,
            Some(error) if away_since.get_or_insert_with(Instant::now).elapsed() >= AWAY_TIME_MAX => {
                return Err(daemon.explain(error));
            }
            Some(_) => {}
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Follows one stream of events; returns the job when it has ended.
async fn follow(
    daemon: &Running,
    id: &JobId,
    seen: &mut Option<String>,
    show: &mut impl FnMut(&Job),
) -> Result<Option<Job>, Error> {
    let mut events: EventStream = daemon.client().events(id, seen.as_deref()).await?;
    while let Some(job) = events.next().await? {
        *seen = events.last_event_id().map(str::to_owned);
        show(&job);
        if job.state.is_final() {
            return Ok(Some(job));
        }
    }
    Ok(None)
}
