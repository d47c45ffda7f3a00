//! Reads a stream-optimized disk at any place.
//!
//! The tables say where each grain's marker is, the marker which grain it is and how long. A
//! marker that names another grain than the table does is an error: it is the only check that the
//! format offers on its tables.
//!
//! Whole grains are expanded straight into the caller's buffer; a read of less goes through the
//! cache. Each thread that reads takes a decompressor from a small pool.

mod footer;
mod recover;

pub(super) use footer::{Footer, find_footer};
pub(super) use recover::recover;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::grains::{ABSENT, GrainMap, Place, ZERO, extents, walk};
use super::tables::Caches;
use crate::image::disk::{Disk, Extent, read_range};
use crate::number::{clip, u64_from};
use crate::vmdk::grain::GrainInflater;
use crate::vmdk::layout::{DEFLATED_GRAINS_MAX, GRAIN_MARKER_BYTES, SECTOR_BYTES, parse_grain_marker};
use crate::vmdk::stream_walk::{StreamWalker, WalkOptions};
use crate::{Error, Result};

/// Most decompressors that are kept: more threads than that read one disk rarely.
const WORKERS_KEPT_MAX: usize = 16;

/// What is read together with a marker: most grains are shorter, so that one read is enough.
const FIRST_READ_BYTES: u64 = 32 << 10;

/// How much of a stream is walked at once.
const CHECK_READ_LEN: usize = 1 << 20;

/// A disk of compressed grains behind markers.
pub(super) struct StreamGrains {
    map: Box<dyn GrainMap>,
    /// Where the stream ends; behind it there is only padding.
    end_bytes: u64,
    caches: Arc<Caches>,
    owner: u32,
    workers: Mutex<Vec<Worker>>,
}

/// What one thread needs to expand grains.
struct Worker {
    inflater: GrainInflater,
    /// A marker and the compressed bytes behind it.
    stored: Vec<u8>,
}

impl StreamGrains {
    pub(super) fn new(map: Box<dyn GrainMap>, end_bytes: u64, caches: &Arc<Caches>) -> Self {
        Self { map, end_bytes, caches: caches.clone(), owner: caches.owner(), workers: Mutex::new(Vec::new()) }
    }

    fn with_worker<T>(&self, work: impl FnOnce(&mut Worker) -> Result<T>) -> Result<T> {
        let kept = self.workers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut worker = kept.unwrap_or_else(|| Worker {
            inflater: GrainInflater::new(clip(usize::MAX, self.map.grain_bytes())),
            stored: Vec::new(),
        });
        let result = work(&mut worker);
        let mut kept = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < WORKERS_KEPT_MAX {
            kept.push(worker);
        }
        result
    }

    /// Returns how many bytes of the disk a grain holds.
    fn guest_bytes_of(&self, grain: u64) -> u64 {
        (self.map.capacity_bytes() - grain * self.map.grain_bytes()).min(self.map.grain_bytes())
    }

    /// Expands a grain into `out`, which has the bytes that the disk has there.
    fn expand(&self, grain: u64, place: Place, out: &mut [u8]) -> Result<()> {
        let source = self.map.source();
        self.with_worker(|worker| {
            let zlib = self.load(grain, place, &mut worker.stored)?;
            worker.inflater.inflate_into(zlib, out)
        })
        .map_err(|error| error.or_at(place).in_file(source.name()))
    }

    /// Reads marker and compressed bytes of a grain.
    fn load<'a>(&self, grain: u64, place: Place, stored: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let source = self.map.source();
        let left = source.len_bytes() - place;
        stored.resize(clip(usize::MAX, left.min(FIRST_READ_BYTES)), 0);
        source.read_at(place, stored)?;
        let Some(marker) = stored.first_chunk() else {
            return Err(Error::truncated("a grain has a marker"));
        };
        let (lba, size_bytes) = parse_grain_marker(marker);
        let size = u64::from(size_bytes);
        if lba.bytes() != Some(grain * self.map.grain_bytes()) || size == 0 {
            return Err(Error::corrupt("the marker of a grain names the grain that its table does")
                .found(format!("{lba} and {size} bytes for grain {grain}")));
        }
        if size > self.map.grain_bytes() * DEFLATED_GRAINS_MAX {
            return Err(
                Error::corrupt("a compressed grain is no longer than two grains").found(format!("{size} bytes"))
            );
        }
        let total = u64_from(GRAIN_MARKER_BYTES) + size;
        if total > left {
            return Err(Error::truncated("grains lie inside the file").found(format!("{total} bytes of {left}")));
        }
        let have = stored.len();
        stored.resize(clip(usize::MAX, total), 0);
        if stored.len() > have {
            source.read_at(place + u64_from(have), &mut stored[have..])?;
        }
        Ok(&stored[GRAIN_MARKER_BYTES..])
    }

    fn cached(&self, grain: u64, place: Place) -> Result<Arc<[u8]>> {
        self.caches.grains.get((self.owner, grain), || {
            let mut content = vec![0; clip(usize::MAX, self.guest_bytes_of(grain))];
            self.expand(grain, place, &mut content)?;
            Ok(content.into())
        })
    }
}

impl Disk for StreamGrains {
    fn capacity_bytes(&self) -> u64 {
        self.map.capacity_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = read_range(offset, buf.len(), self.capacity_bytes())?;
        walk(&*self.map, range, |step| {
            let piece = clip(buf.len(), step.range.start - offset)..clip(buf.len(), step.range.end - offset);
            let piece = &mut buf[piece];
            if step.place == ABSENT || step.place == ZERO {
                piece.fill(0);
                return Ok(true);
            }
            let grain = step.range.start / self.map.grain_bytes();
            if u64_from(piece.len()) == self.guest_bytes_of(grain) {
                self.expand(grain, step.place, piece)?;
            } else {
                let content = self.cached(grain, step.place)?;
                let skip = clip(content.len(), step.skip_bytes);
                piece.copy_from_slice(&content[skip..skip + piece.len()]);
            }
            Ok(true)
        })
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        extents(&*self.map, range)
    }

    fn warnings(&self) -> Vec<String> {
        self.map.oddities().all()
    }

    /// Walks the whole stream, so that a grain that no table lists is found too.
    fn check(&self) -> Result<()> {
        let source = self.map.source();
        let in_file = |error: Error| error.in_file(source.name());
        let mut walker = StreamWalker::new(WalkOptions::default());
        let mut buf = vec![0; CHECK_READ_LEN];
        let mut offset = 0;
        while offset < self.end_bytes {
            let piece = clip(buf.len(), self.end_bytes - offset);
            source.read_at(offset, &mut buf[..piece])?;
            walker.push(&buf[..piece]).map_err(in_file)?;
            offset += u64_from(piece);
        }
        let summary = walker.finish().map_err(in_file)?;
        summary.warnings.into_iter().for_each(|warning| self.map.oddities().note(warning));
        Ok(())
    }
}

/// Returns how many sectors a grain takes in the file, with its marker.
fn stored_sectors(size_bytes: u32) -> u64 {
    (u64_from(GRAIN_MARKER_BYTES) + u64::from(size_bytes)).div_ceil(SECTOR_BYTES)
}
