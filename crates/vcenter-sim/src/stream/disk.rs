//! The grains of a disk on their way through the VMDK writer.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diskimage::vmdk::stream_write::{StreamOptions, StreamWriter};

use crate::content::{DiskContent, Grain, GrainReader, Step};

/// Bytes that are collected before they are handed on: one system call sends them, and fewer cost less.
pub(super) const PIECE_LEN: usize = 256 << 10;

/// Grains that one step reads when most of them are zeros, so that a step of a large empty file ends, too.
const STEP_GRAINS_MAX: u32 = 1024;

/// What one grain may add to a piece: itself, markers, a table.
pub(super) const GRAIN_ROOM: usize = 72 << 10;

/// Name in the descriptor of a stream, the same for all disks so that equal disks make equal streams.
const EXTENT_NAME: &str = "stream.vmdk";

/// What one step has made.
#[derive(Debug)]
pub(super) enum DiskStep {
    /// The next bytes.
    Piece(Bytes),
    /// Nothing yet.
    Nothing,
    /// The last bytes, and how many bytes of the disk hold data.
    Last(Bytes, u64),
}

/// The grains of a disk on their way through the VMDK writer.
#[derive(Debug)]
pub(super) struct DiskStream {
    grains: GrainReader,
    writer: Option<StreamWriter<Collector>>,
    collector: Collector,
}

impl DiskStream {
    /// Begins at the header.
    pub(super) fn new(content: Arc<DiskContent>) -> io::Result<Self> {
        let collector = Collector::default();
        let writer = StreamWriter::create(collector.clone(), &stream_options(&content)).map_err(io::Error::other)?;
        Ok(Self { grains: GrainReader::new(content), writer: Some(writer), collector })
    }

    /// Collects grains until a piece is full.
    pub(super) fn step(&mut self) -> io::Result<DiskStep> {
        let ended = || io::Error::other("a stream goes on after its end or an error");
        for _ in 0..STEP_GRAINS_MAX {
            if self.collector.len() >= PIECE_LEN {
                return Ok(DiskStep::Piece(self.collector.take()));
            }
            let writer = self.writer.as_mut().ok_or_else(ended)?;
            let written = match self.grains.step()? {
                Step::Grain(index, Grain::Deflated(zlib)) => writer.write_deflated_grain(index, zlib),
                Step::Grain(index, Grain::Raw(data)) => writer.write_grain(index, data),
                Step::Nothing => return Ok(DiskStep::Nothing),
                Step::End => {
                    let writer = self.writer.take().ok_or_else(ended)?;
                    let (collector, stats) = writer.finish().map_err(io::Error::other)?;
                    return Ok(DiskStep::Last(collector.take(), stats.populated_bytes));
                }
            };
            written.map_err(io::Error::other)?;
        }
        Ok(DiskStep::Nothing)
    }
}

/// The content id follows from the content, so that the same disk makes the same stream in every run.
fn stream_options(content: &DiskContent) -> StreamOptions {
    /// Ids above this are reserved.
    const CID_MASK: u64 = 0x7fff_ffff;
    let cid = u32::try_from(content.fingerprint() & CID_MASK).expect("masked to 31 bits");
    StreamOptions::new(content.capacity_bytes(), cid, EXTENT_NAME)
}

/// Where the VMDK writer writes to; cloned, so that it can be emptied while the writer goes on.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    fn len(&self) -> usize {
        self.lock().len()
    }

    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.lock();
        if buffer.capacity() == 0 {
            buffer.reserve(PIECE_LEN + GRAIN_ROOM);
        }
        buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
