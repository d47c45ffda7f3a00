//! Which daemon a command talks to.
//!
//! The rule of the contract (A.2) is: `-daemon`, then `HYPERVISORD_URL`, then the local socket, then
//! a private one. Only the last is built; the first two are refused here and nowhere else, rather
//! than ignored.

use hyper_api::client::Client;

use crate::child::PrivateChild;
use crate::cli::Globals;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::spawn::Environment;

/// The variable that names a daemon.
const URL_VARIABLE: &str = "HYPERVISORD_URL";

/// A daemon that answers, and has a source where the command needs one.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Calls it.
    pub(crate) client: Client,
    child: PrivateChild,
}

impl Daemon {
    /// Finds or starts the daemon for a command, and names its source on standard error.
    pub(crate) async fn connect(globals: &Globals, console: Console) -> Result<Self, Failure> {
        let named = |value: &str| !value.is_empty();
        let by_flag = globals.daemon.as_deref().is_some_and(named);
        let by_variable = std::env::var(URL_VARIABLE).is_ok_and(|value| named(&value));
        if by_flag || by_variable {
            let what = if by_flag { "-daemon" } else { URL_VARIABLE };
            let reason = format!("reach the daemon that {what} names: this version has no daemon mode yet");
            let hint = format!("leave {what} out and set GOVC_URL; hyperctl then does the work by itself");
            return Err(Failure::new(Exit::NoDaemon, reason).with_hint(hint));
        }
        Self::private(&Environment::new(), "GOVC_URL", console).await
    }

    /// Starts a private daemon in a changed environment; `origin` says where its source comes from.
    pub(crate) async fn private(environment: &Environment, origin: &str, console: Console) -> Result<Self, Failure> {
        let (child, client, info) = PrivateChild::start(environment).await?;
        match (&info.source, &info.source_problem) {
            (Some(source), _) => {
                console.note(&format!("source: {source} ({origin})"));
                Ok(Self { client, child })
            }
            (None, problem) => {
                child.close().await;
                Err(problem.as_ref().map_or_else(
                    || Failure::new(Exit::Usage, "find the source: none is configured"),
                    Failure::of_problem,
                ))
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
        Ok(Self { client, child })
    }

    /// Ends what was started for the command.
    pub(crate) async fn close(self) {
        self.child.close().await;
    }
}
