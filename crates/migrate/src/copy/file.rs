//! A journal in a file beside what is copied.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use transfer::journal::Store;
use transfer::{Error, ErrorKind, Result};

/// Longest journal that is read: some 100 times that of a 64 TiB disk.
const JOURNAL_BYTES_MAX: u64 = 16 << 30;

/// The file of a journal, `.NAME.part.journal`.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
}

impl JournalFile {
    /// Opens the file, made when missing: readable by its owner only, never through a symbolic link, and
    /// locked as long as this value lives. The name is durable on return.
    ///
    /// # Errors
    /// [`ErrorKind::Sink`], also when somebody else has locked it, or [`ErrorKind::Full`].
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| Error::sink_io(format!("open the journal {}", path.display()), error);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
            let file = options.open(path).map_err(failed)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let context = format!("lock the journal {}: another process is writing this disk", path.display());
                    return Err(Error::new(ErrorKind::Sink, context));
                }
                Err(error) => return Err(failed(error.into())),
            }
            // Whoever held the lock before may have finished and removed the file meanwhile.
            let locked = file.metadata().map_err(failed)?;
            if std::fs::symlink_metadata(path)
                .is_ok_and(|named| named.ino() == locked.ino() && named.dev() == locked.dev())
            {
                sync_directory(path).map_err(failed)?;
                return Ok(Self { path: path.to_owned(), file });
            }
        }
    }

    /// Removes the file, durably: nothing is to be resumed any more.
    ///
    /// # Errors
    /// [`ErrorKind::Sink`].
    pub fn remove(self) -> Result<()> {
        let removed = std::fs::remove_file(&self.path).and_then(|()| sync_directory(&self.path));
        removed.map_err(|error| self.failed("remove", error))
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::sink_io(format!("{doing} the journal {}", self.path.display()), error)
    }
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)?.sync_all()
}

impl Store for JournalFile {
    fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| {
            (&self.file).take(JOURNAL_BYTES_MAX).read_to_end(&mut bytes)?;
            // Appends go to the end, wherever a cut has put it.
            self.file.seek(SeekFrom::End(0))
        });
        read.map_err(|error| self.failed("read", error))?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed("write to", error))
    }

    fn truncate(&mut self, len_bytes: u64) -> Result<()> {
        let cut = self.file.set_len(len_bytes).and_then(|()| self.file.seek(SeekFrom::Start(len_bytes)));
        cut.map(drop).map_err(|error| self.failed("cut", error))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.failed("sync", error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use transfer::Checkpoint;
    use transfer::journal::{Header, Journal, Source};

    use super::*;

    fn header() -> Header {
        let source = Source {
            vm: String::new(),
            disk: "d".into(),
            uuid: String::new(),
            capacity_bytes: 1 << 20,
            change_id: None,
            files: Vec::new(),
        };
        Header { source, road: "file".into(), format: "raw".into(), parameters: [].into(), chunk_bytes: 65536 }
    }

    fn commit(text: &str) -> transfer::journal::Commit {
        transfer::journal::Commit {
            entries: Vec::new(),
            checkpoint: Checkpoint::new(text.as_bytes().to_vec()).unwrap(),
        }
    }

    #[test]
    fn a_journal_in_a_file_goes_on_behind_a_torn_end_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".disk.raw.part.journal");
        let mut journal = Journal::create(JournalFile::open(&path).unwrap(), &header()).unwrap();
        journal.append(&commit("one")).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"torn"].concat()).unwrap();
        let (mut journal, recovered) = Journal::open(JournalFile::open(&path).unwrap()).unwrap();
        assert_eq!((recovered.cut_bytes, recovered.checkpoints.len()), (4, 1));
        journal.append(&commit("two")).unwrap();
        drop(journal);
        let (_, recovered) = Journal::open(JournalFile::open(&path).unwrap()).unwrap();
        assert_eq!((recovered.cut_bytes, recovered.checkpoints.len()), (0, 2));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn two_do_not_write_one_journal_and_a_removed_one_is_not_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = JournalFile::open(&path).unwrap();
        let error = JournalFile::open(&path).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        first.remove().unwrap();
        assert!(!path.exists());
        drop(JournalFile::open(&path).unwrap());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("journal"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(JournalFile::open(&path).unwrap_err().kind(), ErrorKind::Sink);
        assert!(!elsewhere.exists());
    }
}
