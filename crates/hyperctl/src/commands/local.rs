//! What the commands on files of this machine have in common: they run in a private child, always.
//!
//! The child has the rights of who runs `hyperctl`, and needs no source.

use std::path::{Path, PathBuf};

use clap::{ArgAction, ValueEnum};
use hyper_api::JobSpec;

use super::{Session, export};
use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{self, Outcome};
use crate::{goflags, summary};

/// The flag that lets an image name files anywhere.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Outside {
    /// Open files that the image names outside of its own folder
    #[arg(
        long,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        value_name = "true|false",
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = goflags::boolean
    )]
    pub(crate) follow_outside: bool,
}

/// The one form that a file cannot show by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceForm {
    /// The bytes of a disk.
    Raw,
}

/// Starts a private daemon for work on local files.
pub(crate) async fn connect(session: &Session) -> Result<Daemon, Failure> {
    Daemon::local(&session.globals).await
}

/// Runs a job on local files, prints what came of it, and returns how the program ends.
pub(crate) async fn run_job(spec: JobSpec, json: bool, session: Session) -> Result<Exit, Failure> {
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        daemon = connect(&session) => daemon?,
    };
    let followed = follow::run(&daemon.client, &spec, &session).await;
    daemon.close().await;
    match followed? {
        Outcome::Ended { job, signal } => {
            session.console.print(&if json { export::as_json(&job) } else { summary::completed(&job) });
            export::conclude(&job, signal)
        }
        Outcome::NotBegun { signal } => Ok(Exit::Signal(signal)),
    }
}

/// Makes a path absolute against our own directory.
pub(crate) fn absolute(command: &str, path: &Path) -> Result<PathBuf, Failure> {
    let usage = |reason: String| Failure::new(Exit::Usage, format!("{command}: {reason}"));
    if path.as_os_str().is_empty() {
        return Err(usage("a path is empty text".to_owned()));
    }
    if path.to_str().is_none() {
        return Err(usage(format!("the path {} is no UTF-8 text", path.display())));
    }
    std::path::absolute(path).map_err(|reason| usage(format!("find {}: {reason}", path.display())))
}
