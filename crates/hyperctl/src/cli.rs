//! What a command line can say. Parsing only: nothing is looked up and nothing is done.

use std::ffi::OsString;

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{
    cancel, completion, convert, demo, doctor, export, grep, inspect, list, query, status, submit, token, verify, vm,
    watch,
};
use crate::console::Console;
use crate::exit::Exit;
use crate::goflags;

/// Makes an `Args` of flags that are on or off, in Go's grammar: `-f`, `-f=true`, `-f=0`.
macro_rules! switches {
    ($(#[$about:meta])* $visible:vis struct $name:ident { $($(#[doc = $doc:literal])* $flag:ident $(= $short:literal)?,)+ }) => {
        $(#[$about])*
        #[derive(clap::Args, Clone, Copy, Debug)]
        $visible struct $name {
            $(
                $(#[doc = $doc])*
                #[arg(
                    long,
                    $(short = $short,)?
                    action = clap::ArgAction::Set,
                    num_args = 0..=1,
                    require_equals = true,
                    value_name = "true|false",
                    default_value = "false",
                    default_missing_value = "true",
                    hide_default_value = true,
                    value_parser = crate::goflags::boolean
                )]
                pub(crate) $flag: bool,
            )+
        }
    };
}
pub(crate) use switches;

/// What stands under the usage of the program.
const AFTER_HELP: &str = "\
The source is read from the environment, as govc reads it: GOVC_URL, GOVC_USERNAME,
GOVC_PASSWORD, GOVC_INSECURE, GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_DATACENTER.
Flags take one dash or two, before or after other words.";

/// Bring VMs out of vCenter and ESXi
#[derive(Debug, Parser)]
#[command(name = "hyperctl", disable_version_flag = true, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Globals {
    /// Daemon to talk to (http://host:port or unix:///path); also HYPERVISORD_URL
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) daemon: Option<String>,
    /// Print the version
    #[arg(
        long,
        global = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        value_name = "true|false",
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = goflags::boolean
    )]
    pub(crate) version: bool,
}

switches! {
    /// The flag of every command that answers with data.
    pub(crate) struct Json {
        /// Print JSON, and nothing else on standard output
        json,
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Export a VM as an OVF package
    Export(export::Args),
    /// Leave an export to the daemon and return
    Submit(submit::Args),
    /// Say where jobs are
    Query(query::Args),
    /// Say where all jobs are
    Jobs(query::JobsArgs),
    /// Follow a job to its end
    Watch(watch::Args),
    /// Stop jobs
    Cancel(cancel::Args),
    /// Say who answers, and how many jobs there are
    Status(status::Args),
    /// List the VMs of the source
    List(list::Args),
    /// Find VMs of the source
    Grep(grep::Args),
    /// Look at a VM, shut it down, power it off, or remove its CD/DVD drives
    Vm(vm::Args),
    /// Make, list and revoke tokens for the daemon
    Token(token::Args),
    /// Check what is there, and say what to do next
    Doctor(doctor::Args),
    /// Write a disk or a package that lies here in another format
    Convert(convert::Args),
    /// Say what a disk image or a package is
    Inspect(inspect::Args),
    /// Compare the files of a package with its manifest
    Verify(verify::Args),
    /// Show an export from a simulated vCenter, step by step
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completion(completion::Args),
    /// Print the version
    Version(crate::commands::version::Args),
    /// Explain a command
    Help {
        /// Command to explain
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

/// A reason to end without acting.
#[derive(Debug)]
pub(crate) struct Stop {
    text: String,
    exit: Exit,
}

impl Stop {
    /// Prints usage that was asked for to standard output, a reason to standard error.
    pub(crate) fn print(&self, console: &Console) -> Exit {
        if self.exit == Exit::Done {
            console.print(&self.text);
        } else {
            console.raw_error(&self.text);
        }
        self.exit
    }
}

/// Returns the definition of all commands, built.
pub(crate) fn command() -> clap::Command {
    let mut command = Line::command();
    command.build();
    command
}

/// Reads a command line; the first item is the program's name.
pub(crate) fn parse(items: Vec<OsString>) -> Result<Line, Stop> {
    let mut root = command();
    let items = goflags::rewrite(&root, &items).map_err(|wrong| Stop {
        text: format!(
            "error: {}\nhint: {}\n",
            crate::escape::escape(&wrong.reason),
            ask_for_help(wrong.command.as_deref())
        ),
        exit: Exit::Usage,
    })?;
    let matches = root.try_get_matches_from_mut(items).map_err(|error| said(&error))?;
    let line = Line::from_arg_matches(&matches).map_err(|error| said(&error))?;
    if line.command.is_none() && !line.globals.version {
        let text = format!("error: no command given\n\n{}", root.render_help());
        return Err(Stop { text, exit: Exit::Usage });
    }
    Ok(line)
}

/// What clap says: help that was asked for, or what is wrong.
fn said(error: &clap::Error) -> Stop {
    Stop { text: error.render().to_string(), exit: if error.use_stderr() { Exit::Usage } else { Exit::Done } }
}

fn ask_for_help(command: Option<&str>) -> String {
    match command {
        Some(command) => format!("see `hyperctl {command} -h`"),
        None => "see `hyperctl help`".to_owned(),
    }
}

#[cfg(test)]
mod tests;
