//! What was recorded from real vCenters: the test fixtures in pyvmomi's source archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Releases whose archives `./dev` fetches.
const ARCHIVES: usize = 3;
/// Recordings in each of them.
const RECORDINGS: usize = 22;

/// Unpacks the recordings of all archives below `into` and returns their files, YAML of one form.
///
/// # Panics
/// When the archives are there but not whole.
pub fn recordings(test: &str, into: &Path) -> Option<Vec<PathBuf>> {
    let folder = super::cached(test, "fixtures")?;
    let mut archives = entries(&folder);
    archives.retain(|path| path.extension().is_some_and(|end| end == "gz"));
    assert_eq!(archives.len(), ARCHIVES, "the archives of {ARCHIVES} releases are wanted: {archives:?}");
    Some(archives.iter().flat_map(|archive| unpack(archive, into)).collect())
}

fn unpack(archive: &Path, into: &Path) -> Vec<PathBuf> {
    let target = into.join(archive.file_stem().unwrap_or_default());
    assert!(fs::create_dir_all(&target).is_ok(), "cannot make {}", target.display());
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(archive).arg("-C").arg(&target);
    let status = tar.args(["--strip-components=3", "--wildcards", "*/tests/fixtures/*.yaml"]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot unpack {}", archive.display());
    let found = entries(&target);
    assert_eq!(found.len(), RECORDINGS, "recordings of {}", archive.display());
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
