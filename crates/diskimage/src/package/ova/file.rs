//! An OVA on its way to its name.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{OvaMember, OvaOptions, OvaWriter};
use crate::{Error, Result};

/// Mode of a file that is not finished.
const PART_MODE: u32 = 0o600;

/// A file that gets its name when it is finished; before, it is `.NAME.part` beside it.
#[derive(Debug)]
pub struct OvaFile {
    writer: OvaWriter<File>,
    part: PathBuf,
    path: PathBuf,
}

impl OvaFile {
    /// Starts an archive that will be at `path`.
    ///
    /// # Errors
    ///
    /// `Misuse` when there is a file of that name, or an unfinished one; else as
    /// [`OvaWriter::create`].
    pub fn create(path: &Path, options: OvaOptions) -> Result<Self> {
        let failed =
            |path: &Path, error| Error::io("cannot create an archive", error).in_file(&path.display().to_string());
        let name = path.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| Error::misuse("an archive has a name in UTF-8").in_file(&path.display().to_string()))?;
        let part = path.with_file_name(format!(".{name}.part"));
        if fs::symlink_metadata(path).is_ok() {
            return Err(in_the_way(path));
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(PART_MODE).open(&part);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => in_the_way(&part),
            _ => failed(&part, error),
        })?;
        let writer = OvaWriter::create(file, options)?;
        Ok(Self { writer, part, path: path.to_owned() })
    }

    /// Returns the writer of the members.
    pub fn writer(&mut self) -> &mut OvaWriter<File> {
        &mut self.writer
    }

    /// Ends the archive, makes it durable, and gives it its name and mode.
    ///
    /// # Errors
    ///
    /// `Misuse` when a file of that name has come meanwhile, which stays; else as
    /// [`OvaWriter::finish`].
    pub fn finish(self, descriptor: &str, mode: u32) -> Result<Vec<OvaMember>> {
        let Self { writer, part, path } = self;
        let name = part.display().to_string();
        let failed = |error: io::Error| Error::io("cannot finish an archive", error).in_file(&name);
        let (file, members) = writer.finish(descriptor).map_err(|error| error.in_file(&name))?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        match rustix::fs::renameat_with(CWD, &part, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(in_the_way(&path)),
            // Some network file systems cannot promise not to replace; a link can.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::hard_link(&part, &path).map_err(failed)?;
                fs::remove_file(&part).map_err(failed)?;
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(members)
    }

    /// Gives the archive up and removes what was written.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be removed.
    pub fn abandon(self) -> Result<()> {
        let Self { writer, part, .. } = self;
        drop(writer);
        fs::remove_file(&part).map_err(|error| {
            Error::io("cannot remove an unfinished archive", error).in_file(&part.display().to_string())
        })
    }
}

fn in_the_way(path: &Path) -> Error {
    Error::misuse("an archive does not replace a file that is there").in_file(&path.display().to_string())
}
