//! Where log lines go. By default nowhere: the private child shares its caller's terminal.
//!
//! No line holds a secret; whoever logs sees to that, not a filter here.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// A filter such as `info` or `migrate=debug`; its presence sends log lines to standard error.
const FILTER_VARIABLE: &str = "HYPERVISORD_LOG";

/// A file that takes the log lines instead; the filter is then `info` unless given.
const FILE_VARIABLE: &str = "HYPERVISORD_LOG_FILE";

/// Starts logging as the environment says, read through `lookup`.
///
/// # Errors
/// When the filter makes no sense or the file cannot be opened.
pub fn start(lookup: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let given = |name| lookup(name).filter(|value| !value.is_empty());
    let (filter, file) = (given(FILTER_VARIABLE), given(FILE_VARIABLE));
    if filter.is_none() && file.is_none() {
        return Ok(());
    }
    let filter = EnvFilter::try_new(filter.as_deref().unwrap_or("info"))
        .with_context(|| format!("read the log filter in {FILTER_VARIABLE}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match file {
        Some(path) => {
            let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
            let log = log.with_context(|| format!("open the log file {path}"))?;
            builder.with_ansi(false).with_writer(log).init();
        }
        None => builder.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init(),
    }
    Ok(())
}
