//! Keeps the unfinished grain over a crash; the module above says why this is enough.

use libdeflater::crc32;

use super::{Front, GRAIN_BYTES, bytes_of, cannot_read, cannot_write};
use crate::Result;
use crate::number::{clip, u64_from};
use crate::output::{Output, is_zero};
use crate::vmdk::grain::GrainInflater;
use crate::vmdk::layout::{
    DEFLATED_GRAINS_MAX, GRAIN_MARKER_BYTES, GRAIN_SECTORS, Marker, SECTOR_LEN, Sector, SectorBytes,
};
use crate::vmdk::stream_write::{GRAIN_LEN, Parts};

/// Slots for tails, used in turn.
const SLOTS: u64 = 2;

/// What they take between descriptor and first grain.
pub(super) const SLOTS_SECTORS: u64 = SLOTS * GRAIN_SECTORS;

/// What a checkpoint says of the bytes of the unfinished grain; how many they are follows from
/// where the next write begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// There are none, or they are zeros.
    Zero,
    /// They have this CRC-32, and are stored somewhere.
    Stored(u32),
}

/// Where tails go.
#[derive(Debug)]
pub(super) struct Slots {
    start: u64,
    /// The slot that the next tail goes to.
    next: u64,
}

impl Slots {
    pub(super) fn new(parts: &Parts) -> Self {
        let overhead = parts.header().overhead().0;
        Self { start: bytes_of(overhead - SLOTS_SECTORS), next: 0 }
    }

    fn place(&self, slot: u64) -> u64 {
        self.start + slot * GRAIN_BYTES
    }

    /// Writes a tail that is not all zeros.
    pub(super) fn keep(&mut self, output: &dyn Output, tail: &[u8]) -> Result<()> {
        output.write_all_at(tail, self.place(self.next)).map_err(cannot_write)?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }

    /// Makes all slots read as zero.
    pub(super) fn clear(&self, output: &dyn Output) -> Result<()> {
        output.zero(self.start, bytes_of(SLOTS_SECTORS)).map_err(cannot_write)
    }

    /// Looks for a tail in the slots; the next one goes elsewhere then.
    pub(super) fn find(&mut self, output: &dyn Output, len: usize, checksum: u32) -> Result<Option<Vec<u8>>> {
        let mut tail = vec![0; len];
        for slot in 0..SLOTS {
            output.read_exact_at(&mut tail, self.place(slot)).map_err(cannot_read)?;
            if crc32(&tail) == checksum {
                self.next = (slot + 1) % SLOTS;
                return Ok(Some(tail));
            }
        }
        Ok(None)
    }
}

impl Front {
    /// Stores what came of the open grain, and says what a checkpoint needs to find it.
    pub(super) fn keep_tail(&mut self, output: &dyn Output) -> Result<Tail> {
        if is_zero(&self.open) {
            return Ok(Tail::Zero);
        }
        self.slots.keep(output, &self.open)?;
        Ok(Tail::Stored(crc32(&self.open)))
    }
}

/// Looks for a tail at the beginning of the grain `index`, which was completed later and then stands
/// at `position`, or behind the table there.
///
/// What stands there need not be anything: whatever is wrong with it means that it is not the tail.
pub(super) fn find_in_grain(
    output: &dyn Output,
    position: Sector,
    index: u64,
    len: usize,
    checksum: u32,
) -> Result<Option<Vec<u8>>> {
    let Some((at, marker)) = read_grain_marker(output, position)? else {
        return Ok(None);
    };
    let Marker::Grain { lba, size_bytes } = marker else {
        return Ok(None);
    };
    let size = u64::from(size_bytes);
    if lba.0 != index * GRAIN_SECTORS || size > DEFLATED_GRAINS_MAX * GRAIN_BYTES {
        return Ok(None);
    }
    let start = at + u64_from(GRAIN_MARKER_BYTES);
    if start + size > output.len_bytes().map_err(cannot_read)? {
        return Ok(None);
    }
    let mut zlib = vec![0; clip(usize::MAX, size)];
    output.read_exact_at(&mut zlib, start).map_err(cannot_read)?;
    let mut inflater = GrainInflater::new(GRAIN_LEN);
    let tail = inflater.inflate(&zlib, len).ok().filter(|tail| crc32(tail) == checksum);
    Ok(tail.map(<[u8]>::to_vec))
}

/// Reads the marker at `position`, or that behind the table there. `None` where there is none.
fn read_grain_marker(output: &dyn Output, position: Sector) -> Result<Option<(u64, Marker)>> {
    let mut at = position;
    for _ in 0..2 {
        let Some(sector) = read_sector(output, at)? else {
            return Ok(None);
        };
        match Marker::decode(&sector) {
            Ok(Marker::GrainTable { sectors }) => match at.checked_add(1).and_then(|at| at.checked_add(sectors)) {
                Some(behind) => at = behind,
                None => return Ok(None),
            },
            Ok(marker) => return Ok(at.bytes().map(|at| (at, marker))),
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// Reads a sector; `None` behind the end of the file.
pub(super) fn read_sector(output: &dyn Output, at: Sector) -> Result<Option<SectorBytes>> {
    let len_bytes = output.len_bytes().map_err(cannot_read)?;
    let Some(start) = at.bytes().filter(|start| start.saturating_add(u64_from(SECTOR_LEN)) <= len_bytes) else {
        return Ok(None);
    };
    let mut sector = [0; SECTOR_LEN];
    output.read_exact_at(&mut sector, start).map_err(cannot_read)?;
    Ok(Some(sector))
}
