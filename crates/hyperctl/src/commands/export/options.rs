//! What an export may do to its source, and what it leaves out of the package.

use clap::ValueEnum;
use hyper_api::{ExportSpec, SHUTDOWN_LIMIT_S, ShutdownSpec, SnapshotPolicy};

use crate::cli::switches;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;

/// Options that are about the VM rather than the package.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Export a snapshot that is removed afterwards, so that the VM may run [default: crash]
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        value_name = "crash|quiesce",
        default_missing_value = "crash",
        hide_possible_values = true
    )]
    snapshot: Option<Policy>,
    /// Shut a running VM's guest down first, within this time; the VM stays off [default: 300s]
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        value_name = "TIME",
        default_missing_value = "",
        value_parser = limit,
        conflicts_with = "snapshot"
    )]
    shutdown: Option<u64>,
    #[command(flatten)]
    switches: Switches,
    /// Export only this disk: its number (from 0), label or file; may be repeated
    #[arg(long = "disk", value_name = "N|NAME", action = clap::ArgAction::Append)]
    disks: Vec<String>,
    /// Export all disks but this one; may be repeated
    #[arg(long = "exclude-disk", value_name = "N|NAME", action = clap::ArgAction::Append)]
    exclude_disks: Vec<String>,
}

switches! {
    /// What is done or not.
    struct Switches {
        /// Take the power where the guest does not shut down in time, or cannot be asked (with --shutdown)
        force_off,
        /// Take the media out of the VM's CD/DVD drives, and put them back at the end
        eject_cdrom,
        /// Leave the CD/DVD drives out of the package; the VM keeps them
        remove_cdrom,
    }
}

impl Options {
    /// Puts the options into the request.
    pub(in crate::commands) fn apply(self, spec: ExportSpec) -> Result<ExportSpec, Failure> {
        let Switches { force_off, eject_cdrom, remove_cdrom } = self.switches;
        if force_off && self.shutdown.is_none() {
            let failure = Failure::new(Exit::Usage, "export: --force-off says what follows a --shutdown");
            return Err(failure.with_hint("add --shutdown, or --shutdown=0s to take the power at once"));
        }
        let snapshot = self.snapshot.map(SnapshotPolicy::from);
        let shutdown = self.shutdown.map(|limit_s| ShutdownSpec { limit_s, force_off });
        let (disks, exclude_disks) = (self.disks, self.exclude_disks);
        Ok(ExportSpec { snapshot, shutdown, eject_cdrom, remove_cdrom, disks, exclude_disks, ..spec })
    }
}

/// What is asked of the guest for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Policy {
    Crash,
    Quiesce,
}

impl From<Policy> for SnapshotPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Crash => Self::Crash,
            Policy::Quiesce => Self::Quiesce,
        }
    }
}

/// Reads the time that a guest is given; empty text is the default.
fn limit(text: &str) -> Result<u64, String> {
    if text.is_empty() { Ok(SHUTDOWN_LIMIT_S) } else { duration::seconds(text) }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn spec(items: &[&str]) -> Result<ExportSpec, Failure> {
        let command = Options::augment_args(clap::Command::new("export").no_binary_name(true));
        let matches =
            command.try_get_matches_from(items).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        Options::from_arg_matches(&matches).unwrap().apply(ExportSpec::default())
    }

    #[test]
    fn a_shutdown_has_a_limit_and_perhaps_force_behind_it() {
        for (items, limit_s, force_off) in [
            (&["--shutdown"][..], 300, false),
            (&["--shutdown=90s"], 90, false),
            (&["--shutdown=5m", "--force-off"], 300, true),
            (&["--shutdown=0s", "--force-off=true"], 0, true),
        ] {
            assert_eq!(spec(items).unwrap().shutdown, Some(ShutdownSpec { limit_s, force_off }), "{items:?}");
        }
        for items in [&["--force-off"][..], &["--shutdown=soon"], &["--shutdown=-1s"], &["--shutdown", "--snapshot"]] {
            assert!(spec(items).is_err(), "{items:?}");
        }
    }

    #[test]
    fn disks_and_drives_are_chosen() {
        let spec = spec(&["--disk=0", "--disk=Hard disk 3", "--exclude-disk=1", "--eject-cdrom", "--remove-cdrom=1"]);
        let spec = spec.unwrap();
        assert_eq!((spec.disks, spec.exclude_disks), (vec!["0".into(), "Hard disk 3".into()], vec!["1".to_owned()]));
        assert!(spec.eject_cdrom && spec.remove_cdrom && spec.shutdown.is_none());
    }
}
