//! Finds the programs that did not come from us and judge our work in tests.
//!
//! `./dev` installs them below `~/.cache/hyper2kvm` or from the distribution. A test that misses its
//! judge says so and passes, or fails where `HYPER2KVM_JUDGES=required` is set, as `./dev test` does
//! when it could install them. Each skip also goes to the file that `HYPER2KVM_SKIP_LOG` names, one
//! line `test: reason`, so that the summary can list them. For tests only.

mod recorded;
mod vcsim;

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use recorded::recordings;
pub use vcsim::VcSim;

/// Returns the folder in which `./dev` keeps what it fetched.
pub fn cache() -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from).join("hyper2kvm")
}

/// Finds `qemu-img`.
pub fn qemu_img(test: &str) -> Option<PathBuf> {
    on_path(test, "qemu-img")
}

/// Finds `xmllint`.
pub fn xmllint(test: &str) -> Option<PathBuf> {
    on_path(test, "xmllint")
}

/// Finds GNU tar.
pub fn tar(test: &str) -> Option<PathBuf> {
    on_path(test, "tar")
}

/// Finds Python, for what its standard library reads and writes.
pub fn python(test: &str) -> Option<PathBuf> {
    on_path(test, "python3")
}

/// Finds `vcsim`, VMware's own simulator, a server that we did not write.
pub fn vcsim(test: &str) -> Option<PathBuf> {
    cached(test, "bin/vcsim")
}

/// Finds `govc`, a client that we did not write.
pub fn govc(test: &str) -> Option<PathBuf> {
    cached(test, "bin/govc")
}

/// Finds a Python that has pyvmomi, another client that we did not write.
pub fn python_with_pyvmomi(test: &str) -> Option<PathBuf> {
    cached(test, "venv/bin/python")
}

/// Finds a file or folder below the cache.
pub fn cached(test: &str, name: &str) -> Option<PathBuf> {
    let path = cache().join(name);
    found(test, name, Some(path).filter(|path| path.exists()))
}

/// Says that `test` cannot run here.
///
/// # Panics
/// When judges are required.
pub fn skip(test: &str, reason: &str) {
    assert!(
        env::var("HYPER2KVM_JUDGES").as_deref() != Ok("required"),
        "{test} needs what is missing here: {reason} (HYPER2KVM_JUDGES=required)"
    );
    let line = format!("{test}: {reason}\n");
    // Not by a macro: the test harness swallows those lines of a test that passes.
    let said = std::io::stderr().write_all(format!("SKIPPED {line}").as_bytes());
    assert!(said.is_ok(), "cannot write to stderr");
    if let Some(log) = env::var_os("HYPER2KVM_SKIP_LOG") {
        let written =
            OpenOptions::new().create(true).append(true).open(&log).and_then(|mut f| f.write_all(line.as_bytes()));
        assert!(written.is_ok(), "cannot write the skip log {}", Path::new(&log).display());
    }
}

fn on_path(test: &str, name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    found(test, name, env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file()))
}

fn found(test: &str, name: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    if path.is_none() {
        skip(test, &format!("{name} is not installed; `./dev test` installs it"));
    }
    path
}
