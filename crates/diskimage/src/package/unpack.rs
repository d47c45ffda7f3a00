//! Streams of bytes: from a source, through a decompressor, up to a limit.
//!
//! Errors of this crate travel through [`std::io::Read`] inside of an [`io::Error`] and come out
//! whole again with [`error_of`].
//!
//! Deliberately absent: random access into compressed data, and memory that grows with what is
//! declared: xz may ask for a dictionary of up to [`XZ_MEMORY_KIB_MAX`].

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use lzma_rust2::XzReader;

use crate::image::ByteSource;
use crate::image::probe::PROBE_BYTES;
use crate::number::{clip, u64_from};
use crate::{Error, Result};

/// Memory that an xz stream may ask for: `xz -9` takes 65 MiB.
pub const XZ_MEMORY_KIB_MAX: u32 = 96 << 10;

/// How much compressed data is read at a time.
const INPUT_LEN: usize = 256 << 10;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip, of any number of members.
    Gzip,
    /// xz, of any number of streams.
    Xz,
    /// Deflate without a frame, as in a zip archive.
    Deflate,
}

impl Packing {
    /// Returns how a file that begins with these bytes is packed as a whole.
    #[must_use]
    pub fn of_start(start: &[u8]) -> Option<Self> {
        if start.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if start.starts_with(b"\xfd7zXZ\0") {
            Some(Self::Xz)
        } else {
            None
        }
    }

    /// Returns the word for messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Deflate => "deflate",
        }
    }
}

/// Reads a source from its start.
pub(super) struct SourceReader {
    source: Arc<dyn ByteSource>,
    offset: u64,
}

impl SourceReader {
    pub(super) fn new(source: Arc<dyn ByteSource>) -> Self {
        Self { source, offset: 0 }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = clip(buffer.len(), self.source.len_bytes() - self.offset);
        self.source.read_at(self.offset, &mut buffer[..len]).map_err(io::Error::other)?;
        self.offset += u64_from(len);
        Ok(len)
    }
}

/// Unpacks a stream. After an error it gives nothing but errors.
pub(super) struct Unpacked {
    decoder: Decoder,
    /// What is unpacked, for messages.
    name: String,
    packing: Packing,
    has_failed: bool,
}

type Input = BufReader<Box<dyn Read + Send>>;

enum Decoder {
    Gzip(Box<MultiGzDecoder<Input>>),
    Xz(Box<XzReader<Input>>),
    Deflate(Box<DeflateDecoder<Input>>),
}

impl Unpacked {
    pub(super) fn new(source: Arc<dyn ByteSource>, packing: Packing) -> Self {
        let name = source.name().to_owned();
        Self::of_reader(Box::new(SourceReader::new(source)), packing, &name)
    }

    /// Unpacks what another reader gives.
    pub(super) fn of_reader(input: Box<dyn Read + Send>, packing: Packing, name: &str) -> Self {
        let input = BufReader::with_capacity(INPUT_LEN, input);
        let decoder = match packing {
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Packing::Xz => Decoder::Xz(Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB_MAX))),
            Packing::Deflate => Decoder::Deflate(Box::new(DeflateDecoder::new(input))),
        };
        Self { decoder, name: name.to_owned(), packing, has_failed: false }
    }

    fn wrap(&self, error: io::Error) -> io::Error {
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>) {
            return error;
        }
        let found = self.packing.word();
        let wrapped = match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::truncated("packed data are complete"),
            io::ErrorKind::OutOfMemory => Error::limit("packed data need at most 96 MiB of memory"),
            _ => Error::corrupt("packed data follow the rules of their packing"),
        };
        io::Error::other(wrapped.found(found).in_file(&self.name).caused_by(error))
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_failed {
            let error = Error::misuse("nothing is read after an error").in_file(&self.name);
            return Err(io::Error::other(error));
        }
        let got = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Xz(decoder) => decoder.read(buffer),
            Decoder::Deflate(decoder) => decoder.read(buffer),
        };
        got.map_err(|error| {
            self.has_failed = true;
            self.wrap(error)
        })
    }
}

/// Reads no more than a stream may have, and knows when it has to end.
pub(super) struct Bounded<R> {
    inner: R,
    name: String,
    left: u64,
    /// Whether it must have exactly as much.
    is_exact: bool,
}

impl<R: Read> Bounded<R> {
    /// Reads a stream of exactly this length.
    pub(super) fn exactly(inner: R, len_bytes: u64, name: &str) -> Self {
        Self { inner, name: name.to_owned(), left: len_bytes, is_exact: true }
    }

    /// Reads a stream of this length or less.
    pub(super) fn at_most(inner: R, len_bytes: u64, name: &str) -> Self {
        Self { inner, name: name.to_owned(), left: len_bytes, is_exact: false }
    }

    /// Checks that the stream ends where it must.
    fn end(&mut self) -> io::Result<usize> {
        let mut beyond = [0];
        if self.inner.read(&mut beyond)? == 0 {
            return Ok(0);
        }
        let error = if self.is_exact {
            Error::corrupt("data are as long as is said of them").found("there is more")
        } else {
            Error::limit("what is unpacked has a size that its descriptor allows")
        };
        Err(io::Error::other(error.in_file(&self.name)))
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return self.end();
        }
        let len = clip(buffer.len(), self.left);
        let got = self.inner.read(&mut buffer[..len])?;
        self.left -= u64_from(got);
        if got == 0 && self.is_exact {
            let error =
                Error::truncated("data are as long as is said of them").found(format!("{} bytes lack", self.left));
            return Err(io::Error::other(error.in_file(&self.name)));
        }
        Ok(got)
    }
}

/// Returns the error of this crate that travelled through a reader, or one around a foreign error.
pub(super) fn error_of(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("cannot read a package", error),
    }
}

/// Reads as much of the start of a stream as it takes to tell its format.
pub(super) fn read_start(input: &mut dyn Read) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    input.take(u64_from(PROBE_BYTES)).read_to_end(&mut start).map_err(error_of)?;
    Ok(start)
}

/// Reads a whole stream of at most `most` bytes.
pub(super) fn read_text(input: &mut dyn Read, most: usize, name: &str) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    input.take(u64_from(most) + 1).read_to_end(&mut text).map_err(error_of)?;
    if text.len() > most {
        return Err(Error::limit("a text file of a package is small")
            .found(format!("more than {most} bytes"))
            .in_file(name));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::ErrorKind;
    use crate::image::MemorySource;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: Vec<u8>, packing: Packing) -> Result<Vec<u8>> {
        let source = Arc::new(MemorySource::new(bytes, "x.gz"));
        let mut out = Vec::new();
        Unpacked::new(source, packing).read_to_end(&mut out).map_err(error_of)?;
        Ok(out)
    }

    #[test]
    fn gzip_of_several_members_is_one_stream() {
        let packed = [gzip(b"hello "), gzip(b"world")].concat();
        assert_eq!(Packing::of_start(&packed), Some(Packing::Gzip));
        assert_eq!(unpack(packed, Packing::Gzip).unwrap(), b"hello world");
    }

    #[test]
    fn damage_is_corrupt_and_a_missing_tail_truncated() {
        let packed = gzip(&[7; 5000]);
        let mut flipped = packed.clone();
        let last = flipped.len() - 5;
        flipped[last] ^= 1;
        let error = unpack(flipped, Packing::Gzip).unwrap_err();
        assert_eq!((error.kind(), error.file()), (ErrorKind::Corrupt, Some("x.gz")));
        for end in [11, packed.len() / 2, packed.len() - 1] {
            let error = unpack(packed[..end].to_vec(), Packing::Gzip).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{end}: {error}");
        }
    }

    #[test]
    fn a_bound_is_kept_from_both_sides() {
        let read = |mut reader: Bounded<&[u8]>| {
            let mut out = Vec::new();
            reader.read_to_end(&mut out).map_err(error_of).map(|_| out.len())
        };
        assert_eq!(read(Bounded::exactly(b"12345", 5, "x")).unwrap(), 5);
        assert_eq!(read(Bounded::exactly(b"12345", 6, "x")).unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(read(Bounded::exactly(b"12345", 4, "x")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(Bounded::at_most(b"12345", 6, "x")).unwrap(), 5);
        assert_eq!(read(Bounded::at_most(b"12345", 4, "x")).unwrap_err().kind(), ErrorKind::Limit);
    }
}
