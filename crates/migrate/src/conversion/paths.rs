//! Where the parts of a conversion go, and what may stand there.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{FileReport, Request};
use crate::convert::refuse_special;
use crate::copy::sync_directory;
use crate::export::umask;
use crate::{Error, ErrorKind, Result};

/// Refuses to write onto the file that is read. The files that this one names are looked at where they
/// are open.
pub(super) fn refuse_own_source(request: &Request) -> Result<()> {
    let (Ok(source), Ok(output)) = (fs::metadata(&request.source), fs::metadata(&request.output)) else {
        return Ok(());
    };
    if !source.is_dir() && (source.dev(), source.ino()) == (output.dev(), output.ino()) {
        let context = format!("write {}: it is what is to be converted", request.output.display());
        return Err(Error::new(ErrorKind::Usage, context).with_hint("name another file for the result"));
    }
    Ok(())
}

/// Makes a directory for several files, unless it is there; its parent has to be there.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Ok(()) => sync_directory(path).map_err(|error| failed("make the directory", path, error)),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(failed("make the directory", path, error)),
    }
}

/// Returns the path beside `path` that is hidden and ends in `ending`.
pub(super) fn hidden(path: &Path, ending: &str) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("write {}: it names no file", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(ending);
    Ok(path.with_file_name(hidden))
}

/// Refuses a name that is taken, unless it is that of a file that may be replaced.
pub(super) fn refuse_taken(path: &Path, replace: bool) -> Result<()> {
    refuse_special(path)?;
    if fs::symlink_metadata(path).is_err() || (replace && !path.is_dir()) {
        return Ok(());
    }
    Err(taken(path))
}

fn taken(path: &Path) -> Error {
    let hint = if path.is_dir() { "name a file in it" } else { "name another file, or say --force to replace it" };
    Error::new(ErrorKind::Target, format!("write {}: it is there already", path.display())).with_hint(hint)
}

/// Writes a small file whole: under a hidden name, synced, then renamed.
pub(super) fn write_file(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    let part = hidden(path, ".part")?;
    let wrote = || -> io::Result<()> {
        match fs::remove_file(&part) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666 & !umask()).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    wrote().map_err(|error| failed("write", path, error))?;
    publish(&part, path, replace)
}

/// Gives a whole file its final name, durably.
pub(super) fn publish(part: &Path, path: &Path, replace: bool) -> Result<()> {
    let renamed = if replace {
        fs::rename(part, path)
    } else {
        match renameat_with(CWD, part, CWD, path, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Err(taken(path)),
            // Some network file systems cannot promise it; there a look before has to do.
            Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(path).is_err() => fs::rename(part, path),
            outcome => outcome.map_err(io::Error::from),
        }
    };
    renamed.and_then(|()| sync_directory(path)).map_err(|error| failed("give its name to", path, error))
}

/// Returns what a report says of a file.
pub(super) fn report(path: &Path) -> Result<FileReport> {
    let metadata = fs::metadata(path).map_err(|error| failed("look at", path, error))?;
    Ok(FileReport { path: path.to_owned(), size_bytes: metadata.len(), allocated_bytes: metadata.blocks() * 512 })
}

/// Makes the error of a target that cannot be written.
pub(super) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room, or write to another place"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a directory that you may write to")
        }
        io::ErrorKind::NotFound => Some("make the directory first"),
        _ => None,
    };
    let made = Error::new(ErrorKind::Target, format!("{doing} {}", path.display())).with_source(error);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}
