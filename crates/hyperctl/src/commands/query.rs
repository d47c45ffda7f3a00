//! `hyperctl query`: where jobs are. `hyperctl jobs` is the same for all of them.
//!
//! With one id the answer is one line of a closed vocabulary, which older callers search for words; see
//! [`crate::picture`]. The reason of a failed job goes to standard error, and asking about one that failed is no failure.

use hyper_api::client::{Error, ErrorKind};
use hyper_api::{Job, JobId, JobState};

use super::Session;
use crate::cli::{Json, switches};
use crate::console::Console;
use crate::daemon::{Daemon, Running};
use crate::escape::{escape_ascii, escape_json_ascii};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{ids, picture, repeat};

/// Which jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ids, separated by commas
    #[arg(long, value_name = "ID,…", default_value = "", hide_default_value = true)]
    id: String,
    /// States, separated by commas: pending, running, completed, failed, cancelled
    #[arg(long, value_name = "STATE,…", default_value = "", hide_default_value = true, value_parser = states)]
    status: States,
    #[command(flatten)]
    switches: Switches,
    #[command(flatten)]
    json: Json,
}

switches! {
    /// Whether to narrow it down.
    struct Switches {
        /// All jobs, which is also what no flag at all means
        all,
    }
}

/// Which jobs, for `hyperctl jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobsArgs {
    /// States, separated by commas: pending, running, completed, failed, cancelled
    #[arg(long, value_name = "STATE,…", default_value = "", hide_default_value = true, value_parser = states)]
    status: States,
    #[command(flatten)]
    json: Json,
}

/// States that were asked for; none means all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct States(Vec<JobState>);

fn states(text: &str) -> Result<States, String> {
    let known = [JobState::Pending, JobState::Running, JobState::Completed, JobState::Failed, JobState::Cancelled];
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let state = |word: &str| {
        known.into_iter().find(|state| state.word() == word).ok_or_else(|| format!("{word:?} is no state"))
    };
    words.map(state).collect::<Result<_, _>>().map(States)
}

/// Answers where jobs are.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let ids = ids::list(&args.id);
    if !ids.is_empty() {
        return by_id(&ids, args.json.json, &session).await;
    }
    // A list of nothing but commas asks for no job, not for all of them.
    if !args.id.is_empty() {
        return Err(Failure::new(Exit::Usage, "query: -id names no job"));
    }
    let States(states) = if args.switches.all { States(Vec::new()) } else { args.status };
    many(&states, args.json.json, &session).await
}

/// Lists jobs.
pub(crate) async fn jobs(args: JobsArgs, session: Session) -> Result<Exit, Failure> {
    many(&args.status.0, args.json.json, &session).await
}

async fn many(states: &[JobState], json: bool, session: &Session) -> Result<Exit, Failure> {
    let daemon = Daemon::running(&session.globals)?;
    let jobs = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        jobs = daemon.client().all_jobs(states) => jobs.map_err(|error| daemon.explain(error))?,
    };
    session.console.print(&if json { list_json(&jobs) } else { lines(&jobs) });
    Ok(Exit::Done)
}

fn lines(jobs: &[Job]) -> String {
    match jobs {
        [] => "No jobs found\n".to_owned(),
        jobs => jobs.iter().map(|job| picture::line_among(job) + "\n").collect(),
    }
}

async fn by_id(ids: &[JobId], json: bool, session: &Session) -> Result<Exit, Failure> {
    let daemon = Daemon::running(&session.globals)?;
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for id in ids {
        let job = tokio::select! {
            biased;
            signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
            job = repeat::insist(|_| daemon.client().job(id)) => job,
        };
        match job {
            Ok(job) => found.push(job),
            Err(error) if is_unknown(&error) => unknown.push(id),
            Err(error) => return Err(daemon.explain(error)),
        }
    }
    session.console.print(&match (ids, found.as_slice()) {
        (_, []) => String::new(),
        ([_], [job]) if json => job_json(job),
        ([_], [job]) => picture::line(job) + "\n",
        _ if json => list_json(&found),
        (_, jobs) => lines(jobs),
    });
    found.iter().for_each(|job| say_reason(job, session.console));
    let Some((last, others)) = unknown.split_last() else { return Ok(Exit::Done) };
    for id in others {
        ids::unknown(id).print(session.console);
    }
    Err(ids::unknown(last))
}

/// Returns true when the daemon knows no such job; an id that cannot be one is of none either.
pub(super) fn is_unknown(error: &Error) -> bool {
    error.status() == Some(404) || error.kind() == ErrorKind::Usage
}

/// Says why a job failed.
pub(super) fn say_reason(job: &Job, console: Console) {
    if let (JobState::Failed, Some(problem)) = (job.state, &job.problem) {
        console.note(&escape_ascii(&problem.error));
        if let Some(hint) = &problem.hint {
            console.note(&format!("hint: {}", escape_ascii(hint)));
        }
    }
}

/// Returns a job as `/api/v1` has it, in ASCII.
pub(super) fn job_json(job: &Job) -> String {
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(job).map_or_else(|_| String::new(), |text| escape_json_ascii(&text) + "\n")
}

fn list_json(jobs: &[Job]) -> String {
    let list = serde_json::json!({ "total": jobs.len(), "jobs": jobs });
    serde_json::to_string_pretty(&list).map_or_else(|_| String::new(), |text| escape_json_ascii(&text) + "\n")
}

/// Asks for one job, again and again while nobody answers.
pub(super) async fn one(daemon: &Running, id: &JobId) -> Result<Job, Failure> {
    match repeat::insist(|_| daemon.client().job(id)).await {
        Err(error) if is_unknown(&error) => Err(ids::unknown(id)),
        job => job.map_err(|error| daemon.explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_words_with_commas_between() {
        assert_eq!(states("running, failed,"), Ok(States(vec![JobState::Running, JobState::Failed])));
        assert_eq!(states(""), Ok(States(vec![])));
        assert!(states("done").unwrap_err().contains("done"));
    }

    #[test]
    fn no_jobs_are_said_in_the_words_of_the_contract() {
        assert_eq!(lines(&[]), "No jobs found\n");
    }
}
