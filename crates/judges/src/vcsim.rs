//! A running `vcsim`, VMware's own simulator.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A vcsim with one account; it ends with the value.
#[derive(Debug)]
pub struct VcSim {
    child: Child,
    address: String,
    files: tempfile::TempDir,
}

impl VcSim {
    /// The only account.
    pub const USERNAME: &'static str = "user";
    /// Its password.
    pub const PASSWORD: &'static str = "secret";

    /// Starts one with more arguments; `None`, and a word about it, where it is not installed.
    ///
    /// # Panics
    /// When it cannot be started, or ends without saying where it listens.
    pub fn start(test: &str, arguments: &[&str]) -> Option<Self> {
        let program = crate::vcsim(test)?;
        let files = must(tempfile::tempdir());
        let command = Command::new(program)
            .args(["-l", "127.0.0.1:0", "-username", Self::USERNAME, "-password", Self::PASSWORD])
            .args(arguments)
            // It keeps its datastores here.
            .env("TMPDIR", files.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = must(command);
        // Prints: export GOVC_URL=https://user:secret@127.0.0.1:8989/sdk GOVC_SIM_PID=…
        let address = child.stdout.take().and_then(|stdout| {
            BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| {
                let (_, rest) = line.split_once('@')?;
                rest.split_once("/sdk").map(|(address, _)| address.to_owned())
            })
        });
        assert!(address.is_some(), "vcsim says where it listens");
        Some(Self { child, address: address.unwrap_or_default(), files })
    }

    /// Returns `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the folder with the files of a datastore, for example `DC0-LocalDS_0`.
    ///
    /// # Panics
    /// When it has no such datastore.
    pub fn datastore(&self, name: &str) -> PathBuf {
        let prefix = format!("govcsim-{name}-");
        let mut entries = must(std::fs::read_dir(self.files())).map_while(Result::ok);
        let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        assert!(found.is_some(), "vcsim has the datastore {name}");
        found.map(|entry| entry.path()).unwrap_or_default()
    }

    fn files(&self) -> &Path {
        self.files.path()
    }
}

impl Drop for VcSim {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

fn must<T>(result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("start vcsim: {error}"))
}
