//! One file per command, each with `Args` and `run`.

pub(crate) mod cancel;
pub(crate) mod completion;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod grep;
pub(crate) mod inspect;
pub(crate) mod list;
mod local;
pub(crate) mod query;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod token;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod vm;
pub(crate) mod watch;

use crate::cli::{Command, Globals, Line};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupts::Interrupts;

/// What every command that talks to a daemon gets.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) globals: Globals,
    pub(crate) console: Console,
    pub(crate) interrupts: Interrupts,
}

/// Runs a command and prints its failure, once.
pub(crate) fn run(line: Line, console: &Console) -> Exit {
    let Line { globals, command } = line;
    let result = match command {
        _ if globals.version => Ok(version::run(false, *console)),
        None | Some(Command::Help { .. }) => Ok(version::run(false, *console)),
        Some(Command::Version(args)) => Ok(version::run(args.json.json, *console)),
        Some(Command::Completion(args)) => completion::run(&args, *console),
        Some(command) => at_work(globals, *console, async |session| at_a_daemon(command, session).await),
    };
    result.unwrap_or_else(|failure| failure.print(*console))
}

/// Runs a command that talks to a daemon.
async fn at_a_daemon(command: Command, session: Session) -> Result<Exit, Failure> {
    match command {
        Command::Export(args) => export::run(args, session).await,
        Command::Submit(args) => submit::run(args, session).await,
        Command::Query(args) => query::run(args, session).await,
        Command::Jobs(args) => query::jobs(args, session).await,
        Command::Watch(args) => watch::run(args, session).await,
        Command::Cancel(args) => cancel::run(args, session).await,
        Command::Status(args) => status::run(args, session).await,
        Command::List(args) => list::run(args, session).await,
        Command::Grep(args) => grep::run(args, session).await,
        Command::Vm(args) => vm::run(args, session).await,
        Command::Token(args) => token::run(args, session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Convert(args) => convert::run(args, session).await,
        Command::Inspect(args) => inspect::run(args, session).await,
        Command::Verify(args) => verify::run(args, session).await,
        Command::Demo(args) => demo::run(args, session).await,
        // Answered without one, before.
        Command::Completion(_) | Command::Version(_) | Command::Help { .. } => Ok(Exit::Done),
    }
}

/// Runs a command that waits for others. The second signal ends it at once: nothing is waited for
/// any more, and the private daemon cleans up alone.
fn at_work(
    globals: Globals,
    console: Console,
    command: impl AsyncFnOnce(Session) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let broken = |reason| Failure::new(Exit::Refused, format!("start the runtime: {reason}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let result = runtime.block_on(async {
        let interrupts = Interrupts::listen().map_err(broken)?;
        let session = Session { globals, console, interrupts: interrupts.clone() };
        tokio::select! {
            biased;
            signal = interrupts.second() => Ok(Exit::Signal(signal)),
            result = command(session) => result,
        }
    });
    runtime.shutdown_background();
    result
}
