//! Names inside of a file, and which of them may be opened.
//!
//! A descriptor names extents and a parent. It may come from anywhere, so that it must not be able
//! to name `/etc/shadow`: a name resolves below one folder, and the kernel sees to that (`openat2`
//! with `RESOLVE_BENEATH`), symbolic links included. A caller that knows where a datastore lies
//! says so with [`Folder::with_root`].
//!
//! Deliberately absent: searching. A file that is not where its name says is an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use super::source::{ByteSource, FileSource};
use crate::{Error, Result};

/// Longest name that is looked up, as in Linux.
const NAME_BYTES_MAX: usize = 4096;

/// Opens what a file names.
pub trait Files: Send + Sync {
    /// Opens a file by a name with `/` between its parts, relative to the root of these files.
    ///
    /// # Errors
    ///
    /// `Outside` when the name leads out of what may be read, `Io` when there is no such file or it
    /// cannot be opened, `Unsupported` when it is not a regular file.
    fn open(&self, name: &str) -> Result<Arc<dyn ByteSource>>;
}

/// A folder, and nothing outside of it.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
    path: String,
    /// Absolute names that begin so, and where they are.
    roots: Vec<(String, Self)>,
}

impl Folder {
    /// Opens a folder that the user named.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be opened or is no folder.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let folder = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::io("cannot open a folder", errno.into()).in_file(&shown))?;
        Ok(Self { folder, path: shown, roots: Vec::new() })
    }

    /// Lets absolute names below `prefix`, such as `/vmfs/volumes/datastore1`, lead into `folder`.
    #[must_use]
    pub fn with_root(mut self, prefix: &str, folder: Self) -> Self {
        self.roots.push((format!("{}/", prefix.trim_end_matches('/')), folder));
        self
    }
}

impl Files for Folder {
    fn open(&self, name: &str) -> Result<Arc<dyn ByteSource>> {
        for (prefix, folder) in &self.roots {
            if let Some(rest) = name.strip_prefix(prefix.as_str()) {
                return folder.open(rest);
            }
        }
        check_name(name)?;
        let flags = OFlags::RDONLY
            // A pipe without a writer must not keep us waiting.
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(&self.folder, name, flags, Mode::empty(), resolve);
        let file = File::from(opened.map_err(|errno| self.refusal(name, errno))?);
        let shown = format!("{}/{name}", self.path.trim_end_matches('/'));
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Err(Error::unsupported("a name inside of a disk leads to a regular file").in_file(&shown));
        }
        Ok(Arc::new(FileSource::new(file, shown)?))
    }
}

impl Folder {
    fn refusal(&self, name: &str, errno: Errno) -> Error {
        match errno {
            Errno::XDEV | Errno::LOOP => outside(name),
            Errno::NOSYS => Error::unsupported(
                "names inside of a disk are resolved by the kernel (openat2, Linux 5.6 or newer, not hidden by a sandbox)",
            )
            .found(format!("{name:?}")),
            errno => Error::io("cannot open a file that a disk names", errno.into())
                .found(format!("{name:?}"))
                .in_file(&self.path),
        }
    }
}

/// Sources by name: the members of an archive, or samples in a test.
#[derive(Clone, Default)]
pub struct NamedSources {
    sources: BTreeMap<String, Arc<dyn ByteSource>>,
}

impl NamedSources {
    /// Returns files of which there are none yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file; one of the same name goes.
    pub fn insert(&mut self, name: impl Into<String>, source: Arc<dyn ByteSource>) {
        self.sources.insert(name.into(), source);
    }
}

impl std::fmt::Debug for NamedSources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.sources.keys()).finish()
    }
}

impl Files for NamedSources {
    fn open(&self, name: &str) -> Result<Arc<dyn ByteSource>> {
        check_name(name)?;
        let plain = normalized(name).ok_or_else(|| outside(name))?;
        self.sources.get(&plain).cloned().ok_or_else(|| {
            let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
            Error::io("cannot open a file that a disk names", absent).found(format!("{name:?}"))
        })
    }
}

/// Nothing: for a file that stands alone.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn open(&self, name: &str) -> Result<Arc<dyn ByteSource>> {
        Err(outside(name))
    }
}

/// Opens a path that the user gave, with the folder in which it lies for what it names.
///
/// A symbolic link that the user gave is followed first: what a descriptor names lies beside the
/// descriptor. The third value is the name of the file in the folder.
///
/// # Errors
///
/// As [`FileSource::open`] and [`Folder::open`].
pub fn open_with_folder(path: &Path) -> Result<(Arc<dyn ByteSource>, Folder, String)> {
    let shown = path.display().to_string();
    let real = path.canonicalize().map_err(|error| Error::io("cannot open a file", error).in_file(&shown))?;
    let folder = Folder::open(real.parent().unwrap_or_else(|| Path::new("/")))?;
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((Arc::new(FileSource::open(&real)?), folder, name))
}

/// Returns the name of a file that `base` names, relative to what `base` is relative to.
pub(crate) fn beside(base: &str, name: &str) -> String {
    match base.rsplit_once('/') {
        Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
        _ => name.to_owned(),
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.starts_with('/') {
        return Err(outside(name));
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(Error::corrupt("a name inside of a disk has 1 to 4096 bytes, none of them zero")
            .found(format!("{} bytes", name.len())));
    }
    Ok(())
}

fn outside(name: &str) -> Error {
    Error::outside("a name inside of a disk stays in its folder").found(format!("{name:?}"))
}

/// Returns the name without `.` and `..`; `None` when it leads out.
fn normalized(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ErrorKind;

    fn kind(files: &dyn Files, name: &str) -> ErrorKind {
        files.open(name).map(|source| source.len_bytes()).unwrap_err().kind()
    }

    #[test]
    fn a_name_cannot_leave_its_folder_by_any_road() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("vm");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("disk.vmdk"), "disk").unwrap();
        symlink("../secret", folder.join("up")).unwrap();
        symlink("/proc/self/cwd", folder.join("magic")).unwrap();
        symlink("sub/../disk.vmdk", folder.join("inside")).unwrap();
        let files = Folder::open(&folder).unwrap();
        for name in ["disk.vmdk", "./disk.vmdk", "sub/../disk.vmdk", "inside"] {
            assert_eq!(files.open(name).unwrap().len_bytes(), 4, "{name}");
        }
        for name in ["../secret", "sub/../../secret", "up", "magic/Cargo.toml", "/etc/hostname"] {
            assert_eq!(kind(&files, name), ErrorKind::Outside, "{name}");
        }
        assert_eq!(kind(&files, "absent"), ErrorKind::Io);
        assert_eq!(kind(&files, ""), ErrorKind::Corrupt);
        assert_eq!(kind(&files, "sub"), ErrorKind::Unsupported);
    }

    #[test]
    fn an_absolute_name_leads_where_the_caller_says() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("vm")).unwrap();
        fs::create_dir_all(root.path().join("store/base")).unwrap();
        fs::write(root.path().join("store/base/base.vmdk"), "base").unwrap();
        let store = Folder::open(&root.path().join("store")).unwrap();
        let files = Folder::open(&root.path().join("vm")).unwrap().with_root("/vmfs/volumes/ds1/", store);
        assert_eq!(files.open("/vmfs/volumes/ds1/base/base.vmdk").unwrap().len_bytes(), 4);
        for name in ["/vmfs/volumes/ds2/base.vmdk", "/vmfs/volumes/ds1x", "/vmfs/volumes/ds1/../vm/x"] {
            assert_eq!(kind(&files, name), ErrorKind::Outside, "{name}");
        }
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let root = tempfile::tempdir().unwrap();
        let made = rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), Mode::RUSR | Mode::WUSR);
        made.unwrap();
        assert_eq!(kind(&Folder::open(root.path()).unwrap(), "pipe"), ErrorKind::Unsupported);
    }

    #[test]
    fn members_of_an_archive_are_found_by_their_plain_names() {
        let mut files = NamedSources::new();
        files.insert("a/disk.vmdk", Arc::new(super::super::MemorySource::new(vec![1; 3], "a/disk.vmdk")));
        assert_eq!(files.open("a/b/../disk.vmdk").unwrap().len_bytes(), 3);
        assert_eq!(kind(&files, "a/../../disk.vmdk"), ErrorKind::Outside);
        assert_eq!(kind(&files, "disk.vmdk"), ErrorKind::Io);
        assert_eq!(kind(&NoFiles, "disk.vmdk"), ErrorKind::Outside);
    }

    #[test]
    fn what_a_file_names_lies_beside_it() {
        assert_eq!(beside("disk.vmdk", "disk-flat.vmdk"), "disk-flat.vmdk");
        assert_eq!(beside("snap/disk.vmdk", "../base.vmdk"), "snap/../base.vmdk");
        assert_eq!(beside("snap/disk.vmdk", "/vmfs/x"), "/vmfs/x");
    }
}
