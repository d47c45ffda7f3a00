//! Where a private child keeps its jobs.
//!
//! In the user's own state, so that the next command can say what became of the last one. One child per store: a second
//! one that runs at the same time takes the next. Where none can be used, jobs live beside the socket and go with it;
//! an export must not fail because of what is only its diary.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::store::{ErrorKind, Store};

/// Commands that may run at once, each with a store that lasts.
const STORES_MAX: usize = 16;

/// What is to be done with the place of the store at the end.
#[derive(Debug)]
pub(super) enum Kept {
    /// It stays.
    Lasting,
    /// It goes with the process.
    Passing(PathBuf),
}

impl Kept {
    /// Removes what does not stay. The socket's directory is removed by then when nothing else was in it.
    pub(super) fn end(self) {
        let Self::Passing(directory) = self else { return };
        let removed = fs::remove_dir_all(&directory).and_then(|()| match directory.parent() {
            Some(parent) => fs::remove_dir(parent),
            None => Ok(()),
        });
        if let Err(reason) = removed {
            tracing::debug!(%reason, "the passing store was not removed");
        }
    }
}

/// Opens the first store that no other child has.
pub(super) fn open(lookup: &dyn Fn(&str) -> Option<OsString>, beside: &Path) -> anyhow::Result<(Store, Kept)> {
    for number in 0..STORES_MAX {
        let Some(directory) = state_home(lookup) else { break };
        match Store::open(&directory.join(format!("hypersdk/private-{number}"))) {
            Ok(store) => return Ok((store, Kept::Lasting)),
            Err(error) if error.kind() == ErrorKind::Locked => {}
            Err(error) => {
                tracing::warn!(error = %error.chain(), "this command's job is not remembered after it");
                break;
            }
        }
    }
    let directory = beside.join("store");
    let store = Store::open(&directory).map_err(|error| anyhow!("{}", error.chain()))?;
    Ok((store, Kept::Passing(directory)))
}

/// Returns where programs of this user keep what should last (XDG base directories).
fn state_home(lookup: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| lookup(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_at_the_same_time_have_stores_of_their_own_and_the_next_finds_the_first() {
        let home = tempfile::tempdir().unwrap();
        let lookup = |name: &str| (name == "HOME").then(|| home.path().into());
        let (first, kept) = open(&lookup, home.path()).unwrap();
        assert!(matches!(kept, Kept::Lasting));
        let (second, _) = open(&lookup, home.path()).unwrap();
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        assert!(path.starts_with(home.path().join(".local/state/hypersdk")));
        first.close();
        drop(first);
        assert_eq!(open(&lookup, home.path()).unwrap().0.path(), path);
    }

    #[test]
    fn where_nothing_can_be_kept_the_store_goes_with_the_socket() {
        let beside = tempfile::tempdir().unwrap();
        for home in [None, Some(OsString::from("/proc/nowhere")), Some(OsString::from("relative"))] {
            let (store, kept) = open(&|_| home.clone(), beside.path()).unwrap();
            assert!(store.path().starts_with(beside.path()));
            drop(store);
            kept.end();
            assert!(!beside.path().exists());
            fs::create_dir(beside.path()).unwrap();
        }
    }
}
