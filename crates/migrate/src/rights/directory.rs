//! The directory that a job writes into.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::Rights;
use crate::{Error, ErrorKind, Result};

/// Mode of directories that are made, before the umask.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// A directory that is there, under the name that people use and the one that files are opened by.
///
/// Below roots the two differ: the directory was walked to, one name at a time and through no link, and is held
/// open. What happens to its path from then on changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    shown: PathBuf,
    path: PathBuf,
    /// What `path` speaks of.
    _held: Option<Arc<OwnedFd>>,
}

impl Directory {
    /// Makes the directory where it is missing. To be called with the job's rights.
    ///
    /// # Errors
    /// [`ErrorKind::Target`]: it is below none of the roots, a link is on the way, or it cannot be made.
    pub(crate) fn make(rights: &Rights, path: &Path) -> Result<Self> {
        let doing = || format!("make the directory {}", path.display());
        let Some(roots) = &rights.roots else {
            fs::create_dir_all(path).map_err(|error| failed(doing(), error))?;
            return Ok(Self { shown: path.to_owned(), path: path.to_owned(), _held: None });
        };
        let below = roots.iter().find_map(|root| Some((root, names(path.strip_prefix(root).ok()?)?)));
        let Some((root, names)) = below else {
            let context = format!("write into {}: it is below none of the directories for exports", path.display());
            return Err(Error::new(ErrorKind::Target, context)
                .with_hint("the configured ones stand in exports.roots; callers over the socket write anywhere"));
        };
        let held = walk(root, &names).map_err(|error| failed(doing(), error))?;
        let path_of_held = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        rights.hold(&path_of_held, path);
        Ok(Self { shown: path.to_owned(), path: path_of_held, _held: Some(Arc::new(held)) })
    }

    /// Returns the path to open files by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path for people.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }
}

/// Returns the names of a path that only goes down.
fn names(path: &Path) -> Option<Vec<&Path>> {
    let name = |component| match component {
        Component::Normal(name) => Some(Path::new(name)),
        _ => None,
    };
    path.components().map(name).collect()
}

/// Opens what stands below `root`, making what is missing.
fn walk(root: &Path, names: &[&Path]) -> io::Result<OwnedFd> {
    // The root is the administrator's choice, and may be a link.
    let mut held = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for name in names {
        held = match enter(&held, name) {
            Err(Errno::NOENT) => {
                match mkdirat(&held, *name, DIRECTORY_MODE) {
                    // Another export of the same caller was faster.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                enter(&held, name)?
            }
            entered => entered?,
        };
    }
    Ok(held)
}

/// Opens one directory in another. One name without a slash cannot lead anywhere else, and a link is no directory
/// to this call: the same as `openat2` with `RESOLVE_BENEATH`, on kernels that lack it as well.
fn enter(held: &OwnedFd, name: &Path) -> rustix::io::Result<OwnedFd> {
    openat(held, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn failed(doing: String, error: io::Error) -> Error {
    let hint = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOTDIR | Errno::LOOP) => "something on the way is a link or a file; links are not followed there",
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => "choose a directory that you may write to",
        Some(Errno::NOSPC | Errno::DQUOT) => "make room, or choose another directory",
        _ => "check the directory",
    };
    Error::new(ErrorKind::Target, doing).with_hint(hint).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    fn below(root: &Path) -> Rights {
        Rights::default().below([root.to_owned()])
    }

    #[test]
    fn what_is_missing_is_made_below_a_root_and_used_by_what_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("exports");
        fs::create_dir(&root).unwrap();
        let rights = below(&root);
        let directory = Directory::make(&rights, &root.join("a/b")).unwrap();
        // Whatever becomes of the path, the directory is the one that was made.
        fs::rename(root.join("a"), root.join("moved")).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(directory.path().join("x"), "x").unwrap();
        assert!(root.join("moved/b/x").exists() && !root.join("a/b/x").exists());
        assert_eq!(directory.shown(), root.join("a/b"));
        let error = Error::new(ErrorKind::Target, format!("write {}", directory.path().join("x").display()));
        assert_eq!(rights.name_in(error).to_string(), format!("write {}", root.join("a/b/x").display()));
        Directory::make(&rights, &root).unwrap();
    }

    #[test]
    fn ways_out_of_a_root_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("exports"), folder.path().join("outside"));
        fs::create_dir_all(root.join("in")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../outside", root.join("relative")).unwrap();
        symlink("in", root.join("inside")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        for path in [
            root.join("../outside/x"),
            root.join("in/../../outside/x"),
            root.join("absolute/x"),
            root.join("relative/x"),
            root.join("inside/x"),
            root.join("file/x"),
            outside.join("x"),
            folder.path().join("exports2"),
            PathBuf::from("/"),
            PathBuf::from("relative"),
        ] {
            let error = Directory::make(&below(&root), &path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Target, "{}", path.display());
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(fs::read_dir(root.join("in")).unwrap().count(), 0);
        assert_eq!(Directory::make(&below(&root), &root.join("./in//y")).unwrap().shown(), root.join("./in//y"));
        let nowhere = Rights::default().below([]);
        assert_eq!(Directory::make(&nowhere, &root).unwrap_err().kind(), ErrorKind::Target);
    }

    #[test]
    fn a_directory_that_turns_into_a_link_meanwhile_leads_nowhere() {
        const TRIES: usize = 2000;
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("exports"), folder.path().join("outside"));
        fs::create_dir_all(root.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        let done = AtomicBool::new(false);
        let entered = thread::scope(|scope| {
            scope.spawn(|| {
                // Always a link or a directory under the same name, and never neither.
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                while !done.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, root.join("real"), CWD, root.join("link"), exchange).unwrap();
                }
            });
            let tries = (0..TRIES).map(|number| {
                let made = Directory::make(&below(&root), &root.join(format!("real/{number}")));
                made.is_ok_and(|directory| fs::write(directory.path().join("x"), "x").is_ok())
            });
            let entered = tries.filter(|entered| *entered).count();
            done.store(true, Ordering::Relaxed);
            entered
        });
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was made outside");
        println!("{entered} of {TRIES} found the directory");
    }

    #[test]
    fn without_roots_a_path_is_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        symlink(folder.path(), folder.path().join("link")).unwrap();
        let path = folder.path().join("link/new");
        let directory = Directory::make(&Rights::default(), &path).unwrap();
        assert_eq!((directory.path(), directory.shown()), (path.as_path(), path.as_path()));
        assert!(folder.path().join("new").is_dir());
    }
}
