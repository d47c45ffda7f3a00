//! From the disks of a subject to sources of a conversion.
//!
//! A disk in a compressed archive can be read from front to back only, and the formats need to be read at
//! any place. It is unpacked into a file without a name beside the target, which is gone with this process.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use diskimage::image::{ByteSource, Disk, Extent, ExtentKind, FileSource};
use transfer::Cancel;

use super::{Work, paths};
use crate::convert::{Source, refuse_source};
use crate::subject::{Content, OpenedImage, Packed, SubjectDisk};
use crate::{Error, ErrorKind, Result};

/// Piece of one read while unpacking.
const PIECE_BYTES: usize = 1 << 20;

/// Opens a disk of the subject at `path` for a conversion; `beside` is the target that it is unpacked beside,
/// where it must be.
pub(super) fn of_disk(work: &Work<'_>, path: &Path, disk: SubjectDisk, beside: &Path) -> Result<Source> {
    let shown = if disk.name.is_empty() { "a blank disk".to_owned() } else { disk.name.clone() };
    let about = format!("convert {}", work.request.source.display());
    match disk.content {
        Content::Image(opened) => Ok(of_image(shown, opened)),
        Content::Unreadable(error) => Err(error.about(&format!("{about}: {shown}"))),
        Content::Packed(packed) => {
            let image = unpack(work, &packed, beside).map_err(|error| error.about(&format!("{about}: {shown}")))?;
            // What it was unpacked from says whether it is still the same disk.
            Ok(Source::new(shown, image.image, packed.files(path)?))
        }
        Content::Blank => {
            let capacity = disk.declared_bytes.filter(|bytes| bytes.is_multiple_of(512) && *bytes > 0);
            let capacity = capacity
                .ok_or_else(|| Error::new(ErrorKind::Image, format!("{about}: nothing says how large {shown} is")))?;
            let described: Arc<dyn ByteSource> = Arc::new(FileSource::open(path)?);
            Ok(Source::new(shown, Blank(capacity), vec![described]))
        }
    }
}

fn of_image(shown: String, opened: OpenedImage) -> Source {
    Source::new(shown, opened.image, opened.files)
}

/// Refuses to write to `target` when a part of `disk` is read from it.
pub(super) fn refuse_as_target(path: &Path, disk: &SubjectDisk, target: &Path) -> Result<()> {
    match &disk.content {
        Content::Image(opened) => refuse_source(target, &opened.files),
        Content::Packed(packed) => refuse_source(target, &packed.files(path)?),
        Content::Blank | Content::Unreadable(_) => Ok(()),
    }
}

/// Returns the capacity of a disk before it is opened for conversion, as far as it is known.
pub(super) fn capacity(disk: &SubjectDisk) -> u64 {
    match &disk.content {
        Content::Image(opened) => opened.image.capacity_bytes(),
        _ => disk.declared_bytes.unwrap_or_default(),
    }
}

fn unpack(work: &Work<'_>, packed: &Packed, beside: &Path) -> Result<OpenedImage> {
    work.meter.warning(
        "the package is compressed as a whole: its disks are unpacked beside the target first, which takes room there",
    );
    let path = paths::hidden(beside, &format!(".unpacked-{}", std::process::id()))?;
    let mut file = nameless(&path).map_err(|error| paths::failed("unpack into", &path, error))?;
    write_sparse(packed.reader()?, &mut file, work.cancel, &path)?;
    let source = FileSource::new(file, path.display().to_string())?;
    packed.open_unpacked(Arc::new(source))
}

/// Makes a file that has no name any more.
fn nameless(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

fn write_sparse(mut reader: impl Read, file: &mut File, cancel: &Cancel, path: &Path) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut len_bytes: u64 = 0;
    loop {
        cancel.check("unpack")?;
        let got = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(of_reading(error)),
        };
        let wrote = if piece[..got].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(i64::try_from(got).unwrap_or(i64::MAX))).map(drop)
        } else {
            file.write_all(&piece[..got])
        };
        wrote.map_err(|error| paths::failed("unpack into", path, error))?;
        len_bytes = len_bytes.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
    }
    file.set_len(len_bytes).map_err(|error| paths::failed("unpack into", path, error))
}

/// The readers of packages put their own errors into those of the system.
fn of_reading(error: std::io::Error) -> Error {
    match error.downcast::<diskimage::Error>() {
        Ok(reason) => reason.into(),
        Err(error) => Error::from_io("read the package", error),
    }
}

/// A disk that has no file: zeros.
struct Blank(u64);

impl Disk for Blank {
    fn capacity_bytes(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _offset: u64, buf: &mut [u8]) -> diskimage::Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> diskimage::Result<Vec<Extent>> {
        Ok(if range.is_empty() { Vec::new() } else { vec![Extent { range, kind: ExtentKind::Hole }] })
    }
}
