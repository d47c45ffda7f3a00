//! The command line: parse, resolve, act, print.
//!
//! ```text
//!  main ─► cli ─────► commands/* ─► daemon ─► child (the private hypervisord)
//!           │            │            └─────► hyper_api::client
//!        goflags         ├─► follow ─► progress/{bars,lines}   while a job runs
//!                        └─► summary, table                    when it has ended
//! ```
//!
//! **Invariant:** no vSphere and no disk code in here; whatever touches a VM happens in
//! `hypervisord`. Everything that a server or a guest named passes [`escape`] before it is printed.
//! Exit codes are the table in [`exit`].

mod child;
mod cli;
mod commands;
mod console;
mod daemon;
mod demo;
mod duration;
pub mod escape;
pub mod exit;
mod failure;
mod follow;
mod goflags;
mod human;
mod ids;
mod inspection;
mod interrupts;
mod picture;
mod progress;
mod repeat;
mod rows;
mod spawn;
mod summary;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command line, the program's name first, and returns the exit code.
pub fn main(items: impl IntoIterator<Item = OsString>) -> ExitCode {
    let console = console::Console::standard();
    let exit = match cli::parse(items.into_iter().collect()) {
        Ok(line) => commands::run(line, &console),
        Err(stop) => stop.print(&console),
    };
    ExitCode::from(exit.code())
}
