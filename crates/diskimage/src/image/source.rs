//! Where the bytes of a format come from: a file, a window of one, or memory.
//!
//! A source has a length that was taken when it was opened. A read beyond it is an error and never
//! zeros: a pointer past the end of its file is a broken pointer.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::disk::{Extent, ExtentKind, Runs};
use crate::number::u64_from;
use crate::{Error, Result};

/// Bytes of a known length that can be read at any place, by many threads at once.
pub trait ByteSource: Send + Sync {
    /// Returns the name that errors and reports use.
    fn name(&self) -> &str;

    /// Returns the length in bytes.
    fn len_bytes(&self) -> u64;

    /// Fills all of `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// `Truncated` when the range does not lie in the source, `Io` when reading fails; both name
    /// the source and the byte.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Returns which parts of `range` are stored ([`ExtentKind::Data`]) and which are holes that
    /// read as zeros ([`ExtentKind::Hole`]), under the rules of [`super::Disk::extents`].
    ///
    /// # Errors
    ///
    /// `Truncated` when the range does not lie in the source. A source that does not know says
    /// that everything is data.
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.check(&range)?;
        let mut runs = Runs::new(range.start);
        runs.extend_to(range.end, ExtentKind::Data);
        Ok(runs.into_list())
    }

    /// Returns what makes this source the same as another, whatever their names.
    fn identity(&self) -> Identity;

    /// Returns when somebody last wrote to it, as far as that is known; asked again it may be later.
    /// Of a block device it is not: its node says nothing about what is on it.
    ///
    /// # Errors
    ///
    /// `Io`.
    fn modified(&self) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    /// Checks that a range lies in the source.
    ///
    /// # Errors
    ///
    /// `Truncated`, naming the source and the first byte that is missing.
    fn check(&self, range: &Range<u64>) -> Result<()> {
        let len = self.len_bytes();
        if range.start <= range.end && range.end <= len {
            return Ok(());
        }
        Err(Error::truncated("a file is as long as what points into it says")
            .found(format!("{len} bytes instead of {} or more", range.end))
            .at(range.start)
            .in_file(self.name()))
    }
}

/// What makes two sources the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A file, or a window of one that begins at `start_bytes`.
    File {
        /// The device of the file system.
        device: u64,
        /// The number of the file there.
        inode: u64,
        /// Where the window begins; 0 for the file.
        start_bytes: u64,
    },
    /// Anything else, by a key that its maker chose.
    Key(String),
}

/// A file, or a block device that the user named.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    name: String,
    len_bytes: u64,
    identity: Identity,
}

impl FileSource {
    /// Opens a path that the user gave. What a file names is not for this.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be opened, `Unsupported` when it is neither a file nor a block device.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let flags = rustix::fs::OFlags::RDONLY
            // A pipe without a writer must not keep us waiting.
            | rustix::fs::OFlags::NONBLOCK
            | rustix::fs::OFlags::CLOEXEC
            | rustix::fs::OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
            .map_err(|errno| Error::io("cannot open a file", errno.into()).in_file(&name))?;
        Self::new(File::from(file), name)
    }

    /// Takes a file that is open for reading.
    ///
    /// # Errors
    ///
    /// `Io` when its length cannot be found, `Unsupported` when it is neither a file nor a block
    /// device.
    pub fn new(file: File, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let failed = |error| Error::io("cannot find the length of a file", error).in_file(&name);
        let metadata = file.metadata().map_err(failed)?;
        let len_bytes = if metadata.is_file() {
            metadata.len()
        } else if metadata.file_type().is_block_device() {
            seek(&file, SeekFrom::End(0)).map_err(|errno| failed(errno.into()))?
        } else {
            return Err(Error::unsupported("a disk is a regular file or a block device").in_file(&name));
        };
        let identity = Identity::File { device: metadata.dev(), inode: metadata.ino(), start_bytes: 0 };
        Ok(Self { file, name, len_bytes, identity })
    }

    /// Returns the next offset of data (or of a hole), `None` where the file system does not know.
    fn seek(&self, to: SeekFrom) -> Option<u64> {
        match seek(&self.file, to) {
            Ok(offset) => Some(offset.min(self.len_bytes)),
            // There is no data up to the end.
            Err(Errno::NXIO) => Some(self.len_bytes),
            Err(_) => None,
        }
    }
}

impl ByteSource for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(&(offset..offset.saturating_add(u64_from(buf.len()))))?;
        self.file.read_exact_at(buf, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::truncated("a file keeps its length while it is read").at(offset).in_file(&self.name)
            }
            _ => Error::io("cannot read a file", error).at(offset).in_file(&self.name),
        })
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.check(&range)?;
        let mut runs = Runs::new(range.start);
        while runs.end() < range.end && !runs.is_full() {
            let here = runs.end();
            let Some(data) = self.seek(SeekFrom::Data(here)).filter(|&data| data >= here) else {
                runs.extend_to(range.end, ExtentKind::Data);
                break;
            };
            runs.extend_to(data.min(range.end), ExtentKind::Hole);
            if data >= range.end {
                break;
            }
            let end = self.seek(SeekFrom::Hole(data)).filter(|&end| end > data).unwrap_or(range.end);
            runs.extend_to(end.min(range.end), ExtentKind::Data);
        }
        Ok(runs.into_list())
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn modified(&self) -> Result<Option<SystemTime>> {
        let metadata = self.file.metadata();
        let modified = metadata.and_then(|found| found.is_file().then(|| found.modified()).transpose());
        modified.map_err(|error| Error::io("cannot look at a file", error).in_file(&self.name))
    }
}

/// A part of another source, such as a member of an archive.
#[derive(Clone)]
pub struct Window {
    source: Arc<dyn ByteSource>,
    name: String,
    start_bytes: u64,
    len_bytes: u64,
}

impl Window {
    /// Returns the window on `range` of a source, under a name of its own.
    ///
    /// # Errors
    ///
    /// `Truncated` when the range does not lie in the source.
    pub fn new(source: Arc<dyn ByteSource>, range: Range<u64>, name: impl Into<String>) -> Result<Self> {
        source.check(&range)?;
        Ok(Self { source, name: name.into(), start_bytes: range.start, len_bytes: range.end - range.start })
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("name", &self.name)
            .field("source", &self.source.name())
            .field("start_bytes", &self.start_bytes)
            .field("len_bytes", &self.len_bytes)
            .finish()
    }
}

impl ByteSource for Window {
    fn name(&self) -> &str {
        &self.name
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(&(offset..offset.saturating_add(u64_from(buf.len()))))?;
        self.source.read_at(self.start_bytes + offset, buf)
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.check(&range)?;
        let mut extents = self.source.extents(self.start_bytes + range.start..self.start_bytes + range.end)?;
        for extent in &mut extents {
            extent.range = extent.range.start - self.start_bytes..extent.range.end - self.start_bytes;
        }
        Ok(extents)
    }

    fn identity(&self) -> Identity {
        match self.source.identity() {
            Identity::File { device, inode, start_bytes } => {
                Identity::File { device, inode, start_bytes: start_bytes + self.start_bytes }
            }
            Identity::Key(key) => Identity::Key(format!("{key}+{}", self.start_bytes)),
        }
    }

    fn modified(&self) -> Result<Option<SystemTime>> {
        self.source.modified()
    }
}

/// Bytes in memory.
#[derive(Clone, Debug)]
pub struct MemorySource {
    bytes: Arc<[u8]>,
    name: String,
}

impl MemorySource {
    /// Returns a source of these bytes; two of one name count as the same source.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>, name: impl Into<String>) -> Self {
        Self { bytes: bytes.into(), name: name.into() }
    }
}

impl ByteSource for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len_bytes(&self) -> u64 {
        u64_from(self.bytes.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(&(offset..offset.saturating_add(u64_from(buf.len()))))?;
        let start = usize::try_from(offset).expect("the range was checked against a length in memory");
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }

    fn identity(&self) -> Identity {
        Identity::Key(self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_read_beyond_the_end_is_an_error_that_names_file_and_byte() {
        let memory = MemorySource::new(vec![7; 10], "x.vmdk");
        let mut buf = [0; 4];
        memory.read_at(6, &mut buf).unwrap();
        for offset in [7, 10, u64::MAX - 1] {
            let error = memory.read_at(offset, &mut buf).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated);
            assert!(error.to_string().ends_with(&format!("(at byte {offset} of x.vmdk)")), "{error}");
        }
    }

    #[test]
    fn a_window_ends_where_it_was_cut_and_not_where_its_source_ends() {
        let memory = Arc::new(MemorySource::new((0..100).collect::<Vec<u8>>(), "x.ova"));
        let window = Window::new(memory.clone(), 20..50, "disk.vmdk").unwrap();
        let mut buf = [0; 2];
        window.read_at(28, &mut buf).unwrap();
        assert_eq!(buf, [48, 49]);
        assert_eq!(window.read_at(29, &mut buf).unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(window.extents(3..30).unwrap(), [Extent { range: 3..30, kind: ExtentKind::Data }]);
        assert_ne!(window.identity(), memory.identity());
        assert_eq!(Window::new(memory, 90..101, "y").unwrap_err().kind(), ErrorKind::Truncated);
    }

    #[test]
    fn the_holes_of_a_sparse_file_are_known() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(16 << 20).unwrap();
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.flush().unwrap();
        let source = FileSource::new(file, "sparse").unwrap();
        let runs = source.extents(0..16 << 20).unwrap();
        let data: u64 = runs.iter().filter(|run| run.kind == ExtentKind::Data).map(Extent::len_bytes).sum();
        assert!((4096..8 << 20).contains(&data), "{runs:?}");
        assert_eq!(runs.last().unwrap().range.end, 16 << 20);
    }

    #[test]
    fn a_file_says_when_it_was_written_to_and_memory_does_not_know() {
        let file = tempfile::tempfile().unwrap();
        let first = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        file.set_modified(first).unwrap();
        let source: Arc<dyn ByteSource> = Arc::new(FileSource::new(file.try_clone().unwrap(), "x").unwrap());
        let window = Window::new(source.clone(), 0..0, "y").unwrap();
        assert_eq!((source.modified().unwrap(), window.modified().unwrap()), (Some(first), Some(first)));
        file.set_modified(first + std::time::Duration::from_nanos(1)).unwrap();
        assert_ne!(source.modified().unwrap(), Some(first), "it is looked at anew");
        assert_eq!(MemorySource::new(Vec::new(), "x").modified().unwrap(), None);
    }

    #[test]
    fn a_pipe_or_folder_is_not_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(FileSource::open(folder.path()).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(FileSource::open(&folder.path().join("absent")).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(FileSource::open(Path::new("/dev/null")).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
