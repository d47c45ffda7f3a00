//! A folder whose files are listed, and opened by names that are not trusted.
//!
//! Names are resolved by the kernel below the folder, as [`crate::image::files`] does it for disks.
//!
//! Deliberately absent: names that lead elsewhere on purpose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tar::{MEMBERS_MAX, is_apple_double};
use crate::image::ByteSource;
use crate::image::files::{Files as _, Folder};
use crate::{Error, ErrorKind, Result};

/// Deepest folder below a package's own that is looked into.
const DEPTH_MAX: usize = 8;

/// An open folder.
#[derive(Debug)]
pub(super) struct PackageFolder {
    files: Folder,
    path: PathBuf,
}

impl PackageFolder {
    /// Opens a folder that the user named.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { files: Folder::open(path)?, path: path.to_owned() })
    }

    /// Opens a file by its name relative to the folder; `None` when there is none.
    ///
    /// Fails with `Outside` when the name leads out of the folder, `Unsupported` when it is not a
    /// regular file, `Io` when it cannot be opened.
    pub(super) fn file(&self, name: &str) -> Result<Option<Arc<dyn ByteSource>>> {
        match self.files.open(name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the files in the folder and below, by name. Folders behind links are not looked into.
    ///
    /// Fails with `Limit` for more than 10 000 files.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut open = vec![(self.path.clone(), String::new(), 0)];
        while let Some((path, prefix, depth)) = open.pop() {
            let failed =
                |error: io::Error| Error::io("cannot read a folder", error).in_file(&path.display().to_string());
            for entry in fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                // A name that is not UTF-8 cannot be in a descriptor either.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{prefix}{name}");
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() && depth < DEPTH_MAX {
                    open.push((entry.path(), format!("{name}/"), depth + 1));
                } else if (kind.is_file() || kind.is_symlink()) && !is_apple_double(&name) {
                    names.push(name);
                }
                if names.len() > MEMBERS_MAX || open.len() > MEMBERS_MAX {
                    return Err(Error::limit("a package has at most 10000 files").in_file(&path.display().to_string()));
                }
            }
        }
        names.sort();
        Ok(names)
    }
}

fn is_absent(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    error.kind() == ErrorKind::Io
        && source.is_some_and(|error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_in_the_folder_and_below_are_opened_and_listed() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("a/b")).unwrap();
        fs::write(place.path().join("a/b/disk.vmdk"), "12345").unwrap();
        fs::write(place.path().join("x.ovf"), "").unwrap();
        fs::write(place.path().join("._x.ovf"), "").unwrap();
        symlink("a/b/disk.vmdk", place.path().join("link.vmdk")).unwrap();
        let folder = PackageFolder::open(place.path()).unwrap();
        assert_eq!(folder.names().unwrap(), ["a/b/disk.vmdk", "link.vmdk", "x.ovf"]);
        for name in ["a/b/disk.vmdk", "link.vmdk"] {
            assert_eq!(folder.file(name).unwrap().unwrap().len_bytes(), 5, "{name}");
        }
        assert!(folder.file("absent").unwrap().is_none());
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("vm");
        fs::create_dir(&inside).unwrap();
        fs::write(place.path().join("secret"), "").unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink(place.path().join("secret"), inside.join("absolute")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        let folder = PackageFolder::open(&inside).unwrap();
        for name in ["relative", "absolute", "up/secret", "../secret", "/etc/hostname"] {
            assert_eq!(folder.file(name).map(|_| ()).unwrap_err().kind(), ErrorKind::Outside, "{name}");
        }
    }

    #[test]
    fn what_is_not_a_file_is_not_opened() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("sub")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            place.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let folder = PackageFolder::open(place.path()).unwrap();
        for name in ["sub", "pipe"] {
            assert_eq!(folder.file(name).map(|_| ()).unwrap_err().kind(), ErrorKind::Unsupported, "{name}");
        }
        assert!(folder.names().unwrap().is_empty());
    }
}
