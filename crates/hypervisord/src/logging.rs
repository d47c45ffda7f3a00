//! Where log lines go. By default of the private child nowhere: it shares its caller's terminal.
//!
//! | who | where | what |
//! |---|---|---|
//! | private child | nowhere; standard error or a file when variables say so | as the variables say |
//! | daemon | the journal when started by systemd, else standard error | `log.level`, and all of `audit` |
//!
//! No line holds a secret; whoever logs sees to that, not a filter here.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::config::Level;

/// A filter such as `info` or `migrate=debug`. For a private child its presence sends log lines to standard error;
/// for a daemon it counts instead of the level.
const FILTER_VARIABLE: &str = "HYPERVISORD_LOG";

/// A file that takes the private child's log lines instead; the filter is then `info` unless given.
const FILE_VARIABLE: &str = "HYPERVISORD_LOG_FILE";

/// Device and inode of the journal's end of standard error, set by systemd.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// Starts the private child's logging as the environment says, read through `lookup`.
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

/// Changes the daemon's level while it runs.
#[derive(Debug)]
pub struct Handle {
    /// `None` when a filter was given: the level does not count then.
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl Handle {
    /// Takes another level from now on.
    ///
    /// # Errors
    /// When nobody logs any more.
    pub fn set_level(&self, level: Level) -> anyhow::Result<()> {
        self.filter.as_ref().map_or(Ok(()), |filter| filter.reload(by_level(level))).context("change the log level")
    }
}

/// Starts the daemon's logging.
///
/// # Errors
/// When the filter makes no sense.
pub fn start_daemon(level: Level, lookup: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Handle> {
    let given = lookup(FILTER_VARIABLE).filter(|value| !value.is_empty());
    let filter = match &given {
        Some(text) => EnvFilter::try_new(text).with_context(|| format!("read the log filter in {FILTER_VARIABLE}"))?,
        None => by_level(level),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let journal = is_journal(lookup(JOURNAL_VARIABLE).as_deref()).then(tracing_journald::layer).and_then(Result::ok);
    let output = match journal {
        Some(journal) => journal.boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry().with(filter).with(output).init();
    Ok(Handle { filter: given.is_none().then_some(handle) })
}

/// Returns the filter of a level: who did what is written at every one.
fn by_level(level: Level) -> EnvFilter {
    // Of others' crates, whose lines nobody here has read for secrets, only what is odd.
    let ours = ["hypervisord", "migrate", "vsphere", "transfer", "diskimage"];
    let rules = ours.map(|name| format!("{name}={}", level.word()));
    EnvFilter::new(format!("{},audit=info,warn", rules.join(",")))
}

/// Returns true when standard error is the journal's.
fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else { return false };
    let own = std::fs::metadata("/proc/self/fd/2");
    own.is_ok_and(|own| device.parse() == Ok(own.dev()) && inode.parse() == Ok(own.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_lines_are_written_at_every_level() {
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            let filter = by_level(level).to_string();
            assert!(filter.contains("audit=info") && filter.contains(&format!("migrate={}", level.word())), "{filter}");
        }
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let own = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(is_journal(Some(&format!("{}:{}", own.dev(), own.ino()))));
        for other in [None, Some(""), Some("1:2"), Some("x:y"), Some("12")] {
            assert!(!is_journal(other), "{other:?}");
        }
    }
}
