//! Runs one job and stays with it to its end.

use hyper_api::client::{Client, EventStream};
use hyper_api::{Job, JobSpec};

use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Reporter;

/// How the watch over a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The job has ended, in whatever way; `signal` if one asked for that.
    Ended {
        /// The last picture of it.
        job: Box<Job>,
        /// The first signal that came.
        signal: Option<u8>,
    },
    /// A signal came before there was a job.
    NotBegun {
        /// Its number.
        signal: u8,
    },
}

/// Submits a job and follows it. The first signal cancels it; its end is waited for all the same, because
/// until then its VM is not given back.
pub(crate) async fn run(client: &Client, spec: &JobSpec, session: &Session) -> Result<Outcome, Failure> {
    let (job, mut events) = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Outcome::NotBegun { signal }),
        begun = begin(client, spec) => begun?,
    };
    let mut reporter = Reporter::new(session.console);
    let ended = watch(client, &job, &mut events, session, &mut reporter).await;
    reporter.finish();
    ended
}

async fn begin(client: &Client, spec: &JobSpec) -> Result<(Job, EventStream), Failure> {
    let job = client.submit(spec).await?;
    let events = client.events(&job.id, None).await?;
    Ok((job, events))
}

async fn watch(
    client: &Client,
    job: &Job,
    events: &mut EventStream,
    session: &Session,
    reporter: &mut Reporter,
) -> Result<Outcome, Failure> {
    let mut signal = None;
    loop {
        tokio::select! {
            number = session.interrupts.first(), if signal.is_none() => {
                signal = Some(number);
                reporter.say(stopping(&job.spec));
                // A job that has just ended cannot be cancelled; its last picture is on its way.
                drop(client.cancel(&job.id).await);
            }
            picture = events.next() => {
                let Some(job) = picture? else {
                    let reason =
                        format!("{} {}: the daemon ended before it", job.spec.verb(), job.spec.subject());
                    return Err(Failure::new(Exit::NoDaemon, reason));
                };
                reporter.update(&job);
                if job.state.is_final() {
                    return Ok(Outcome::Ended { job: Box::new(job), signal });
                }
            }
        }
    }
}

/// Says what is waited for after the first signal.
fn stopping(spec: &JobSpec) -> &'static str {
    match spec {
        JobSpec::Export(_) => "stopping: giving the VM back (once more to end at once)",
        _ => "stopping (once more to end at once)",
    }
}
