//! Disk images as targets of a transfer: the writers of [`diskimage`] behind [`transfer::Sink`].
//!
//! ```text
//!  ImageTarget ── create, reopen ──► RawSink, Qcow2Sink, StreamSink ─► writer of diskimage ──► Output
//!    │ Format   what is written         the contract of transfer::sink
//!    └ Place    where: a file, a device, memory in tests
//! ```
//!
//! The two crates do not know each other, so this is all translation: which errors leave a sink usable
//! ([`error`]), what may be given to a writer at all, and how a place is opened anew. Each sink
//! keeps to `transfer::conformance::sink`, which the tests of this crate show.
//!
//! Deliberately absent: names and renaming (that is [`crate::convert`]), journals ([`crate::copy`]),
//! and digests of the file: its bytes come in no order, so they would cost a second reading.

mod error;
mod image;
mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use diskimage::output::Output;
use diskimage::parallel::Workers;
use diskimage::qcow2::write as qcow2;
use diskimage::raw::write as raw;
use diskimage::vmdk::grain::Level;
use diskimage::vmdk::stream_write::StreamOptions;
use diskimage::vmdk::write as vmdk;
use transfer::{Checkpoint, Result, Sink, Target};

pub use image::{Qcow2Sink, RawSink, StreamSink};
pub use place::{DevicePlace, FilePlace, Place};

/// What a disk is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The disk as it is, sparse where it is zero.
    Raw,
    /// QEMU's format.
    Qcow2 {
        /// Size of a cluster: a power of two from 64 KiB to 2 MiB.
        cluster_bytes: u64,
        /// Whether and how clusters are compressed.
        compression: Option<qcow2::Compression>,
    },
    /// The VMDK of packages: compressed, in order.
    StreamOptimized {
        /// How hard grains are compressed.
        level: Level,
    },
}

impl Format {
    /// Returns the usual qcow2: clusters of 64 KiB.
    #[must_use]
    pub fn qcow2(compression: Option<qcow2::Compression>) -> Self {
        Self::Qcow2 { cluster_bytes: qcow2::CLUSTER_BYTES_DEFAULT, compression }
    }

    /// Returns its name, as journals and reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 { .. } => "qcow2",
            Self::StreamOptimized { .. } => "vmdk",
        }
    }

    /// Checks that a disk of this size can be written so, before anything is.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`](transfer::ErrorKind::Bounds), with the rule as its source.
    pub fn check(self, capacity_bytes: u64) -> Result<()> {
        let checked = match self {
            Self::Raw => raw::Options::new(capacity_bytes).check(),
            Self::Qcow2 { cluster_bytes, compression } => {
                qcow2_options(capacity_bytes, cluster_bytes, compression).check()
            }
            Self::StreamOptimized { level } => Stream::default().options(capacity_bytes, level).check(),
        };
        checked.map_err(|reason| error::of_opening(self.name(), reason))
    }

    /// Returns what else makes the same content another file, for a journal's header.
    #[must_use]
    pub fn parameters(self) -> BTreeMap<String, String> {
        match self {
            Self::Raw => BTreeMap::new(),
            Self::StreamOptimized { level } => [("level".to_owned(), format!("{level:?}"))].into(),
            Self::Qcow2 { cluster_bytes, compression } => {
                let compression = match compression {
                    None => "none",
                    Some(qcow2::Compression::Deflate) => "deflate",
                    Some(qcow2::Compression::Deflate12) => "deflate, window of 4 KiB",
                    Some(qcow2::Compression::Zstd) => "zstd",
                };
                let pairs = [("cluster", cluster_bytes.to_string()), ("compression", compression.to_owned())];
                pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }
        }
    }
}

fn qcow2_options(capacity_bytes: u64, cluster_bytes: u64, compression: Option<qcow2::Compression>) -> qcow2::Options {
    qcow2::Options { cluster_bytes, compression, ..qcow2::Options::new(capacity_bytes) }
}

/// What a stream says of itself, and who compresses it. Over the lives of a target the first two stay as
/// they are.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Content id, for the descriptor: another for each content.
    pub content_id: u32,
    /// Name of the file, for the descriptor.
    pub file_name: String,
    /// The threads that compress; without any, the one that writes does.
    pub workers: Option<Arc<Workers>>,
}

impl Default for Stream {
    /// Returns a stream without a name of its own.
    fn default() -> Self {
        Self { content_id: 0, file_name: "disk.vmdk".to_owned(), workers: None }
    }
}

impl Stream {
    fn options(&self, capacity_bytes: u64, level: Level) -> vmdk::Options {
        // The format can express neither; the name is only for people.
        let name = self.file_name.replace(|letter: char| letter == '"' || letter.is_control(), "_");
        let stream = StreamOptions { level, ..StreamOptions::new(capacity_bytes, self.content_id, name) };
        vmdk::Options { workers: self.workers.clone(), ..vmdk::Options::new(stream) }
    }
}

/// A disk of one size, in one format, at one place.
#[derive(Clone, Debug)]
pub struct ImageTarget<P> {
    place: P,
    format: Format,
    capacity_bytes: u64,
    stream: Stream,
}

impl<P: Place> ImageTarget<P> {
    /// Names the target; nothing is opened yet.
    pub fn new(place: P, format: Format, capacity_bytes: u64) -> Self {
        Self { place, format, capacity_bytes, stream: Stream::default() }
    }

    /// Says what a stream needs beyond that; other formats have no use for it.
    #[must_use]
    pub fn with_stream(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    /// Makes a sink, from nothing when there are no checkpoints.
    fn sink(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>> {
        let output = self.place.open(checkpoints.is_empty())?;
        self.sink_over(output, checkpoints).map_err(|error| error::of_opening(self.place.name(), error))
    }

    fn sink_over(&self, output: impl Output + 'static, checkpoints: &[Checkpoint]) -> diskimage::Result<Box<dyn Sink>> {
        let checkpoints: Vec<_> = checkpoints.iter().map(Checkpoint::as_bytes).collect();
        let (name, capacity_bytes) = (self.place.name(), self.capacity_bytes);
        Ok(match self.format {
            Format::Raw => {
                let options = raw::Options::new(capacity_bytes);
                Box::new(RawSink::new(raw::RawWriter::reopen(output, options, &checkpoints)?, name))
            }
            Format::Qcow2 { cluster_bytes, compression } => {
                let options = qcow2_options(capacity_bytes, cluster_bytes, compression);
                Box::new(Qcow2Sink::new(qcow2::Qcow2Writer::reopen(output, &options, &checkpoints)?, name))
            }
            Format::StreamOptimized { level } => {
                let options = self.stream.options(capacity_bytes, level);
                Box::new(StreamSink::new(vmdk::VmdkWriter::reopen(output, &options, &checkpoints)?, name))
            }
        })
    }
}

impl<P: Place> Target for ImageTarget<P> {
    fn create(&self) -> Result<Box<dyn Sink>> {
        self.sink(&[])
    }

    fn reopen(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>> {
        self.sink(checkpoints)
    }
}
