//! One file per command, each with `Args` and `run`.

pub(crate) mod completion;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod list;
mod local;
pub(crate) mod verify;
pub(crate) mod version;

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
        Some(Command::Export(args)) => at_work(globals, *console, async |session| export::run(args, session).await),
        Some(Command::List(args)) => at_work(globals, *console, async |session| list::run(args, session).await),
        Some(Command::Convert(args)) => at_work(globals, *console, async |session| convert::run(args, session).await),
        Some(Command::Inspect(args)) => at_work(globals, *console, async |session| inspect::run(args, session).await),
        Some(Command::Verify(args)) => at_work(globals, *console, async |session| verify::run(args, session).await),
        Some(Command::Demo(args)) => at_work(globals, *console, async |session| demo::run(args, session).await),
    };
    result.unwrap_or_else(|failure| failure.print(*console))
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
