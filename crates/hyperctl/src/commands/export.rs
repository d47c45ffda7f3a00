//! `hyperctl export VM`: the VM leaves the source as an OVF package.

pub(super) mod options;

use std::path::{Component, Path, PathBuf};

use hyper_api::{ExportSpec, Job, JobState};

use super::Session;
use crate::cli::Json;
use crate::daemon::Daemon;
use crate::escape::escape_json;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{self, Outcome};
use crate::summary;
use options::Options;

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Inventory path (/DC/vm/folder/name), or a name that fits exactly one VM
    #[arg(value_name = "VM")]
    vm: String,
    /// Directory for the package, made when missing [default: ./export-NAME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    json: Json,
}

/// Exports the VM.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let spec = args.options.apply(resolve(&args.vm, args.output.as_deref())?)?;
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        daemon = Daemon::connect(&session.globals, session.console) => daemon?,
    };
    let followed = follow::run(&daemon.client, &spec.into(), &session).await;
    daemon.close().await;
    match followed? {
        Outcome::Ended { job, signal } => {
            session.console.print(&if args.json.json { as_json(&job) } else { summary::completed(&job) });
            conclude(&job, signal)
        }
        Outcome::NotBegun { signal } => Ok(Exit::Signal(signal)),
    }
}

/// Returns how a job that has ended ends the program.
pub(crate) fn conclude(job: &Job, signal: Option<u8>) -> Result<Exit, Failure> {
    if let Some(problem) = &job.problem {
        return Err(Failure::of_problem(problem));
    }
    match (job.state, signal) {
        (_, Some(signal)) => Ok(Exit::Signal(signal)),
        (JobState::Completed, None) => Ok(Exit::Done),
        (JobState::Cancelled, None) => Err(Failure::new(Exit::Cancelled, format!("{}: cancelled", named(job)))),
        (state, None) => {
            let reason = format!("{}: the daemon says no more than {}", named(job), state.word());
            Err(Failure::new(Exit::Refused, reason))
        }
    }
}

fn named(job: &Job) -> String {
    format!("{} {}", job.spec.verb(), job.spec.subject())
}

pub(crate) fn as_json(job: &Job) -> String {
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(job).map_or_else(|_| String::new(), |text| escape_json(&text) + "\n")
}

/// Makes the request: the directory becomes absolute here, because the daemon has another one.
fn resolve(vm: &str, output: Option<&Path>) -> Result<ExportSpec, Failure> {
    let usage = |reason: String| Failure::new(Exit::Usage, reason);
    if vm.is_empty() {
        return Err(usage("export: no VM named".to_owned()));
    }
    if output.is_some_and(|output| output.as_os_str().is_empty()) {
        return Err(usage(format!("export {vm}: the directory that -o names is empty text")));
    }
    let output = match output {
        Some(output) => output.to_owned(),
        None => default_output(vm).ok_or_else(|| {
            usage(format!("export {vm}: no directory can be named after it")).with_hint("name one with -o DIR")
        })?,
    };
    if output.to_str().is_none() {
        let shown = output.display();
        return Err(usage(format!("export {vm}: the directory {shown} is no UTF-8 text")));
    }
    let output = std::path::absolute(&output)
        .map_err(|reason| usage(format!("export {vm}: find the directory {}: {reason}", output.display())))?;
    Ok(ExportSpec { vm: vm.to_owned(), output, ..ExportSpec::default() })
}

/// Returns `export-` and the last element of the VM's path, if that is an ordinary file name.
fn default_output(vm: &str) -> Option<PathBuf> {
    let name = vm.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty())?;
    let name: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let directory = PathBuf::from(format!("export-{name}"));
    matches!(directory.components().next(), Some(Component::Normal(_))).then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_is_named_after_the_last_element_of_the_path() {
        for (vm, directory) in [
            ("web01", Some("export-web01")),
            ("/DC0/vm/web/web01/", Some("export-web01")),
            ("/DC0/vm/web%2f01", Some("export-web%2f01")),
            ("a\u{1b}b", Some("export-a_b")),
            ("..", Some("export-..")),
            ("/", None),
        ] {
            assert_eq!(default_output(vm), directory.map(PathBuf::from), "{vm:?}");
        }
    }

    #[test]
    fn a_relative_directory_is_made_absolute_against_ours() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(resolve("web01", None).unwrap().output, here.join("export-web01"));
        assert_eq!(resolve("web01", Some(Path::new("x/y"))).unwrap().output, here.join("x/y"));
        assert_eq!(resolve("web01", Some(Path::new("/x"))).unwrap().output, Path::new("/x"));
    }

    #[test]
    fn what_cannot_be_asked_is_a_usage_error() {
        for (vm, output) in [("", None), ("/", None), ("web01", Some(Path::new("")))] {
            let exit = resolve(vm, output).unwrap_err().print(crate::console::Console::standard());
            assert_eq!(exit, Exit::Usage, "{vm:?} {output:?}");
        }
    }
}
