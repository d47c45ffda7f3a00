//! As whom, and below which directories, a job works on files.
//!
//! The daemon runs as root and works for many. What a job opens, makes, renames or removes, it does with the
//! rights of the one it works for: on a thread that has taken their user and groups by per-thread system calls.
//! Threads that such a thread starts have the same, so that the whole of a copy runs without root's.
//!
//! ```text
//!  daemon: Rights::of_user(uid, gid, groups) ─► scope(export) ─► each piece of blocking work ─► run ─► a thread
//!                          └─ below(roots): the output directory is walked to, and held open
//! ```
//!
//! A thread is made for each piece of work and ends with it: what has given up root's rights cannot take them
//! back, and must not be used for anybody else. It costs some tens of microseconds, where a piece of work is a
//! file to be made or a disk to be copied.
//!
//! **Invariant:** inside of an export or a conversion no path is used outside of [`run_current`] and the
//! `blocking` functions, which end with an error where no rights are set, and never with the process's own.
//!
//! What it does not do: it does not find out who asks (that is the daemon), and takes nothing from the network.

mod directory;

use std::cell::Cell;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io, thread};

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{Error, ErrorKind, Result};

pub(crate) use directory::Directory;

tokio::task_local! {
    /// The rights of the job that this task works for.
    static CURRENT: Rights;
}

thread_local! {
    /// True while this thread works on files with the rights of a job.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// As whom, and below which directories, files are worked on. By default as this process, anywhere.
#[derive(Clone, Default)]
pub struct Rights {
    /// `None` for the process's own.
    user: Option<User>,
    /// `None` for anywhere.
    roots: Option<Arc<[PathBuf]>>,
    /// Directories that are held open: the path that they are used by, and the one that people know.
    held: Arc<Mutex<Vec<(PathBuf, PathBuf)>>>,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    uid: Uid,
    gid: Gid,
    groups: Arc<[Gid]>,
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = self.user.as_ref().map(|user| user.uid.as_raw());
        f.debug_struct("Rights").field("uid", &uid).field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Rights {
    /// Returns the rights of a user with these groups, as the kernel has them for a process of theirs.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] when this process is neither root nor that user.
    pub fn of_user(uid: u32, gid: u32, groups: &[u32]) -> Result<Self> {
        let own = geteuid();
        if uid == own.as_raw() {
            return Ok(Self::default());
        }
        let refuse = |why: String| Err(Error::new(ErrorKind::Permission, format!("work for the user {uid}: {why}")));
        if !own.is_root() {
            return refuse(format!("this process runs as the user {own}, and only root can work for others"));
        }
        // The number that means "leave it as it is" to the kernel.
        if uid == u32::MAX || gid == u32::MAX || groups.contains(&u32::MAX) {
            return refuse("there is no such user or group".to_owned());
        }
        let groups = groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let user = User { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups };
        Ok(Self { user: Some(user), ..Self::default() })
    }

    /// Restricts where output directories may be to these directories and what is below them. No link is followed
    /// on the way from one of them.
    #[must_use]
    pub fn below(self, roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { roots: Some(roots.into_iter().collect()), ..self }
    }

    /// Runs `work`, which exports or converts, with these rights. Tasks that it spawns do not have them.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// Runs `work` with these rights, and returns when it has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when no thread can be started or the kernel does not let it take the user.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Some(user) = &self.user else { return Ok(entered(work)) };
        thread::scope(|scope| {
            let taken = || -> io::Result<T> {
                user.take()?;
                Ok(entered(work))
            };
            let thread = thread::Builder::new().name(format!("as {}", user.uid.as_raw())).spawn_scoped(scope, taken);
            let ended = thread.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            ended.and_then(|taken| taken).map_err(|error| {
                let context = format!("take the rights of the user {}", user.uid.as_raw());
                Error::new(ErrorKind::Internal, context).with_source(error)
            })
        })
    }
}

impl Rights {
    /// Remembers how people call a directory that is held open.
    fn hold(&self, path: &Path, shown: &Path) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), shown.to_owned()));
    }

    /// Says an error in the words of the caller, who knows held directories by their paths.
    pub(crate) fn name_in(&self, error: Error) -> Error {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().fold(error, |error, (path, shown)| {
            error.renamed(&format!("{}/", path.display()), &format!("{}/", shown.display()))
        })
    }
}

/// Does the work, and lets it be known meanwhile that this thread has a job's rights.
fn entered<T>(work: impl FnOnce() -> T) -> T {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            ENTERED.set(self.0);
        }
    }
    let _leave = Leave(ENTERED.replace(true));
    work()
}

impl User {
    /// Gives this thread the user for good.
    fn take(&self) -> io::Result<()> {
        // The user last: it is what the right to change the others hangs on.
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        Ok(())
    }
}

/// Returns the rights of this task's job; the process's own where nobody has set any. For the entries of this
/// crate, which set them again for everything inside.
pub(crate) fn at_entry() -> Rights {
    CURRENT.try_with(Rights::clone).unwrap_or_default()
}

/// Returns the rights of this task's job.
///
/// # Errors
/// [`ErrorKind::Internal`] where nobody has set any: a task was spawned on the way here.
pub(crate) fn current() -> Result<Rights> {
    let lost = |_| Error::new(ErrorKind::Internal, "work on files: the job's rights were lost on the way");
    CURRENT.try_with(Rights::clone).map_err(lost)
}

/// Runs a short piece of work with the rights of this task's job; at once on a thread that has them already.
///
/// # Errors
/// Those of [`current`] and [`Rights::run`], and those of the work.
pub(crate) fn run_current<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if ENTERED.get() { work() } else { current()?.run(work)? }
}

/// Gives a task that is about to be spawned the rights of this one; none when this has none.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let rights = CURRENT.try_with(Rights::clone).ok();
    async move {
        match rights {
            Some(rights) => rights.scope(work).await,
            None => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    use super::*;

    /// Two users that own nothing here.
    const ONE: u32 = 54_321;
    const OTHER: u32 = 54_322;
    const GROUP: u32 = 54_323;

    /// Says why a test that needs root does nothing.
    fn skipped(test: &str) -> bool {
        let root = geteuid().is_root();
        if !root {
            judges::skip(test, "only root can work for other users");
        }
        !root
    }

    fn mine(folder: &Path, name: &str, owner: u32, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn open_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        folder
    }

    #[test]
    fn a_user_writes_their_own_and_cannot_touch_what_is_anothers() {
        if skipped("a_user_writes_their_own_and_cannot_touch_what_is_anothers") {
            return;
        }
        let folder = open_folder();
        let (own, foreign) = (mine(folder.path(), "own", ONE, 0o700), mine(folder.path(), "foreign", OTHER, 0o700));
        fs::write(foreign.join("secret"), "x").unwrap();
        let secret = folder.path().join("roots");
        fs::write(&secret, "x").unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
        let rights = Rights::of_user(ONE, ONE, &[]).unwrap();
        let denied = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        };
        rights
            .run(|| {
                fs::write(own.join("file"), "x").unwrap();
                fs::rename(own.join("file"), own.join("renamed")).unwrap();
                denied(fs::read(foreign.join("secret")).map(drop));
                denied(fs::write(foreign.join("new"), "x"));
                denied(fs::remove_file(foreign.join("secret")));
                denied(fs::read(&secret).map(drop));
                denied(fs::write(folder.path().join("new"), "x"));
            })
            .unwrap();
        let written = own.join("renamed").metadata().unwrap();
        assert_eq!((written.uid(), written.gid()), (ONE, ONE));
        fs::read(secret).expect("this thread is root still");
    }

    #[test]
    fn threads_that_a_thread_starts_have_its_rights() {
        if skipped("threads_that_a_thread_starts_have_its_rights") {
            return;
        }
        let folder = open_folder();
        let rights = Rights::of_user(ONE, ONE, &[]).unwrap();
        let path = folder.path().join("new");
        let denied = rights.run(|| thread::spawn(move || fs::write(path, "x")).join().unwrap()).unwrap();
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn groups_count_and_root_s_do_not() {
        if skipped("groups_count_and_root_s_do_not") {
            return;
        }
        let folder = open_folder();
        let shared = mine(folder.path(), "shared", OTHER, 0o770);
        chown(&shared, None, Some(GROUP)).unwrap();
        let roots = mine(folder.path(), "roots", 0, 0o770);
        let write = |groups: &[u32], path: &Path| {
            Rights::of_user(ONE, ONE, groups).unwrap().run(|| fs::write(path.join("x"), "x").is_ok()).unwrap()
        };
        assert!(write(&[GROUP], &shared));
        assert!(!write(&[], &shared));
        assert!(!write(&[GROUP], &roots));
    }

    #[test]
    fn a_panic_is_passed_on_and_nobody_is_nobody() {
        assert!(Rights::of_user(geteuid().as_raw(), 0, &[]).unwrap().user.is_none());
        assert_eq!(Rights::of_user(u32::MAX, 0, &[]).unwrap_err().kind(), ErrorKind::Permission);
        if skipped("a_panic_is_passed_on_and_nobody_is_nobody") {
            return;
        }
        let rights = Rights::of_user(ONE, ONE, &[]).unwrap();
        std::panic::catch_unwind(|| rights.run(|| panic!("as the test wants it"))).unwrap_err();
    }

    #[tokio::test]
    async fn a_task_that_was_spawned_has_no_rights_at_all() {
        let rights = Rights::default().below(["/x".into()]);
        let work = async {
            let spawned = tokio::spawn(async { current() }).await.unwrap();
            let carried = tokio::spawn(carried(async { current() })).await.unwrap();
            (current(), spawned, carried, run_current(|| run_current(|| Ok(()))))
        };
        let (inside, spawned, carried, nested) = rights.scope(work).await;
        for rights in [inside.unwrap(), carried.unwrap()] {
            assert_eq!(rights.roots.as_deref(), Some(&["/x".into()][..]));
        }
        nested.unwrap();
        assert_eq!(spawned.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(run_current(|| Ok(())).unwrap_err().kind(), ErrorKind::Internal);
        assert!(at_entry().roots.is_none());
    }
}
