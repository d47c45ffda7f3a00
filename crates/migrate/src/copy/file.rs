//! A journal in a file beside what is copied.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use transfer::journal::Store;
use transfer::{Error, Result};

/// Longest journal that is read: some 100 times that of a 64 TiB disk.
const JOURNAL_BYTES_MAX: u64 = 16 << 30;

/// The file of a journal, `.NAME.part.journal`.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
}

impl JournalFile {
    /// Opens the file, made when missing: readable by its owner only, and never through a symbolic
    /// link. The name is durable on return.
    ///
    /// # Errors
    /// [`transfer::ErrorKind::Sink`] or [`transfer::ErrorKind::Full`].
    pub fn open(path: &Path) -> Result<Self> {
        let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(nofollow);
        let failed = |error| Error::sink_io(format!("open the journal {}", path.display()), error);
        let file = options.open(path).map_err(failed)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::sink_io(format!("{doing} the journal {}", self.path.display()), error)
    }
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

    use transfer::journal::{Header, Journal, Source};
    use transfer::{Checkpoint, ErrorKind};

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
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"torn"].concat()).unwrap();
        let (mut journal, recovered) = Journal::open(JournalFile::open(&path).unwrap()).unwrap();
        assert_eq!((recovered.cut_bytes, recovered.checkpoints.len()), (4, 1));
        journal.append(&commit("two")).unwrap();
        let (_, recovered) = Journal::open(JournalFile::open(&path).unwrap()).unwrap();
        assert_eq!((recovered.cut_bytes, recovered.checkpoints.len()), (0, 2));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
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
