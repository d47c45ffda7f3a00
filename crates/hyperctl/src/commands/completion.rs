//! `hyperctl completion`: a script that makes a shell know the commands and flags.

use clap::ValueEnum;
use clap_complete::Shell;

use crate::cli::{self, Json};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;

/// Which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shell to complete in
    #[arg(long, value_name = "SHELL", conflicts_with = "named")]
    shell: Option<Known>,
    /// Shell to complete in
    #[arg(value_name = "SHELL")]
    named: Option<Known>,
    #[command(flatten)]
    json: Json,
}

/// The shells that a script is made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub(crate) fn run(args: &Args, console: Console) -> Result<Exit, Failure> {
    let shell = match args.shell.or(args.named) {
        Some(Known::Bash) => Shell::Bash,
        Some(Known::Zsh) => Shell::Zsh,
        Some(Known::Fish) => Shell::Fish,
        None => {
            let failure = Failure::new(Exit::Usage, "write a completion script: no shell named");
            return Err(failure.with_hint("hyperctl completion bash|zsh|fish"));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "hyperctl", &mut script);
    let script = String::from_utf8_lossy(&script);
    if args.json.json {
        let document = serde_json::json!({ "shell": shell.to_string(), "script": script });
        console.print(&format!("{document}\n"));
    } else {
        console.print(&script);
    }
    Ok(Exit::Done)
}
