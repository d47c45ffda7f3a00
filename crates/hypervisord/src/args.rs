//! The daemon's own command line. One or two dashes, as older service files have it (contract B.6).

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Flags;

/// The command line is wrong, or asks for what is not built.
const EXIT_USAGE: u8 = 2;

/// The daemon could not start or serve.
const EXIT_FAILED: u8 = 1;

/// Long names that may be written with one dash, and whether they take a value.
const LONG_NAMES: [(&str, bool); 8] = [
    ("private", false),
    ("socket", true),
    ("config", true),
    ("addr", true),
    ("log-level", true),
    ("disable-web", false),
    ("version", false),
    ("help", false),
];

/// Exports VMs out of vCenter and ESXi, as a service of this machine.
///
/// Settings come from the configuration file, over it the environment (HYPERVISORD_*), over that the flags;
/// `hypervisord config example` shows them all. SIGHUP makes it read them again, SIGTERM ends it when every VM is
/// given back.
#[derive(Debug, Parser)]
#[command(name = "hypervisord", disable_version_flag = true, disable_help_subcommand = true)]
struct Line {
    /// Serve one hyperctl: the source from GOVC_*, end with standard input
    #[arg(long, requires = "socket", conflicts_with_all = ["config", "addr", "log_level"])]
    private: bool,
    /// With --private: socket to listen on, in an existing directory that only this user can enter
    #[arg(long, value_name = "PATH", requires = "private")]
    socket: Option<PathBuf>,
    /// Configuration file [default: /etc/hypervisord/config.toml, where it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Listen on this TCP address only; one that is not loopback is served with TLS
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
    /// The least that is worth a log line: debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Accepted for older service files; there is no web page to disable
    #[arg(long)]
    disable_web: bool,
    /// Print the version
    #[arg(long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show or check the configuration
    Config {
        #[command(subcommand)]
        what: Configuration,
    },
}

#[derive(Debug, Subcommand)]
enum Configuration {
    /// Print a file with every setting, its default and what it does
    Example,
    /// Read the settings as the daemon would, and print those that differ from the defaults
    Check,
}

/// What the program was asked to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serve whoever started it, on this socket.
    Private(PathBuf),
    /// Serve this machine.
    Daemon(Flags),
    /// Print the example configuration.
    ConfigExample,
    /// Check the configuration.
    ConfigCheck(Flags),
}

/// A reason to end before serving, with the text and the exit code for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Stop {
    text: String,
    code: u8,
}

impl Stop {
    /// Makes the end of a daemon that could not start or serve.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { text: format!("hypervisord: {}\n", reason.into()), code: EXIT_FAILED }
    }

    /// Makes the end of a program that has only something to say.
    pub fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 0 }
    }

    /// Prints the text, to standard output when nothing is wrong, and returns the exit code.
    pub fn print(&self) -> ExitCode {
        let text = self.text.as_bytes();
        let printed =
            if self.code == 0 { std::io::stdout().write_all(text) } else { std::io::stderr().write_all(text) };
        // Nobody is left to tell when the stream is gone; the code still says it.
        drop(printed);
        ExitCode::from(self.code)
    }
}

/// Reads the command line; the first item is the program's name.
///
/// # Errors
/// The help and version texts, and every wrong line, come back as a [`Stop`].
pub fn parse(items: impl IntoIterator<Item = OsString>) -> Result<Mode, Stop> {
    let line = Line::try_parse_from(with_two_dashes(items)).map_err(|error| Stop {
        text: error.render().to_string(),
        code: if error.use_stderr() { EXIT_USAGE } else { 0 },
    })?;
    if line.version {
        return Err(Stop { text: format!("hypervisord version {}\n", env!("CARGO_PKG_VERSION")), code: 0 });
    }
    let flags = Flags { config: line.config, addr: line.addr, log_level: line.log_level };
    Ok(match (line.command, line.private, line.socket) {
        (Some(Command::Config { what: Configuration::Example }), ..) => Mode::ConfigExample,
        (Some(Command::Config { what: Configuration::Check }), ..) => Mode::ConfigCheck(flags),
        (None, true, Some(socket)) => Mode::Private(socket),
        (None, ..) => Mode::Daemon(flags),
    })
}

/// Writes known long names with two dashes. The value of a flag is never touched.
fn with_two_dashes(items: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut rewritten = Vec::new();
    let mut is_value = false;
    for item in items {
        let known = if is_value { None } else { known_long(&item) };
        is_value = matches!(&known, Some((_, true)));
        rewritten.push(known.map_or(item, |(long, _)| long));
    }
    rewritten
}

/// Returns the two-dash form of a known flag and whether its value is the next item.
fn known_long(item: &OsStr) -> Option<(OsString, bool)> {
    let text = item.to_str()?;
    let body = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    let (name, has_value) = body.split_once('=').map_or((body, false), |(name, _)| (name, true));
    let (_, takes_value) = LONG_NAMES.iter().find(|(long, _)| *long == name)?;
    Some((format!("--{body}").into(), *takes_value && !has_value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(items: &[&str]) -> Result<Mode, Stop> {
        parse(["hypervisord"].iter().chain(items).map(OsString::from))
    }

    #[test]
    fn one_and_two_dashes_mean_the_same() {
        let expected = Ok(Mode::Private("/run/x".into()));
        assert_eq!(parsed(&["--private", "--socket", "/run/x"]), expected);
        assert_eq!(parsed(&["-private", "-socket=/run/x"]), expected);
        let flags =
            Flags { config: Some("/c".into()), addr: Some("127.0.0.1:1".into()), log_level: Some("-warn".into()) };
        let older = ["-config", "/c", "-addr", "127.0.0.1:1", "-log-level=-warn", "-disable-web"];
        assert_eq!(parsed(&older), Ok(Mode::Daemon(flags)));
        assert_eq!(parsed(&[]), Ok(Mode::Daemon(Flags::default())));
    }

    #[test]
    fn the_configuration_is_shown_or_checked() {
        let flags = Flags { config: Some("config".into()), ..Flags::default() };
        assert_eq!(parsed(&["config", "example"]), Ok(Mode::ConfigExample));
        assert_eq!(parsed(&["config", "check", "-config", "config"]), Ok(Mode::ConfigCheck(flags)));
    }

    #[test]
    fn version_and_help_end_well() {
        assert_eq!(
            parsed(&["-version"]).unwrap_err().text,
            format!("hypervisord version {}\n", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(parsed(&["-help"]).unwrap_err().code, 0);
    }

    #[test]
    fn a_wrong_line_is_a_usage_error() {
        for items in [
            &["--private"][..],
            &["-x"],
            &["--socket"],
            &["--socket", "/x"],
            &["--private", "--socket", "/x", "--addr", "127.0.0.1:1"],
            &["stray"],
            &["config"],
        ] {
            assert_eq!(parsed(items).unwrap_err().code, EXIT_USAGE, "{items:?}");
        }
    }
}
