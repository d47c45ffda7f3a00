//! `hyperctl version`: one line that older callers read.

use crate::cli::Json;
use crate::console::Console;
use crate::exit::Exit;

/// How to print it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Prints the version.
pub(crate) fn run(json: bool, console: Console) -> Exit {
    console.print(if json {
        concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}\n")
    } else {
        concat!("hyperctl version ", env!("CARGO_PKG_VERSION"), "\n")
    });
    Exit::Done
}
