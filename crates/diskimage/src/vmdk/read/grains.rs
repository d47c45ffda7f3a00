//! Reads a disk that is stored grain by grain, wherever tables say.
//!
//! Three formats work so. Each implements [`GrainMap`]: how large its grains are, and what one of
//! its tables says. Everything else is here: the walk over tables, the map, and reads that take
//! neighbours in one go and files front to back, because a grain may be as small as one sector.

use std::ops::Range;
use std::sync::Arc;

use super::check::check_grains;
use crate::Result;
use crate::image::ByteSource;
use crate::image::disk::{Disk, Extent, ExtentKind, Runs, check_bounds, read_range};
use crate::image::oddities::Oddities;
use crate::number::{clip, u64_from};

/// Where a grain is, in one number: an entry of a decoded table.
///
/// No grain can start at byte 0 or 1 of a file, because headers stand there.
pub(super) type Place = u64;
/// The grain is not here.
pub(super) const ABSENT: Place = 0;
/// The grain is zeros, whatever lies below.
pub(super) const ZERO: Place = 1;

/// A disk that is cut into grains, and tables that say where they are.
pub(super) trait GrainMap: Send + Sync {
    /// Returns the file.
    fn source(&self) -> &dyn ByteSource;

    /// Returns the size of the disk.
    fn capacity_bytes(&self) -> u64;

    /// Returns the size of a grain.
    fn grain_bytes(&self) -> u64;

    /// Returns how many grains a table covers.
    fn table_grains(&self) -> u64;

    /// Returns what table `number` says, one [`Place`] per grain; no places for an absent table.
    ///
    /// The places were checked: a grain lies behind the metadata and inside the file.
    fn table(&self, number: u64) -> Result<Arc<[Place]>>;

    /// Tells `claim` which bytes of the file are metadata: headers, directories, tables.
    ///
    /// # Errors
    ///
    /// Those of `claim`, and of reading directories.
    fn metadata(&self, claim: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()>;

    /// Returns from which byte on a sound file has little that belongs to nothing.
    fn data_start(&self) -> u64;

    /// Returns where oddities go.
    fn oddities(&self) -> &Oddities;
}

/// One step of a walk: a piece of the disk that lies in one grain, or in no table at all.
pub(super) struct Step {
    pub(super) range: Range<u64>,
    pub(super) place: Place,
    /// Where in its grain the piece begins.
    pub(super) skip_bytes: u64,
}

/// Tells `visit` what lies in `range`, in order, until it says that it is enough.
pub(super) fn walk(map: &dyn GrainMap, range: Range<u64>, mut visit: impl FnMut(Step) -> Result<bool>) -> Result<()> {
    let grain = map.grain_bytes();
    let coverage = grain * map.table_grains();
    let mut offset = range.start;
    while offset < range.end {
        let number = offset / coverage;
        let table_start = number * coverage;
        let table_end = (table_start + coverage).min(range.end);
        let places = map.table(number)?;
        if places.is_empty() {
            if !visit(Step { range: offset..table_end, place: ABSENT, skip_bytes: 0 })? {
                return Ok(());
            }
            offset = table_end;
            continue;
        }
        debug_assert_eq!(u64_from(places.len()), map.table_grains(), "a table has a place for each of its grains");
        let first = clip(places.len(), (offset - table_start) / grain);
        for &place in &places[first..] {
            let grain_start = offset - offset % grain;
            let end = (grain_start + grain).min(table_end);
            if !visit(Step { range: offset..end, place, skip_bytes: offset - grain_start })? {
                return Ok(());
            }
            offset = end;
            if offset >= table_end {
                break;
            }
        }
    }
    Ok(())
}

/// Returns the map of `range`; see [`Disk::extents`].
pub(super) fn extents(map: &dyn GrainMap, range: Range<u64>) -> Result<Vec<Extent>> {
    check_bounds(&range, map.capacity_bytes())?;
    let mut runs = Runs::new(range.start);
    walk(map, range, |step| {
        let kind = match step.place {
            ABSENT => ExtentKind::Hole,
            ZERO => ExtentKind::Zero,
            _ => ExtentKind::Data,
        };
        runs.extend_to(step.range.end, kind);
        Ok(!runs.is_full())
    })?;
    Ok(runs.into_list())
}

/// A disk of uncompressed grains.
pub(super) struct PlainGrains<M> {
    map: M,
}

impl<M: GrainMap> PlainGrains<M> {
    pub(super) fn new(map: M) -> Self {
        Self { map }
    }
}

/// Bytes that lie together in the file and in the buffer.
struct Read {
    file: u64,
    buf: Range<usize>,
}

impl<M: GrainMap> Disk for PlainGrains<M> {
    fn capacity_bytes(&self) -> u64 {
        self.map.capacity_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = read_range(offset, buf.len(), self.capacity_bytes())?;
        let mut reads: Vec<Read> = Vec::new();
        walk(&self.map, range, |step| {
            let piece = clip(buf.len(), step.range.start - offset)..clip(buf.len(), step.range.end - offset);
            if step.place == ABSENT || step.place == ZERO {
                buf[piece].fill(0);
                return Ok(true);
            }
            let file = step.place + step.skip_bytes;
            match reads.last_mut() {
                Some(last) if last.buf.end == piece.start && last.file + u64_from(last.buf.len()) == file => {
                    last.buf.end = piece.end;
                }
                _ => reads.push(Read { file, buf: piece }),
            }
            Ok(true)
        })?;
        // Deltas have their grains in the order in which the guest wrote them.
        reads.sort_unstable_by_key(|read| read.file);
        for read in reads {
            self.map.source().read_at(read.file, &mut buf[read.buf])?;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        extents(&self.map, range)
    }

    fn warnings(&self) -> Vec<String> {
        self.map.oddities().all()
    }

    fn check(&self) -> Result<()> {
        let unclaimed = check_grains(&self.map)?;
        if unclaimed >= self.map.grain_bytes() {
            let name = self.map.source().name();
            self.map.oddities().note(format!("{unclaimed} bytes of {name} belong to nothing"));
        }
        Ok(())
    }
}
