//! Other readers, asked about the same files: QEMU and the crate `vmdk-core`.

use std::fs;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Output};

/// How long QEMU may think about a small file. It is stopped then: some files make it loop.
const QEMU_SECONDS: &str = "20";

/// Runs a program of QEMU's in a folder, with a limit on its time.
pub(crate) fn qemu(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(QEMU_SECONDS).arg(program).args(arguments).current_dir(folder);
    command.output().unwrap()
}

/// Runs qemu-img, which must succeed.
pub(crate) fn qemu_img(folder: &Path, arguments: &[&str]) -> String {
    let output = qemu(folder, "qemu-img", arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Reads a VMDK as QEMU does; `None` when it refuses or does not end.
pub(crate) fn read_by_qemu(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let raw = folder.join("read-by-qemu.raw");
    let output = qemu(folder, "qemu-img", &["convert", "-f", "vmdk", "-O", "raw", name, "read-by-qemu.raw"]);
    let bytes = output.status.success().then(|| fs::read(&raw).unwrap());
    if raw.exists() {
        fs::remove_file(raw).unwrap();
    }
    bytes
}

/// Reads a VMDK and its parents as `vmdk-core` does; `None` when it refuses.
pub(crate) fn read_by_vmdk_core(path: &Path) -> Option<Vec<u8>> {
    // What it does with damaged files is its own affair, panics included.
    catch_unwind(AssertUnwindSafe(|| {
        let mut reader = vmdk::VmdkChainReader::open(path).ok()?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }))
    .ok()?
}

/// Returns whether QEMU is the version whose behaviour the tables of these tests record.
pub(crate) fn qemu_is_as_recorded() -> bool {
    const RECORDED: &str = "qemu-img version 7.2.";
    qemu_img(Path::new("."), &["--version"]).starts_with(RECORDED)
}
