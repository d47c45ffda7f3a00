//! The daemon's own command line. One or two dashes, as older service files have it (contract B.6).

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The command line is wrong, or asks for what is not built.
const EXIT_USAGE: u8 = 2;

/// The daemon could not start or serve.
const EXIT_FAILED: u8 = 1;

/// Long names that may be written with one dash, and whether they take a value.
const LONG_NAMES: [(&str, bool); 4] = [("private", false), ("socket", true), ("version", false), ("help", false)];

/// Exports VMs out of vCenter and ESXi.
///
/// Logs go to standard error when HYPERVISORD_LOG holds a filter such as "info" or "debug", or to
/// the file that HYPERVISORD_LOG_FILE names.
#[derive(Debug, Parser)]
#[command(name = "hypervisord", disable_version_flag = true)]
struct Line {
    /// Serve one hyperctl: jobs in memory, the source from GOVC_*, end with standard input
    #[arg(long, requires = "socket")]
    private: bool,
    /// Socket to listen on, in an existing directory that only this user can enter
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print the version
    #[arg(long)]
    version: bool,
}

/// What the daemon was asked to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Private {
    /// Socket to listen on.
    pub socket: PathBuf,
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
pub fn parse(items: impl IntoIterator<Item = OsString>) -> Result<Private, Stop> {
    let line = Line::try_parse_from(with_two_dashes(items)).map_err(|error| Stop {
        text: error.render().to_string(),
        code: if error.use_stderr() { EXIT_USAGE } else { 0 },
    })?;
    if line.version {
        return Err(Stop { text: format!("hypervisord version {}\n", env!("CARGO_PKG_VERSION")), code: 0 });
    }
    match (line.private, line.socket) {
        (true, Some(socket)) => Ok(Private { socket }),
        _ => Err(Stop {
            text: "hypervisord: the daemon mode is not built yet; only --private --socket PATH is, which hyperctl \
                   uses by itself\nhint: run hyperctl\n"
                .to_owned(),
            code: EXIT_USAGE,
        }),
    }
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

    fn parsed(items: &[&str]) -> Result<Private, Stop> {
        parse(["hypervisord"].iter().chain(items).map(OsString::from))
    }

    #[test]
    fn one_and_two_dashes_mean_the_same() {
        let expected = Ok(Private { socket: "/run/x".into() });
        assert_eq!(parsed(&["--private", "--socket", "/run/x"]), expected);
        assert_eq!(parsed(&["-private", "-socket=/run/x"]), expected);
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
    fn the_daemon_mode_is_refused_by_saying_that_it_is_not_built() {
        for items in [&[][..], &["--socket", "/run/x"]] {
            let stop = parsed(items).unwrap_err();
            assert_eq!(stop.code, EXIT_USAGE);
            assert!(stop.text.contains("not built yet"), "{}", stop.text);
        }
    }

    #[test]
    fn a_wrong_line_is_a_usage_error() {
        for items in [&["--private"][..], &["-x"], &["--socket"], &["stray"]] {
            assert_eq!(parsed(items).unwrap_err().code, EXIT_USAGE, "{items:?}");
        }
    }
}
