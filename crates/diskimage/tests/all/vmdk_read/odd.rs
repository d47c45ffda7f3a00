//! Odd files, and who is right about them.
//!
//! Each row is a small set of files whose first is opened, what we make of it, what QEMU 7.2 and
//! `vmdk-core` 0.8.4 make of it, and why ours is right where they differ. What others do is checked
//! too, QEMU only in the version that the table records, so that the table does not grow old.

mod layout;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use diskimage::ErrorKind;
use diskimage::vmdk::read::{OpenOptions, open_path};

use super::build::read_all;
use super::others::{qemu_is_as_recorded, read_by_qemu, read_by_vmdk_core};

/// What another reader makes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    /// The same bytes as we.
    Same,
    /// Other bytes, or bytes where we refuse.
    Differs,
    /// Nothing.
    Refuses,
    /// Not asked: it would not end, or end the test.
    NotAsked,
}
use Other::{Differs, NotAsked, Refuses, Same};

struct Row {
    name: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    ours: Result<Vec<u8>, ErrorKind>,
    qemu: Other,
    vmdk_core: Other,
    /// Why ours is right; empty where all agree.
    why: &'static str,
}

impl Row {
    /// Writes the files into a folder and returns the path of the one to open.
    fn write(&self, folder: &Path) -> PathBuf {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder.join(self.files[0].0)
    }
}

fn rows() -> Vec<Row> {
    [text::read(), text::refused(), layout::extents(), layout::tables(), layout::headers()]
        .into_iter()
        .flatten()
        .collect()
}

/// Compares what another reader gave with what we gave.
fn compare(ours: &Result<Vec<u8>, ErrorKind>, other: Option<Vec<u8>>) -> Other {
    match (ours, other) {
        (Ok(ours), Some(other)) if *ours == other => Same,
        (_, Some(_)) => Differs,
        (_, None) => Refuses,
    }
}

#[test]
fn odd_files_are_read_right_or_refused() {
    for row in rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = row.write(folder.path());
        let ours = open_path(&path, OpenOptions::default()).and_then(|image| read_all(&image));
        let ours = ours.map_err(|error| {
            assert!(error.file().is_some(), "{}: {error} does not name its file", row.name);
            error.kind()
        });
        assert!(ours == row.ours, "{}: {:?} and not {:?}", row.name, ours.map(|b| b.len()), row.ours.map(|b| b.len()));
    }
}

#[test]
fn what_vmdk_core_makes_of_odd_files_is_as_recorded() {
    let mut wrong = Vec::new();
    for row in rows().into_iter().filter(|row| row.vmdk_core != NotAsked) {
        let folder = tempfile::tempdir().unwrap();
        let path = row.write(folder.path());
        let found = compare(&row.ours, read_by_vmdk_core(&path));
        if found != row.vmdk_core {
            wrong.push(format!("{}: {found:?} and not {:?}", row.name, row.vmdk_core));
        }
        let agree = found == Same || (row.ours.is_err() && found == Refuses);
        assert!(agree || !row.why.is_empty(), "{}: why?", row.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_qemu_makes_of_odd_files_is_as_recorded() {
    if judges::qemu_img("what_qemu_makes_of_odd_files_is_as_recorded").is_none() || !qemu_is_as_recorded() {
        return;
    }
    let mut wrong = Vec::new();
    for row in rows().into_iter().filter(|row| row.qemu != NotAsked) {
        let folder = tempfile::tempdir().unwrap();
        let path = row.write(folder.path());
        let found = compare(&row.ours, read_by_qemu(folder.path(), path.to_str().unwrap()));
        if found != row.qemu {
            wrong.push(format!("{}: {found:?} and not {:?}", row.name, row.qemu));
        }
        let agree = found == Same || (row.ours.is_err() && found == Refuses);
        assert!(agree || !row.why.is_empty(), "{}: why?", row.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
