//! What is converted: a disk that is open for reading, and the files that hold it.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use diskimage::image::files::open_with_folder;
use diskimage::image::probe::probe_source;
use diskimage::image::{ByteSource, Disk, ExtentKind as Stored, FileSource, Files, Format, Identity, Image, extents};
use diskimage::raw::read::RawReader;
use diskimage::{qcow2, vmdk};
use transfer::chunk::CHUNK_BYTES;
use transfer::journal::{Header, Journal, MemoryStore, Progress, SourceFile, inspect};
use transfer::{Cancel, Checkpoint, Digests, Extent, ExtentKind, Order, RangeSource, Sink};

use super::error;
use crate::sink::Format as SinkFormat;
use crate::{Error, ErrorKind, Result, copy};

/// A disk that is open for reading, and every file that holds a part of it.
pub struct Source {
    name: String,
    disk: Box<dyn Disk>,
    files: Vec<Arc<dyn ByteSource>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<_> = self.files.iter().map(|file| file.name()).collect();
        f.debug_struct("Source").field("name", &self.name).field("files", &files).finish_non_exhaustive()
    }
}

impl Source {
    /// Takes a disk that is open. `name` is what a person calls it; `files` are all that its bytes and
    /// tables are in, down to the last parent: their sizes and times say whether it is still the same.
    pub fn new(name: impl Into<String>, disk: impl Disk + 'static, files: Vec<Arc<dyn ByteSource>>) -> Self {
        Self { name: name.into(), disk: Box::new(disk), files }
    }

    /// Opens the image that a user named, with everything that it names in its own folder. What has no
    /// signature is raw.
    ///
    /// # Errors
    /// `NotFound`, `Permission`; `Image` for what cannot be read as a disk.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = || -> diskimage::Result<Self> {
            let (source, folder, name) = open_with_folder(path)?;
            let format = probe_source(&*source)?;
            let files = Recorder::new(folder);
            let image = open_image(source.clone(), format, &name, &files)?;
            let mut all = vec![source];
            all.extend(files.opened());
            Ok(Self::new(path.display().to_string(), image, all))
        };
        opened().map_err(|reason| error::of_source(format!("open {}", path.display()), reason))
    }

    /// Opens what was written as `format`, whatever it looks like: a raw disk may begin like an image.
    pub(super) fn open_as(path: &Path, format: SinkFormat) -> Result<Self> {
        if format != SinkFormat::Raw {
            return Self::open(path);
        }
        let opened = FileSource::open(path).map(|source| -> Arc<dyn ByteSource> { Arc::new(source) });
        let opened =
            opened.and_then(|source| Ok((source.clone(), Image::new(vec![RawReader::open(source).into_link()])?)));
        let (source, image) = opened.map_err(|reason| error::of_source(format!("open {}", path.display()), reason))?;
        Ok(Self::new(path.display().to_string(), image, vec![source]))
    }

    /// Returns what a person calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the disk.
    #[must_use]
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Returns sizes and times of all files as they are now. The second value is false when a file
    /// does not tell its time, so that nobody can know whether it stays what it is.
    pub(super) fn files_now(&self) -> Result<(Vec<SourceFile>, bool)> {
        let mut known = true;
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let modified =
                file.modified().map_err(|reason| error::of_source(format!("look at {}", file.name()), reason))?;
            known &= modified.is_some();
            let modified = modified.map_or_else(|| "unknown".to_owned(), in_words);
            files.push(SourceFile { name: file.name().to_owned(), size_bytes: file.len_bytes(), modified });
        }
        Ok((files, known))
    }

    /// Refuses to write onto one of the files that are read, whatever name leads there.
    pub(super) fn refuse_as_target(&self, path: &Path) -> Result<()> {
        refuse_source(path, &self.files)
    }
}

/// Refuses to write to `path` when it is one of `files`, whatever name leads there.
pub(crate) fn refuse_source(path: &Path, files: &[Arc<dyn ByteSource>]) -> Result<()> {
    let Ok(found) = fs::metadata(path) else {
        return Ok(());
    };
    let same = |file: &&Arc<dyn ByteSource>| matches!(file.identity(), Identity::File { device, inode, .. } if (device, inode) == (found.dev(), found.ino()));
    match files.iter().find(same) {
        None => Ok(()),
        Some(file) => {
            let context = format!("write {}: the disk is read from it ({})", path.display(), file.name());
            Err(Error::new(ErrorKind::Usage, context).with_hint("name another file for the result"))
        }
    }
}

fn open_image(
    source: Arc<dyn ByteSource>,
    format: Option<Format>,
    name: &str,
    files: &dyn Files,
) -> diskimage::Result<Image> {
    match format {
        None => Image::new(vec![RawReader::open(source).into_link()]),
        Some(Format::Qcow2) => qcow2::read::open(source, name, files, qcow2::read::ReadOptions::default()),
        // It also says what is wrong with everything that is none.
        Some(_) => vmdk::read::open(source, name, files, vmdk::read::OpenOptions::default()),
    }
}

/// A time as text: seconds and nanoseconds since 1970.
fn in_words(time: SystemTime) -> String {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => format!("{}.{:09}", since.as_secs(), since.subsec_nanos()),
        Err(before) => format!("-{}.{:09}", before.duration().as_secs(), before.duration().subsec_nanos()),
    }
}

/// Opens what a disk names, and remembers it for [`Source::new`].
pub struct Recorder<F> {
    files: F,
    opened: Mutex<Vec<Arc<dyn ByteSource>>>,
}

impl<F> std::fmt::Debug for Recorder<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("opened", &self.opened().len()).finish_non_exhaustive()
    }
}

impl<F> Recorder<F> {
    /// Wraps what opens the files.
    pub fn new(files: F) -> Self {
        Self { files, opened: Mutex::default() }
    }

    /// Returns everything that was opened, in that order.
    pub fn opened(&self) -> Vec<Arc<dyn ByteSource>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<F: Files> Files for Recorder<F> {
    fn open(&self, name: &str) -> diskimage::Result<Arc<dyn ByteSource>> {
        let source = self.files.open(name)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(source.clone());
        Ok(source)
    }
}

/// A disk of [`diskimage`] as a source of a transfer.
pub(super) struct DiskSource<'a>(pub(super) &'a Source);

impl DiskSource<'_> {
    fn failed(&self, reason: diskimage::Error) -> transfer::Error {
        let kind = match reason.kind() {
            diskimage::ErrorKind::Misuse => transfer::ErrorKind::Bounds,
            // A damaged image does not mend by asking again.
            _ => transfer::ErrorKind::SourceGone,
        };
        transfer::Error::new(kind, format!("read {}", self.0.name)).with_source(reason)
    }
}

impl RangeSource for DiskSource<'_> {
    fn len_bytes(&self) -> u64 {
        self.0.disk.capacity_bytes()
    }

    fn extents(&self, range: Range<u64>) -> transfer::Result<Vec<Extent>> {
        // Asked for an empty range the readers would not notice that it is reversed, or outside.
        let mut pieces = if range.is_empty() {
            self.0.disk.extents(range).map(drop).map(|()| Vec::new())
        } else {
            extents(&*self.0.disk, range).map(|piece| piece.map(known)).collect()
        }
        .map_err(|reason| self.failed(reason))?;
        join_zeroes(&mut pieces);
        Ok(pieces)
    }

    fn read_range(&self, offset: u64, buf: &mut [u8]) -> transfer::Result<()> {
        self.0.disk.read_at(offset, buf).map_err(|reason| self.failed(reason))
    }
}

/// What a run of a disk is to a transfer. A hole of an [`Image`] lies in no link at all: it is zeros.
fn known(run: diskimage::image::Extent) -> Extent {
    let kind = match run.kind {
        Stored::Data => ExtentKind::Data,
        Stored::Zero | Stored::Hole => ExtentKind::Zero,
    };
    Extent { range: run.range, kind }
}

/// Makes one piece of neighbours that are zero for different reasons.
fn join_zeroes(pieces: &mut Vec<Extent>) {
    pieces.dedup_by(|next, last| {
        let join = next.kind == last.kind;
        if join {
            last.range.end = next.range.end;
        }
        join
    });
}

/// Reads a disk and returns the digest of its content, as [`super::Report::content_digest`] has it.
///
/// Equal digests of a source and of the image made of it prove the image by reading it back.
///
/// # Errors
/// `Image`, `Cancelled`.
pub fn digest(source: &Source, workers: usize, cancel: &Cancel) -> Result<[u8; 32]> {
    let failed = |reason| error::of_copy(format!("read {}", source.name), reason);
    let header = Header {
        source: transfer::journal::Source {
            vm: String::new(),
            disk: String::new(),
            uuid: String::new(),
            capacity_bytes: source.disk.capacity_bytes(),
            change_id: None,
            files: Vec::new(),
        },
        road: "file".to_owned(),
        format: "none".to_owned(),
        parameters: [].into(),
        chunk_bytes: CHUNK_BYTES,
    };
    let store = MemoryStore::default();
    let mut journal = Journal::create(store.clone(), &header).map_err(failed)?;
    let start = Progress::new(header.chunks().map_err(failed)?);
    let ends = copy::Ends { source: &DiskSource(source), sink: &Nowhere, cancel };
    copy::copy(&ends, &mut journal, &start, &copy::Options::local(workers), &()).map_err(failed)?;
    let read = inspect(&store.contents()).map_err(failed)?;
    read.progress.digest().ok_or_else(|| Error::new(ErrorKind::Internal, "read a disk: a part was left out"))
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn order(&self) -> Order {
        Order::Any
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> transfer::Result<()> {
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, _len_bytes: u64) -> transfer::Result<()> {
        Ok(())
    }

    fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> transfer::Result<()> {
        Err(transfer::Error::new(transfer::ErrorKind::Unsupported, "read back what was not kept"))
    }

    fn commit(&self) -> transfer::Result<Checkpoint> {
        Checkpoint::new(Vec::new())
    }

    fn finish(self: Box<Self>) -> transfer::Result<Digests> {
        Ok(Digests::default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diskimage::image::MemorySource;
    use diskimage::output::MemoryOutput;
    use diskimage::qcow2::write::{Options, Qcow2Writer};
    use transfer::conformance::range_source;

    use super::*;

    #[test]
    fn a_disk_keeps_the_contract_of_range_sources() {
        let mut content = vec![0; 300_032];
        content[70_000..90_000].fill(1);
        content[299_000..].fill(2);
        let output = MemoryOutput::default();
        let writer = Qcow2Writer::create(output.clone(), &Options::new(content.len() as u64)).unwrap();
        writer.write_at(0, &content).unwrap();
        writer.finish().unwrap();
        let reader = qcow2::read::Qcow2Reader::open(
            Arc::new(MemorySource::new(output.contents(), "x.qcow2")),
            qcow2::read::ReadOptions::default(),
        );
        let source = Source::new("x.qcow2", reader.unwrap(), Vec::new());
        for seed in 0..4 {
            range_source(&DiskSource(&source), &content, seed).unwrap();
        }
    }

    #[test]
    fn a_source_is_known_by_all_its_files_and_by_their_times_only() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("flat.vmdk"), [7; 1024]).unwrap();
        fs::write(at("disk.vmdk"), "# Disk DescriptorFile\ncreateType=\"vmfs\"\nRW 2 VMFS \"flat.vmdk\"\n").unwrap();
        let source = Source::open(&at("disk.vmdk")).unwrap();
        let (files, known) = source.files_now().unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.rsplit('/').next().unwrap()).collect();
        assert_eq!((names, known), (vec!["disk.vmdk", "flat.vmdk"], true));
        assert_eq!(files[1].size_bytes, 1024);
        let in_memory = RawReader::open(Arc::new(MemorySource::new(vec![1; 512], "m")));
        let unknown = Source::new("m", in_memory, vec![Arc::new(MemorySource::new(vec![1; 512], "m"))]);
        assert!(!unknown.files_now().unwrap().1);
    }

    #[test]
    fn times_are_told_apart_by_nanoseconds() {
        let second = |count| UNIX_EPOCH + Duration::from_secs(count);
        assert_eq!(in_words(second(5)), "5.000000000");
        assert_eq!(in_words(second(5) + Duration::from_nanos(40)), "5.000000040");
        assert_eq!(in_words(UNIX_EPOCH - Duration::from_nanos(1)), "-0.000000001");
    }
}
