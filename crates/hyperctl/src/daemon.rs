//! Which daemon a command talks to (contract A.2).
//!
//! ```text
//!  -daemon URL ─► HYPERVISORD_URL ─► the machine's: its socket, where there is one, else http://localhost:8080
//!                                        └─ export, list, grep, vm: a private one, where none of the machine's answers,
//!                                           or at once where GOVC_URL names a source of the caller's own
//! ```
//!
//! Empty text counts as unset. What the caller has named is never replaced by something else.

mod door;

use hyper_api::client::{Client, ErrorKind};

use crate::child::PrivateChild;
use crate::cli::Globals;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::spawn::Environment;
use door::{Door, Named};

/// The variable that names a source of the caller's own.
const SOURCE_VARIABLE: &str = "GOVC_URL";

/// A daemon that answers, and has a source where the command needs one.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Calls it.
    pub(crate) client: Client,
    child: Option<PrivateChild>,
}

impl Daemon {
    /// Finds or starts the daemon for a command that needs a source, and names that on standard error.
    pub(crate) async fn connect(globals: &Globals, console: Console) -> Result<Self, Failure> {
        let named = Named::read(globals.daemon.as_deref(), &environment);
        if named.is_none() && environment(SOURCE_VARIABLE).is_some() {
            return Self::private(&Environment::new(), SOURCE_VARIABLE, console).await;
        }
        let of_machine = named.is_none();
        let door = Door::open(named)?;
        let info = match door.client.info().await {
            Err(error) if of_machine && error.kind() == ErrorKind::Connect && !door.is_closed(&error) => {
                return Self::private(&Environment::new(), SOURCE_VARIABLE, console).await;
            }
            info => info.map_err(|error| door.explain(error))?,
        };
        match (&info.source, &info.source_problem) {
            (Some(source), _) => {
                console.note(&format!("source: {source} (of the daemon at {})", door.client.endpoint()));
                Ok(Self { client: door.client, child: None })
            }
            (None, problem) => Err(no_source(problem.as_ref())),
        }
    }

    /// Finds the daemon for a command about its jobs. A private one would know none of them, so none is started.
    pub(crate) fn running(globals: &Globals) -> Result<Running, Failure> {
        let door = Door::open(Named::read(globals.daemon.as_deref(), &environment))?;
        Ok(Running { door })
    }

    /// Starts a private daemon in a changed environment; `origin` says where its source comes from.
    pub(crate) async fn private(environment: &Environment, origin: &str, console: Console) -> Result<Self, Failure> {
        let (child, client, info) = PrivateChild::start(environment).await?;
        match (&info.source, &info.source_problem) {
            (Some(source), _) => {
                console.note(&format!("source: {source} ({origin})"));
                Ok(Self { client, child: Some(child) })
            }
            (None, problem) => {
                child.close().await;
                Err(no_source(problem.as_ref()))
            }
        }
    }

    /// Starts a private daemon for work on local files, which needs no source.
    pub(crate) async fn local(globals: &Globals) -> Result<Self, Failure> {
        if globals.daemon.as_deref().is_some_and(|url| !url.is_empty()) {
            let reason = "work on local files: no daemon does that, it is done here";
            return Err(Failure::new(Exit::Usage, reason).with_hint("leave -daemon out"));
        }
        let (child, client, _) = PrivateChild::start(&Environment::new()).await?;
        Ok(Self { client, child: Some(child) })
    }

    /// Ends what was started for the command.
    pub(crate) async fn close(self) {
        if let Some(child) = self.child {
            child.close().await;
        }
    }
}

/// A daemon that a command found running, or nobody: the first call tells.
#[derive(Debug)]
pub(crate) struct Running {
    door: Door,
}

impl Running {
    /// Returns what calls it.
    pub(crate) fn client(&self) -> &Client {
        &self.door.client
    }

    /// Returns true when the caller has named it.
    pub(crate) fn is_named(&self) -> bool {
        self.door.is_named()
    }

    /// Makes the failure of a call, with what to do where nobody answers or the door is closed.
    pub(crate) fn explain(&self, error: hyper_api::client::Error) -> Failure {
        self.door.explain(error)
    }
}

fn no_source(problem: Option<&hyper_api::Problem>) -> Failure {
    problem.map_or_else(|| Failure::new(Exit::Usage, "find the source: none is configured"), Failure::of_problem)
}

/// Returns a variable that is set and not empty.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
