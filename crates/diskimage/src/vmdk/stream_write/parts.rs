//! The parts of a stream, in their order: the pure half that both writers share.
//!
//! Says what stands where and gives the bytes of everything but the grains. Whoever uses it writes
//! every part that it is given at the place that it is given, or, what is the same, one after the
//! other.

use libdeflater::crc32;

use super::tables::Tables;
use super::{StreamOptions, StreamStats};
use crate::number::u64_from;
use crate::vmdk::descriptor::StreamText;
use crate::vmdk::grain::ZLIB_BYTES_MIN;
use crate::vmdk::layout::{
    DEFLATED_GRAINS_MAX, GRAIN_MARKER_BYTES, Header, Marker, SECTOR_BYTES, SECTOR_LEN, Sector, grain_marker,
};
use crate::{Error, Result};

/// Everything of a stream but its grains.
#[derive(Clone, Debug)]
pub(in crate::vmdk) struct Parts {
    header: Header,
    descriptor: String,
    tables: Tables,
    trail: u32,
    stats: StreamStats,
}

/// Where a grain goes, and what goes in front of it.
#[derive(Debug)]
pub(in crate::vmdk) struct Placed {
    /// Where the table starts or, without one, the grain.
    pub(in crate::vmdk) start: Sector,
    /// The table of the coverage that ended, behind its marker.
    pub(in crate::vmdk) table: Option<Vec<u8>>,
    /// The marker that the zlib bytes follow at once.
    pub(in crate::vmdk) marker: [u8; GRAIN_MARKER_BYTES],
}

impl Parts {
    /// Plans a stream that leaves `reserved_sectors` free in front of its first grain, beside what
    /// header and descriptor need.
    ///
    /// # Errors
    /// `Misuse` and `Limit` for options that no stream can have.
    pub(in crate::vmdk) fn new(options: &StreamOptions, reserved_sectors: u64) -> Result<Self> {
        let capacity = Sector::from_bytes(options.capacity_bytes).ok_or_else(|| {
            Error::misuse("the capacity of a disk is a multiple of 512 bytes")
                .found(format!("{} bytes", options.capacity_bytes))
        })?;
        let descriptor = StreamText::new(capacity, options.cid, &options.extent_name, options.adapter)?.to_string();
        let descriptor_sectors = u64_from(descriptor.len()).div_ceil(SECTOR_BYTES);
        let header = Header::for_stream(capacity.0, descriptor_sectors)?.with_reserve(reserved_sectors);
        Ok(Self { tables: Tables::new(&header), header, descriptor, trail: 0, stats: StreamStats::default() })
    }

    pub(in crate::vmdk) fn header(&self) -> &Header {
        &self.header
    }

    /// Returns header and descriptor, padded to whole sectors; free sectors follow up to the
    /// overhead.
    pub(in crate::vmdk) fn head(&self) -> Vec<u8> {
        let mut head = self.header.encode().to_vec();
        head.extend(self.descriptor.as_bytes());
        head.resize(head.len().next_multiple_of(SECTOR_LEN), 0);
        head
    }

    /// Returns where the next part goes.
    pub(in crate::vmdk) fn position(&self) -> Sector {
        Sector(self.tables.position())
    }

    /// Returns a checksum over which grains came so far and where they stand.
    pub(in crate::vmdk) fn trail(&self) -> u32 {
        self.trail
    }

    pub(in crate::vmdk) fn stats(&self) -> StreamStats {
        self.stats
    }

    /// Returns where the table of a coverage stands: `None` for one without grains, and for one
    /// that has not ended.
    pub(in crate::vmdk) fn table_place(&self, coverage: u64) -> Option<Sector> {
        self.tables.table_place(coverage)
    }

    /// Returns the entry of a grain in the table of the coverage being filled, `None` when it
    /// belongs to another; 0 means that it is not there.
    pub(in crate::vmdk) fn open_entry(&self, index: u64) -> Option<u32> {
        self.tables.open_entry(index)
    }

    /// Checks that the grain `index` may come now.
    ///
    /// # Errors
    /// `Misuse`, without effect.
    pub(in crate::vmdk) fn check_turn(&self, index: u64) -> Result<()> {
        self.tables.check_turn(index)
    }

    /// Notes that the grain `index` came and is all zeros.
    pub(in crate::vmdk) fn skip(&mut self, index: u64) {
        self.tables.skip_to(index);
        self.stats.zero_grains += 1;
    }

    /// Gives the grain `index`, whose turn it is, its place.
    ///
    /// # Errors
    /// `Misuse` for an impossible length, `Limit` beyond 2 TiB; both without effect.
    pub(in crate::vmdk) fn place(&mut self, index: u64, zlib_len: usize) -> Result<Placed> {
        let size_bytes = u32::try_from(zlib_len)
            .ok()
            .filter(|&size| size >= ZLIB_BYTES_MIN)
            .filter(|&size| u64::from(size) <= DEFLATED_GRAINS_MAX * self.header.grain_bytes())
            .ok_or_else(|| {
                Error::misuse("a deflated grain has at least 8 bytes and at most two grains")
                    .found(format!("{zlib_len} bytes"))
            })?;
        let sectors = stored_sectors(zlib_len);
        self.tables.check_room(index)?;
        let start = self.position();
        let table = if self.tables.leaves_coverage(index) { self.end_coverage()? } else { None };
        self.trail = step_of_trail(self.trail, index, self.position());
        self.tables.place_grain(index, sectors)?;
        self.stats.grains += 1;
        self.stats.populated_bytes += self.header.guest_bytes_of(index);
        let lba = Sector(index * self.header.grain_sectors());
        Ok(Placed { start, table, marker: grain_marker(lba, size_bytes) })
    }

    /// Returns whether the grain `index` ends a coverage that has grains.
    pub(in crate::vmdk) fn ends_coverage(&self, index: u64) -> bool {
        self.tables.ends_coverage(index)
    }

    /// Returns the coverage being filled, if it has grains.
    pub(in crate::vmdk) fn open_coverage(&self) -> Option<u64> {
        self.tables.open_coverage()
    }

    /// Ends the coverage being filled and returns its table behind its marker; `None` when it has
    /// no grains.
    ///
    /// # Errors
    /// `Limit` beyond 2 TiB.
    pub(in crate::vmdk) fn end_coverage(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(table) = self.tables.take_table()? else {
            return Ok(None);
        };
        let marker = Marker::GrainTable { sectors: self.header.table_sectors() };
        Ok(Some([&marker.encode()[..], &table].concat()))
    }

    /// Ends the stream: returns everything behind the last grain.
    ///
    /// # Errors
    /// `Limit` beyond 2 TiB.
    pub(in crate::vmdk) fn end(&mut self) -> Result<Vec<u8>> {
        let mut bytes = self.end_coverage()?.unwrap_or_default();
        let sectors = self.header.directory_sectors();
        bytes.extend(Marker::GrainDirectory { sectors }.encode());
        let place = Sector(self.tables.advance(1));
        bytes.extend(self.tables.encode_directory());
        self.tables.advance(sectors);
        bytes.extend(Marker::Footer { sectors: 1 }.encode());
        bytes.extend(self.header.with_directory(place).encode());
        bytes.extend(Marker::EndOfStream.encode());
        self.stats.stream_bytes = self.tables.advance(3) * SECTOR_BYTES;
        Ok(bytes)
    }
}

fn step_of_trail(trail: u32, index: u64, place: Sector) -> u32 {
    let mut step = [0; 20];
    step[..4].copy_from_slice(&trail.to_le_bytes());
    step[4..12].copy_from_slice(&index.to_le_bytes());
    step[12..].copy_from_slice(&place.0.to_le_bytes());
    crc32(&step)
}

/// Returns how many sectors a grain of so many zlib bytes takes, with its marker.
fn stored_sectors(zlib_len: usize) -> u64 {
    u64_from(GRAIN_MARKER_BYTES + zlib_len).div_ceil(SECTOR_BYTES)
}
