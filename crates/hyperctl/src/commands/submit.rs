//! `hyperctl submit -vm PATH`: leaves an export to the daemon and returns.

use std::path::{Component, Path, PathBuf};

use hyper_api::client::Endpoint;
use hyper_api::{ExportSpec, Job, JobSpec};

use super::Session;
use super::export::options::Options;
use super::query::job_json;
use crate::cli::Json;
use crate::daemon::Daemon;
use crate::escape::escape_ascii;
use crate::exit::Exit;
use crate::failure::Failure;

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Inventory path (/DC/vm/folder/name), or a name that fits exactly one VM
    #[arg(long, value_name = "VM", required = true)]
    vm: String,
    /// Directory for the package, made when missing [default: ./export-NAME]
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    json: Json,
}

/// Submits the job.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let daemon = Daemon::running(&session.globals)?;
    let vm = args.vm.trim_end_matches('/').to_owned();
    if vm.is_empty() {
        return Err(Failure::new(Exit::Usage, "submit: -vm names no VM"));
    }
    let output = output(&vm, &args.output, daemon.client().endpoint())?;
    let spec = JobSpec::from(args.options.apply(ExportSpec { vm, output, ..ExportSpec::default() })?);
    let submitted = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        submitted = daemon.client().submit(&spec) => submitted,
    };
    let job = submitted.map_err(|error| match error.problem() {
        Some(problem) if error.status().is_some_and(|status| status != 401 && status != 403) => {
            let failure = Failure::new(Exit::Refused, format!("rejected: {}", problem.error));
            problem.hint.iter().fold(failure, |failure, hint| failure.with_hint(hint))
        }
        _ => daemon.explain(error),
    })?;
    session.console.print(&if args.json.json { job_json(&job) } else { accepted(&job) });
    Ok(Exit::Done)
}

/// The form that older callers read: the id is the last of the first line with `job id:`.
fn accepted(job: &Job) -> String {
    format!("Submitted 1 job(s)\nAccepted Jobs: 1\n  - Job ID: {}\n", escape_ascii(job.id.as_str()))
}

/// Returns the directory as the daemon is to see it: one on this machine has another working directory.
fn output(vm: &str, given: &Path, endpoint: &Endpoint) -> Result<PathBuf, Failure> {
    let relative = match given.as_os_str().is_empty() {
        false => given.to_owned(),
        true => {
            let last = vm.rsplit('/').next().unwrap_or(vm).replace(char::is_control, "_");
            PathBuf::from(format!("export-{last}"))
        }
    };
    if relative.is_absolute() {
        return Ok(relative);
    }
    let is_here = match endpoint {
        Endpoint::Unix(_) => true,
        Endpoint::Http { host, .. } => matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1"),
    };
    if !is_here {
        let reason = format!("submit: {} is relative, and the daemon runs on another machine", relative.display());
        return Err(Failure::new(Exit::Usage, reason).with_hint("name the directory there with -output /…"));
    }
    let here = std::env::current_dir()
        .map_err(|reason| Failure::new(Exit::Refused, format!("find the current directory: {reason}")))?;
    Ok(here.join(relative).components().filter(|part| *part != Component::CurDir).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_absolute_for_a_daemon_that_runs_here_and_refused_for_another() {
        let here = std::env::current_dir().unwrap();
        let socket = Endpoint::unix("/run/x");
        assert_eq!(output("/DC/vm/web01", Path::new(""), &socket).unwrap(), here.join("export-web01"));
        assert_eq!(output("web01", Path::new("./a"), &socket).unwrap(), here.join("a"));
        assert_eq!(output("web01", Path::new("/srv/a"), &socket).unwrap(), Path::new("/srv/a"));
        let far = Endpoint::parse("http://far:8080").unwrap();
        assert!(output("web01", Path::new("a"), &far).is_err());
        assert_eq!(output("web01", Path::new("/srv/a"), &far).unwrap(), Path::new("/srv/a"));
    }

    #[test]
    fn the_id_ends_the_first_line_that_speaks_of_one() {
        let sample = include_str!("../../../hyper-api/tests/samples/job-running-0.1.json");
        let job: Job = serde_json::from_str(sample).unwrap();
        let text = accepted(&job);
        let line = text.lines().find(|line| line.to_lowercase().contains("job id:")).unwrap();
        assert_eq!(line.rsplit(':').next().unwrap().trim(), job.id.as_str());
        assert_eq!(text.lines().filter(|line| line.to_lowercase().contains("job id")).count(), 1);
    }
}
