//! The names of an image that grows in a directory, and how it gets its final one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::of_target;
use crate::copy::sync_directory;
use crate::export::umask;
use crate::{Error, ErrorKind, Result};

/// Longest final name: what Linux allows, less the marks of the others.
const NAME_BYTES_MAX: usize = 255 - ".".len() - ".part.journal".len();

/// Final name, partial file and journal of one image.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) path: PathBuf,
    pub(super) part: PathBuf,
    pub(super) journal: PathBuf,
}

impl Names {
    /// Derives the names from the final one.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let refuse = |why: &str| Error::new(ErrorKind::Usage, format!("write {}: {why}", path.display()));
        let name = path.file_name().ok_or_else(|| refuse("it names no file"))?;
        if name.len() > NAME_BYTES_MAX {
            return Err(refuse("its name is too long for those of the partial files"));
        }
        let beside = |ending: &str| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(ending);
            path.with_file_name(hidden)
        };
        Ok(Self { path: path.to_owned(), part: beside(".part"), journal: beside(".part.journal") })
    }

    /// Gives the partial file its final name, durably; what stands there is replaced only if `replace`.
    pub(super) fn publish(&self, replace: bool) -> Result<()> {
        let failed = |error: io::Error| {
            let doing = format!("give {} its name", self.path.display());
            match error.kind() {
                io::ErrorKind::AlreadyExists => stands_there(&self.path),
                _ => of_target(&doing, error),
            }
        };
        fs::set_permissions(&self.part, Permissions::from_mode(0o666 & !umask())).map_err(failed)?;
        if replace {
            fs::rename(&self.part, &self.path).map_err(failed)?;
        } else {
            rename_new(&self.part, &self.path).map_err(failed)?;
        }
        sync_directory(&self.path).map_err(failed)
    }
}

/// Returns the refusal to write over something.
pub(super) fn stands_there(path: &Path) -> Error {
    Error::new(
        ErrorKind::Target,
        format!("write {}: a file of this name is there, and no conversion that was cut off wrote it", path.display()),
    )
    .with_hint("name another file, or say --force to replace it")
}

/// Renames without replacing anything.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems cannot promise it; there a look before has to do.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_stand_beside_the_final_one() {
        let names = Names::of(Path::new("/images/web01.qcow2")).unwrap();
        assert_eq!(names.part, Path::new("/images/.web01.qcow2.part"));
        assert_eq!(names.journal, Path::new("/images/.web01.qcow2.part.journal"));
        assert_eq!(Names::of(Path::new("x.raw")).unwrap().part, Path::new(".x.raw.part"));
        for path in ["/", "..", "", &"x".repeat(242)] {
            assert_eq!(Names::of(Path::new(path)).unwrap_err().kind(), ErrorKind::Usage, "{path}");
        }
        assert!(Names::of(Path::new(&"x".repeat(241))).is_ok());
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_not_replaced_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of(&folder.path().join("x.raw")).unwrap();
        fs::write(&names.part, "ours").unwrap();
        fs::write(&names.path, "a stranger's").unwrap();
        assert_eq!(names.publish(false).unwrap_err().kind(), ErrorKind::Target);
        assert_eq!(fs::read_to_string(&names.path).unwrap(), "a stranger's");
        names.publish(true).unwrap();
        assert_eq!(fs::read_to_string(&names.path).unwrap(), "ours");
        assert!(!names.part.exists());
    }
}
