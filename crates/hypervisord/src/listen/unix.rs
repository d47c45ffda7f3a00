//! The daemon's own Unix socket: 0660, for one group.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::net::{UnixListener, UnixStream};

/// The name of a socket that this process made; removed when dropped.
#[derive(Debug)]
pub(crate) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody is left to tell, and the next start removes it as well.
        drop(fs::remove_file(&self.0));
    }
}

/// Listens on `path`, for its owner and `group`.
///
/// A socket that nobody answers on any more is replaced; anything else under that name is not.
///
/// # Errors
/// When another daemon answers there, something else stands there, or listening fails.
pub(crate) async fn bind(path: &Path, group: Option<u32>) -> anyhow::Result<(UnixListener, Socket)> {
    let shown = path.display();
    clear(path).await?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("make the directory {}", directory.display()))?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {shown}"))?;
    let socket = Socket(path.to_owned());
    // Until here it has the umask's mode, and root's group: whoever connects meanwhile is known by their user
    // all the same.
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group).with_context(|| format!("give {shown} to its group"))?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(|| format!("close {shown} to others"))?;
    Ok((listener, socket))
}

async fn clear(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("look at {shown}")),
    };
    if !metadata.file_type().is_socket() {
        bail!("listen on {shown}: something stands there that is no socket");
    }
    match UnixStream::connect(path).await {
        Ok(_) => bail!("listen on {shown}: another daemon does"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("remove the dead socket {shown}"))
        }
        Err(error) => Err(error).with_context(|| format!("look who listens on {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/socket");
        let (live, socket) = bind(&path, None).await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(format!("{:#}", bind(&path, None).await.unwrap_err()).contains("another daemon"));
        std::mem::forget(socket);
        drop(live);
        let (_live, socket) = bind(&path, None).await.unwrap();
        drop(socket);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(format!("{:#}", bind(&path, None).await.unwrap_err()).contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[tokio::test]
    async fn the_group_may_use_it_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let own = rustix::process::getegid().as_raw();
        let (_listener, _socket) = bind(&path, Some(own)).await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    }
}
