//! `hyperctl demo`: a real export from a simulated vCenter, step by step.
//!
//! The simulator is a program of ours beside this one; everything after its start is the way of
//! `hyperctl export`: the same private daemon, the same job, the same summary. Its certificate is
//! trusted by its thumbprint, as one would trust a vCenter with a certificate of its own.

use std::path::{Path, PathBuf};

use hyper_api::client::Client;
use hyper_api::{ExportSpec, Job, JobState};

use super::{Session, export};
use crate::cli::Json;
use crate::console::Console;
use crate::daemon::Daemon;
use crate::demo::{manifest, simulator::Simulator};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{self, Outcome};
use crate::{human, summary};

/// The VM of the simulator's scenario that is made for this: powered off, two disks.
const DEMO_VM: &str = "/DC0/vm/web/web01";

/// The default directory; with a number when there is one already.
const DEFAULT_OUTPUT: &str = "hyper2kvm-demo";

/// Numbers tried for a free directory.
const NUMBER_MAX: u32 = 999;

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory for the package, new or empty [default: ./hyper2kvm-demo, or with a number]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// Tells the steps: on standard output, or beside it where that is kept for JSON.
#[derive(Clone, Copy, Debug)]
struct Teller {
    console: Console,
    json: bool,
}

impl Teller {
    fn print(self, text: &str) {
        if self.json {
            self.console.raw_error(text);
        } else {
            self.console.print(text);
        }
    }
}

/// Shows the export.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    if session.globals.daemon.is_some() {
        return Err(Failure::new(Exit::Usage, "demo: -daemon makes no sense here, the demo brings its own"));
    }
    let output = output(args.output.as_deref())?;
    let teller = Teller { console: session.console, json: args.json.json };
    let say = |text: &str| teller.print(text);
    say("hyper2kvm demo: a real export from a SIMULATED vCenter on this machine.\n\n");
    say("1. Starting vcenter-sim\n");
    let simulator = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        simulator = Simulator::start() => simulator?,
    };
    let shown = with_simulator(&simulator, output, &session, teller).await;
    simulator.close().await;
    let job = match shown? {
        Outcome::Ended { job, signal: None } if job.state == JobState::Completed => job,
        Outcome::Ended { job, signal } => return export::conclude(&job, signal),
        Outcome::NotBegun { signal } => return Ok(Exit::Signal(signal)),
    };
    say("\n");
    say(&summary::completed(&job));
    let exit = verify(&job, teller).await?;
    if teller.json {
        session.console.print(&export::as_json(&job));
    }
    Ok(exit)
}

/// Lists and exports; every way out ends the private daemon.
async fn with_simulator(
    simulator: &Simulator,
    output: PathBuf,
    session: &Session,
    teller: Teller,
) -> Result<Outcome, Failure> {
    teller.print(&format!("   simulator  {} (user {})\n", simulator.url(), simulator.user()));
    teller.print(&format!("   trusted by the thumbprint of its certificate, {}\n\n", simulator.thumbprint()));
    teller.print("2. Starting a private hypervisord with this source\n");
    let environment = simulator.environment();
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Outcome::NotBegun { signal }),
        daemon = Daemon::private(&environment, "vcenter-sim, a simulator", session.console) => daemon?,
    };
    let followed = list_and_export(&daemon.client, output, session, teller).await;
    daemon.close().await;
    followed
}

async fn list_and_export(
    client: &Client,
    output: PathBuf,
    session: &Session,
    teller: Teller,
) -> Result<Outcome, Failure> {
    let listed = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Outcome::NotBegun { signal }),
        listed = client.vms() => listed?,
    };
    teller.print(&format!("   it has {} VMs (`hyperctl list`)\n\n", listed.total));
    teller.print(&format!("3. Exporting {DEMO_VM} (`hyperctl export {DEMO_VM} -o {}`)\n", output.display()));
    follow::run(client, &ExportSpec { vm: DEMO_VM.to_owned(), output, ..ExportSpec::default() }.into(), session).await
}

/// Reads the package again, as anybody who receives it would.
async fn verify(job: &Job, teller: Teller) -> Result<Exit, Failure> {
    let report = job.report.as_ref().ok_or_else(|| Failure::new(Exit::Refused, "demo: the job has no report"))?;
    let manifest = report.files.iter().find(|file| Path::new(&file.name).extension().is_some_and(|end| end == "mf"));
    let Some(manifest) = manifest else {
        return Err(Failure::new(Exit::Verification, "demo: the package has no manifest"));
    };
    teller.print(&format!("\n4. Reading every file again and comparing with {}\n", manifest.name));
    let path = report.directory.join(&manifest.name);
    let checked = tokio::task::spawn_blocking(move || manifest::verify(&path)).await;
    let checked = checked.map_err(|reason| Failure::new(Exit::Refused, format!("demo: {reason}")))??;
    for file in &checked {
        teller.print(&format!("   ok  {}  {}  {}\n", file.sha256, human::bytes(file.size_bytes), file.name));
    }
    teller.print(&format!("\nThe package lies in {}\n", report.directory.display()));
    Ok(Exit::Done)
}

/// Finds the directory: one that is named must be new or empty, the default gets a number.
fn output(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|reason| Failure::new(Exit::Usage, format!("demo: find {}: {reason}", path.display())))
    };
    if let Some(named) = named {
        let named = absolute(named)?;
        if !is_new_or_empty(&named) {
            let reason = format!("demo: {} is there and not empty; nothing is overwritten", named.display());
            return Err(Failure::new(Exit::Target, reason).with_hint("name another directory with -o"));
        }
        return Ok(named);
    }
    let numbered = (2..=NUMBER_MAX).map(|number| format!("{DEFAULT_OUTPUT}-{number}"));
    let mut candidates = std::iter::once(DEFAULT_OUTPUT.to_owned()).chain(numbered);
    let free = candidates.find(|name| is_new_or_empty(Path::new(name)));
    let free =
        free.ok_or_else(|| Failure::new(Exit::Target, "demo: no free directory name").with_hint("name one with -o"))?;
    absolute(Path::new(&free))
}

fn is_new_or_empty(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(reason) => reason.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(output(Some(directory.path())).unwrap(), directory.path());
        assert!(output(Some(&directory.path().join("new"))).is_ok());
        std::fs::write(directory.path().join("mine"), "x").unwrap();
        assert!(output(Some(directory.path())).is_err());
        assert!(output(Some(&directory.path().join("mine"))).is_err());
    }
}
