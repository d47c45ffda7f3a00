//! `hyperctl cancel -id ID,…`: stops jobs, and answers only when they can no longer become completed.

use std::time::Duration;

use hyper_api::{Job, JobId, JobState};
use tokio::time::Instant;

use super::Session;
use super::query::{is_unknown, one};
use crate::cli::Json;
use crate::daemon::{Daemon, Running};
use crate::escape::{escape_ascii, escape_json_ascii};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;

/// How long a job may take to stop: beyond it callers have hung up.
const STOP_TIME_MAX: Duration = Duration::from_secs(25);

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(200);

/// Which jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ids, separated by commas
    #[arg(long, value_name = "ID,…", required = true)]
    id: String,
    #[command(flatten)]
    json: Json,
}

/// Cancels jobs.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let ids = ids::list(&args.id);
    if ids.is_empty() {
        return Err(Failure::new(Exit::Usage, "cancel: -id names no job"));
    }
    let daemon = Daemon::running(&session.globals)?;
    let (mut cancelled, mut refused) = (Vec::new(), Vec::new());
    for id in &ids {
        let result = tokio::select! {
            biased;
            signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
            result = cancel(&daemon, id) => result,
        };
        match result {
            Ok(Ok(job)) => cancelled.push(job),
            Ok(Err(failure)) => refused.push(failure),
            // Nobody answers, or not to us: nor will the other jobs be stopped.
            Err(failure) if cancelled.is_empty() && refused.is_empty() => return Err(failure),
            Err(failure) => refused.push(failure),
        }
    }
    session.console.print(&if args.json.json { json(&cancelled) } else { text(&cancelled) });
    let Some(last) = refused.pop() else { return Ok(Exit::Done) };
    for failure in refused {
        failure.print(session.console);
    }
    Err(last)
}

/// Asks for a stop and waits for its end. Why this job was not stopped is the inner failure; why none can be, the
/// outer.
async fn cancel(daemon: &Running, id: &JobId) -> Result<Result<Job, Failure>, Failure> {
    let deadline = Instant::now() + STOP_TIME_MAX;
    let about = |exit, why: &str| Failure::new(exit, format!("{id}: {why}"));
    let mut job = match daemon.client().cancel(id).await {
        Ok(job) => job,
        Err(error) if is_unknown(&error) => return Ok(Err(ids::unknown(id))),
        Err(error) if error.status() == Some(409) => return Ok(Err(about(Exit::Refused, &error.chain()))),
        Err(error) => return Err(daemon.explain(error)),
    };
    while !job.state.is_final() {
        if Instant::now() >= deadline {
            return Ok(Err(about(Exit::Refused, "it was asked to stop and has not yet")));
        }
        tokio::time::sleep(POLL).await;
        job = one(daemon, id).await?;
    }
    Ok(match job.state {
        JobState::Cancelled => Ok(job),
        state => Err(about(Exit::Refused, &format!("it had {} before", state.word()))),
    })
}

fn text(cancelled: &[Job]) -> String {
    let mut text = format!("Cancelled {} job(s)\n", cancelled.len());
    for job in cancelled {
        text.push_str(&format!("  - {}\n", escape_ascii(job.id.as_str())));
    }
    text
}

fn json(cancelled: &[Job]) -> String {
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(cancelled).map_or_else(|_| String::new(), |text| escape_json_ascii(&text) + "\n")
}
