//! `hyperctl version`: one line that older callers read.

use crate::console::Console;
use crate::exit::Exit;

/// Prints the version.
pub(crate) fn run(console: Console) -> Exit {
    console.print(concat!("hyperctl version ", env!("CARGO_PKG_VERSION"), "\n"));
    Exit::Done
}
