//! Programs of ours that this one starts: they end with it, in whatever way it ends.
//!
//! Each runs in a process group of its own, so that a Ctrl-C in the terminal reaches only
//! `hyperctl`, which decides what it means; and each watches a pipe on its standard input, which the
//! kernel closes when `hyperctl` is gone.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::exit::Exit;
use crate::failure::Failure;

/// A changed environment: names with their values, or without one to take them away.
pub(crate) type Environment = Vec<(OsString, Option<OsString>)>;

/// A running program of ours.
#[derive(Debug)]
pub(crate) struct Companion {
    name: &'static str,
    process: Child,
}

impl Companion {
    /// Starts `program`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        args: &[OsString],
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let process = command
            .spawn()
            .map_err(|reason| Failure::new(Exit::NoDaemon, format!("start {}: {reason}", program.display())))?;
        Ok(Self { name, process })
    }

    /// Returns how it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Closes its standard input and waits until it has ended; after `time_max` it is killed.
    pub(crate) async fn close(mut self, time_max: Duration) {
        drop(self.process.stdin.take());
        if tokio::time::timeout(time_max, self.process.wait()).await.is_err() {
            // It would otherwise outlive us. What it held is left to the server's own time limits.
            drop(self.process.kill().await);
        }
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// Finds a program of ours: where the variable says, else beside this executable.
pub(crate) fn find(name: &str, variable: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()
        .map_err(|reason| Failure::new(Exit::NoDaemon, format!("find this executable: {reason}")))?;
    let beside = own.with_file_name(name);
    if beside.is_file() {
        return Ok(beside);
    }
    let reason = format!("find {name}: there is none at {}", beside.display());
    Err(Failure::new(Exit::NoDaemon, reason).with_hint(format!("install {name} beside hyperctl, or set {variable}")))
}

/// The longest path of a Unix socket (`sun_path` less its final zero, Linux).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Makes a directory that only this user can enter, for sockets and short-lived files.
pub(crate) fn private_directory() -> Result<TempDir, Failure> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let bases = [runtime, Some(std::env::temp_dir()), Some(PathBuf::from("/tmp"))];
    let mut refused = None;
    for base in bases.into_iter().flatten() {
        let made =
            tempfile::Builder::new().prefix("hyperctl-").permissions(Permissions::from_mode(0o700)).tempdir_in(&base);
        match made {
            Ok(directory) if directory.path().join("socket").as_os_str().len() <= SOCKET_PATH_BYTES_MAX => {
                return Ok(directory);
            }
            // Too long a name for a socket; it is removed again by its drop.
            Ok(_) => {}
            Err(reason) => refused = Some(format!("make a directory in {}: {reason}", base.display())),
        }
    }
    let reason = refused.unwrap_or_else(|| "make a directory for a socket: every name is too long".to_owned());
    Err(Failure::new(Exit::NoDaemon, reason).with_hint("set TMPDIR to a directory that you can write"))
}
