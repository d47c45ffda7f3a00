//! Small files that matter: written whole or not at all, readable by whom they are for.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes `content` under `path` in place of what is there. The name is durable on return; a reader or a crash
/// sees the old content or the new.
///
/// The file has `mode` and belongs to `group`, where one is given, before it has a name that anybody knows.
///
/// # Errors
/// When any of it fails; nothing is left then.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32, group: Option<u32>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    let written = place(&fresh, path, content, mode, group);
    if written.is_err() {
        // Best effort: the error that is reported is the first one.
        drop(fs::remove_file(&fresh));
    }
    written
}

fn place(fresh: &Path, path: &Path, content: &[u8], mode: u32, group: Option<u32>) -> io::Result<()> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    file.write_all(content)?;
    if group.is_some() {
        std::os::unix::fs::fchown(&file, None, group)?;
    }
    // After the change of group, and not by the mode of the open, which the umask cuts.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(fresh, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_replaces_what_is_there_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "a much longer older text").unwrap();
        fs::write(folder.path().join(".token.new"), "left by a crash").unwrap();
        write(&path, b"new", 0o640, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
