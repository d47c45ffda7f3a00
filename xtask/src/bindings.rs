//! Generates `crates/vsphere/src/wire/generated.rs` from pyvmomi's metadata.
//!
//! pyvmomi's wheel holds, as Python calls, every vim25 type with the wire order of its fields, their
//! optionality, the API version that brought them and which are secret. This module reads those
//! calls ([`metadata`]), picks what is in use ([`selection`]) and renders our own declarations
//! ([`render`]). Python never runs: the file is read as text.

mod metadata;
mod render;
mod selection;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The release that the committed bindings come from, and the digest of its wheel on PyPI.
const PYVMOMI_VERSION: &str = "9.1.1.0";
const WHEEL_SHA256: &str = "76af3cba85573769daf4e6760aace32e7af34e1bbf343895b8c4798b6bc0e2d2";

/// Files of the wheel that declare vim25 types, in the order in which they build on each other.
const METADATA_FILES: [&str; 3] =
    ["pyVmomi/_typeinfo_core.py", "pyVmomi/_typeinfo_query.py", "pyVmomi/_typeinfo_vim.py"];

/// What the generator writes, relative to the workspace.
const OUTPUT: &str = "crates/vsphere/src/wire/generated.rs";

/// Writes the bindings, or with `check` only compares them with the committed file.
///
/// # Errors
/// When the wheel cannot be had, its metadata cannot be read, or the committed file differs.
pub(crate) fn run(check: bool) -> Result<()> {
    let text = render::render(&selection::select(&metadata::parse(&metadata_text()?)?)?, PYVMOMI_VERSION);
    let path = workspace().join(OUTPUT);
    if check {
        let committed = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(committed == text, "{OUTPUT} is not current: run `cargo xtask bindings`");
    } else {
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Returns the cached wheel's path: where `./dev` puts it.
pub(crate) fn wheel_path() -> Result<PathBuf> {
    let home = env::var_os("HOME").context("HOME is not set")?;
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
    Ok(cache.join("hyper2kvm").join(format!("pyvmomi-{PYVMOMI_VERSION}-py3-none-any.whl")))
}

fn metadata_text() -> Result<String> {
    let wheel = wheel_path()?;
    if !wheel.exists() {
        download(&wheel)?;
    }
    let bytes = fs::read(&wheel).with_context(|| format!("read {}", wheel.display()))?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(digest == WHEEL_SHA256, "{} has SHA-256 {digest}, expected {WHEEL_SHA256}", wheel.display());
    let mut text = String::new();
    for file in METADATA_FILES {
        text.push_str(&member(&wheel, file)?);
    }
    Ok(text)
}

fn download(wheel: &Path) -> Result<()> {
    let folder = wheel.parent().context("the cache has no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(folder)
        .arg(format!("pyvmomi=={PYVMOMI_VERSION}"))
        .status()
        .context("run pip to fetch pyvmomi's wheel")?;
    if !status.success() {
        bail!("pip could not fetch pyvmomi {PYVMOMI_VERSION}: {status}");
    }
    Ok(())
}

/// Reads one member of the wheel, which is a zip file, with Python's own zip reader.
fn member(wheel: &Path, name: &str) -> Result<String> {
    let program = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
    let output = Command::new("python3")
        .args(["-c", program])
        .arg(wheel)
        .arg(name)
        .output()
        .context("run python3 to unpack pyvmomi's wheel")?;
    ensure!(output.status.success(), "unpack {name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).with_context(|| format!("{name} is not UTF-8"))
}
