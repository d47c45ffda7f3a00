//! Checks a stream-optimized disk while it passes, without keeping it.
//!
//! A lease gives no length and no second chance: only the stream itself says whether it is whole.
//! The walker takes it in chunks cut anywhere, follows the markers, skips over the compressed
//! bytes (or expands them, when asked), and compares every table that passes with the grains that
//! really passed. The result is a [`StreamSummary`], or the first broken rule.
//!
//! ```text
//! header ─► front ─► marker ◄─┬─► grain         (any number, in any order)
//!                      │      ├─► progress      (undocumented, skipped)
//!                      │      └─► tables ─► directory ─► … no grain any more
//!                      ▼
//!                    footer ─► end marker ─► nothing
//! ```
//!
//! A stream is complete in one of two ways ([`Proof`]): footer and end marker came, or the tables
//! stood in front, as qemu-img, open-vmdk and govmomi write them, and list exactly the grains
//! that came. A sector of zeros is not an end by itself: writers pad with zeros.
//!
//! Order: grains are taken in any order, as all readers do; a grain that comes twice is an error,
//! at once when it repeats the highest of its coverage and else when its table passes. Parts in an
//! impossible order are errors: grains or zeros behind the directory, a footer before it, anything
//! behind the end.
//!
//! **Memory:** 16 bytes per coverage (32 MiB of the guest's disk at the usual geometry) up to the
//! highest that has grains, and 16 bytes per table: 1 MiB per TiB with data, at most 64 MiB for a
//! full disk of 64 TiB (96 MiB where the writer sends all tables twice). An empty disk of any size
//! needs nothing. With `inflate`, three grains in addition.
//!
//! Deliberately absent: writing the stream somewhere, hashing it (the caller has the bytes), and
//! the redundant directory of a stream whose tables are in front.

mod behind;
mod coverage;
mod front;
mod grains;
mod inflate;
mod sectors;
mod stream;
mod summary;

pub(in crate::vmdk) use grains::{Batch, Collector};
pub use summary::{Proof, StreamSummary};

use super::layout::{CAPACITY_SECTORS_MAX, SECTOR_BYTES, SectorBytes};
use crate::number::{clip, u64_from};
use crate::{Error, Result};
use sectors::SectorCutter;
use stream::Stream;

/// How to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkOptions {
    /// Whether to expand each grain and check its Adler-32 and length. Costs about 1 CPU-second
    /// per GiB of the guest's disk; without it the walk costs next to nothing, but damage inside of
    /// a grain, or of its length within the same sector, goes unnoticed.
    pub inflate: bool,
    /// The largest disk to accept, for a caller who knows what it asked for.
    pub capacity_bytes_max: u64,
}

impl Default for WalkOptions {
    /// Returns options that do not inflate and take any disk up to 64 TiB.
    fn default() -> Self {
        Self { inflate: false, capacity_bytes_max: CAPACITY_SECTORS_MAX * SECTOR_BYTES }
    }
}

/// What the next sector is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The header.
    Header,
    /// Metadata in front of the first marker.
    Front,
    /// A marker.
    Marker,
    /// A marker, or the undocumented payload of a progress marker that announced some sectors.
    MarkerOrPayload { sectors: u64 },
    /// The rest of such a payload.
    Payload { left_sectors: u64 },
    /// The rest of a grain; not looked at sector by sector.
    Grain { left_bytes: u64 },
    /// Grain tables.
    Tables { left_sectors: u64 },
    /// The grain directory.
    Directory { left_sectors: u64 },
    /// The footer.
    Footer,
    /// The end marker.
    End,
    /// Nothing.
    Done,
    /// Whatever comes: the walk ended with an error.
    Failed,
}

impl State {
    /// Returns what is missing when the input ends here; `None` where it may end.
    fn missing(self) -> Option<&'static str> {
        match self {
            Self::Header => Some("a stream starts with a header"),
            Self::Front => Some("the metadata in front of the grains are complete"),
            Self::Payload { .. } => Some("the payload of a marker is complete"),
            Self::Grain { .. } => Some("the last grain is complete"),
            Self::Tables { .. } => Some("the last grain table is complete"),
            Self::Directory { .. } => Some("the grain directory is complete"),
            Self::Footer => Some("the footer follows its marker"),
            Self::End => Some("an end marker follows the footer"),
            Self::Marker | Self::MarkerOrPayload { .. } | Self::Done | Self::Failed => None,
        }
    }
}

/// Checks one stream; see the module.
#[derive(Debug)]
pub struct StreamWalker {
    options: WalkOptions,
    /// Start of the sector, or of the rest of a grain, that comes next.
    offset: u64,
    sectors: SectorCutter,
    state: State,
    /// Waits for the header, for a walk that hands grains on.
    collector: Option<Collector>,
    /// What is known since the header came.
    stream: Option<Box<Stream>>,
}

impl StreamWalker {
    /// Returns a walker that waits for the first byte.
    #[must_use]
    pub fn new(options: WalkOptions) -> Self {
        Self {
            options,
            offset: 0,
            sectors: SectorCutter::default(),
            state: State::Header,
            collector: None,
            stream: None,
        }
    }

    /// Returns a walker that does not expand grains but hands them on; see [`Self::collected`].
    pub(in crate::vmdk) fn collecting(options: WalkOptions, collector: Collector) -> Self {
        Self { collector: Some(collector), ..Self::new(options) }
    }

    /// Returns the grains that came since the last call, with the size of a full grain: those of
    /// complete batches or, `at_end`, all.
    pub(in crate::vmdk) fn collected(&mut self, at_end: bool) -> (u64, Vec<Batch>) {
        let collected = self.stream.as_mut().map(|stream| (stream.grain_bytes(), stream.collected(at_end)));
        collected.unwrap_or_default()
    }

    /// Takes the next bytes, any number of them.
    ///
    /// # Errors
    ///
    /// The first broken rule, with the byte at which its part starts: `Corrupt`, `Unsupported` or
    /// `Limit`. After an error every further call is `Misuse`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let result = self.take(bytes);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.state {
                State::Grain { left_bytes } => {
                    let (grain, rest) = bytes.split_at(clip(bytes.len(), left_bytes));
                    self.take_grain(grain, left_bytes)?;
                    bytes = rest;
                }
                State::Done => {
                    return Err(Error::corrupt("nothing follows the end marker").at(self.offset));
                }
                State::Failed => return Err(walked_on()),
                _ => {
                    let Some(sector) = self.sectors.take(&mut bytes) else {
                        return Ok(());
                    };
                    self.state = self.take_sector(&sector).map_err(|error| error.or_at(self.offset))?;
                    self.offset += SECTOR_BYTES;
                }
            }
        }
        Ok(())
    }

    fn take_grain(&mut self, bytes: &[u8], left_bytes: u64) -> Result<()> {
        let stream = self.stream.as_mut().expect("a header came before a grain");
        let taken = u64_from(bytes.len());
        stream.take_grain(bytes);
        self.offset += taken;
        self.state = State::Grain { left_bytes: left_bytes - taken };
        if taken == left_bytes {
            stream.end_grain()?;
            self.state = State::Marker;
        }
        Ok(())
    }

    fn take_sector(&mut self, sector: &SectorBytes) -> Result<State> {
        let position = self.offset / SECTOR_BYTES;
        match &mut self.stream {
            None => {
                let (stream, next) = Stream::begin(sector, self.options, self.collector.take())?;
                self.stream = Some(Box::new(stream));
                Ok(next)
            }
            Some(stream) => stream.take_sector(self.state, position, sector),
        }
    }

    /// Returns the size of the guest's disk, once the header came.
    #[must_use]
    pub fn capacity_bytes(&self) -> Option<u64> {
        self.stream.as_ref().map(|stream| stream.capacity_bytes())
    }

    /// Returns up to where the guest's disk is covered: the end of the highest grain that began to
    /// come, at most the capacity. The measure of progress when grains ascend.
    #[must_use]
    pub fn covered_bytes(&self) -> u64 {
        self.stream.as_ref().map_or(0, |stream| stream.covered_bytes())
    }

    /// Returns how many bytes of the guest's disk the grains hold that began to come.
    #[must_use]
    pub fn grains_bytes(&self) -> u64 {
        self.stream.as_ref().map_or(0, |stream| stream.populated_bytes())
    }

    /// Returns how many bytes of the stream came.
    #[must_use]
    pub fn stream_bytes(&self) -> u64 {
        self.offset + self.sectors.pending_bytes()
    }

    /// Ends the walk: the input has no more bytes.
    ///
    /// # Errors
    ///
    /// `Truncated` when the stream is not complete, wherever it was cut; `Corrupt` when tables in
    /// front do not list the grains that came; `Misuse` after an earlier error.
    pub fn finish(self) -> Result<StreamSummary> {
        let end = self.stream_bytes();
        if matches!(self.state, State::Failed) {
            return Err(walked_on());
        }
        if let Some(rule) = self.state.missing() {
            return Err(Error::truncated(rule).at(end));
        }
        if self.sectors.pending_bytes() > 0 {
            return Err(Error::truncated("a stream consists of whole sectors").at(end));
        }
        let stream = self.stream.expect("a header came in every later state");
        let footer_came = matches!(self.state, State::Done);
        stream.finish(footer_came, end).map_err(|error| error.or_at(end))
    }
}

fn walked_on() -> Error {
    Error::misuse("a walk ends with its first error")
}
