//! Writes a stream-optimized disk in one forward pass.
//!
//! ```text
//! create ─► write_grain / write_deflated_grain (ascending) ─► finish
//! ```
//!
//! The layout is the note's: version 3, directory at the end, a grain table after each filled
//! coverage and only where there are grains, footer, end marker, nothing behind it. Grains of
//! zeros are left out. Memory is one grain, one table and the directory, so that a terabyte of
//! nothing costs 128 KiB.
//!
//! Deliberately absent: any order but ascending (a stream cannot go back), a redundant directory
//! (nothing reads it in a stream), and compression on several threads: whoever has several
//! threads compresses with [`GrainDeflater`] and hands the result to
//! [`StreamWriter::write_deflated_grain`].

mod tables;

use std::io::{self, Write};

use super::descriptor::{AdapterType, StreamText};
use super::grain::{GrainDeflater, Level, ZLIB_BYTES_MIN, is_zero, is_zlib_header};
use super::layout::{
    DEFLATED_GRAINS_MAX, GRAIN_MARKER_BYTES, GRAIN_SECTORS, Header, Marker, SECTOR_BYTES, SECTOR_LEN, Sector,
    grain_marker,
};
use crate::number::u64_from;
use crate::{Error, Result};
use tables::Tables;

/// The length of a full grain in memory: 64 KiB.
pub const GRAIN_LEN: usize = 128 * SECTOR_LEN;
const _: () = assert!(GRAIN_SECTORS == 128);

const ZEROS: [u8; SECTOR_LEN] = [0; SECTOR_LEN];

/// What a stream is to be.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Size of the guest's disk: a multiple of 512, at most 64 TiB. It need not be a multiple of
    /// the grain.
    pub capacity_bytes: u64,
    /// Content id: any value below `fffffffe`, best one that differs between contents.
    pub cid: u32,
    /// Name of the file, for the descriptor.
    pub extent_name: String,
    /// Controller, for the descriptor.
    pub adapter: AdapterType,
    /// How hard [`StreamWriter::write_grain`] compresses.
    pub level: Level,
}

impl StreamOptions {
    /// Returns the usual options for a disk.
    #[must_use]
    pub fn new(capacity_bytes: u64, cid: u32, extent_name: impl Into<String>) -> Self {
        Self {
            capacity_bytes,
            cid,
            extent_name: extent_name.into(),
            adapter: AdapterType::default(),
            level: Level::default(),
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Grains in the stream.
    pub grains: u64,
    /// Grains that were given but left out, because they were all zeros.
    pub zero_grains: u64,
    /// Bytes of the guest's disk that the grains hold: `populatedSize` of an OVF descriptor.
    pub populated_bytes: u64,
    /// Length of the stream.
    pub stream_bytes: u64,
}

/// Writes a stream; see the module.
///
/// Each grain becomes two or three writes, so an unbuffered `W` belongs in a
/// [`std::io::BufWriter`]. After an error of `W` the writer refuses to go on.
#[derive(Debug)]
pub struct StreamWriter<W> {
    out: W,
    header: Header,
    tables: Tables,
    /// Made by the first grain that needs it: a simulator with ready grains never does.
    deflater: Option<GrainDeflater>,
    level: Level,
    stats: StreamStats,
    failed: bool,
}

impl<W: Write> StreamWriter<W> {
    /// Starts a stream: writes header, descriptor and the padding up to the first grain.
    ///
    /// # Errors
    ///
    /// `Misuse` for a capacity that is no multiple of 512 or a name or content id that a
    /// descriptor cannot hold, `Limit` for a capacity of 0 or beyond 64 TiB, `Io`.
    pub fn create(out: W, options: &StreamOptions) -> Result<Self> {
        let capacity = Sector::from_bytes(options.capacity_bytes).ok_or_else(|| {
            Error::misuse("the capacity of a disk is a multiple of 512 bytes")
                .found(format!("{} bytes", options.capacity_bytes))
        })?;
        let text = StreamText::new(capacity, options.cid, &options.extent_name, options.adapter)?.to_string();
        let descriptor_sectors = u64_from(text.len()).div_ceil(SECTOR_BYTES);
        let header = Header::for_stream(capacity.0, descriptor_sectors)?;
        let mut writer = Self {
            out,
            tables: Tables::new(&header),
            header,
            deflater: None,
            level: options.level,
            stats: StreamStats::default(),
            failed: false,
        };
        let head = writer.header.encode();
        writer.put(&head)?;
        writer.put(text.as_bytes())?;
        writer.pad(u64_from(text.len()))?;
        for _ in writer.header.descriptor().end..writer.header.overhead().0 {
            writer.put(&ZEROS)?;
        }
        Ok(writer)
    }

    /// Compresses and writes the grain `index`, the `index`th 64 KiB of the guest's disk.
    ///
    /// `data` is the whole grain; for the last grain of a disk whose capacity is no multiple of
    /// the grain it is what remains. A grain of zeros is left out.
    ///
    /// # Errors
    ///
    /// `Misuse` for an index that is not above the one before or behind the end of the disk, or
    /// data of another length; `Limit` when the stream would exceed what a table can address
    /// (2 TiB); `Io`.
    pub fn write_grain(&mut self, index: u64, data: &[u8]) -> Result<()> {
        self.check_turn(index)?;
        let expected = self.header.guest_bytes_of(index);
        if u64_from(data.len()) != expected {
            return Err(Error::misuse("the data of a grain fill it exactly")
                .found(format!("{} bytes of {expected} for grain {index}", data.len())));
        }
        if is_zero(data) {
            self.tables.skip_to(index);
            self.stats.zero_grains += 1;
            return Ok(());
        }
        let level = self.level;
        // Taken out for the time of the call, because its buffer is written while `self` is in use.
        let mut deflater = self.deflater.take().unwrap_or_else(|| GrainDeflater::new(GRAIN_LEN, level));
        let len = deflater.deflate_behind_marker(data)?;
        let marker = self.begin_grain(index, len)?;
        let marked = deflater.marked(len);
        marked[..GRAIN_MARKER_BYTES].copy_from_slice(&marker);
        let written = self.put(marked);
        self.deflater = Some(deflater);
        written?;
        self.pad(u64_from(GRAIN_MARKER_BYTES + len))
    }

    /// Writes a grain whose zlib bytes exist already, without looking into them.
    ///
    /// They must expand to exactly 64 KiB, for the last grain of a disk as well (pad with zeros
    /// before compressing); [`GrainDeflater`] makes such bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::write_grain`]; `Misuse` also for bytes that do not begin like a zlib stream or
    /// are longer than two grains.
    pub fn write_deflated_grain(&mut self, index: u64, zlib: &[u8]) -> Result<()> {
        self.check_turn(index)?;
        let header_right = matches!(zlib, [first, second, ..] if is_zlib_header(*first, *second));
        if !header_right {
            return Err(Error::misuse("a deflated grain is a zlib stream"));
        }
        let marker = self.begin_grain(index, zlib.len())?;
        self.put(&marker)?;
        self.put(zlib)?;
        self.pad(u64_from(GRAIN_MARKER_BYTES + zlib.len()))
    }

    /// Ends the stream and gives the writer underneath back, flushed.
    ///
    /// # Errors
    ///
    /// `Limit` as for a grain; `Io`; `Misuse` after an earlier error of the writer underneath.
    pub fn finish(mut self) -> Result<(W, StreamStats)> {
        self.check_usable()?;
        self.end_coverage()?;
        let marker = Marker::GrainDirectory { sectors: self.header.directory_sectors() };
        self.put(&marker.encode())?;
        let place = Sector(self.tables.advance(1));
        let directory = self.tables.encode_directory();
        self.put(&directory)?;
        self.tables.advance(1 + self.header.directory_sectors());
        self.put(&Marker::Footer { sectors: 1 }.encode())?;
        let footer = self.header.with_directory(place).encode();
        self.put(&footer)?;
        self.put(&Marker::EndOfStream.encode())?;
        self.stats.stream_bytes = self.tables.advance(2) * SECTOR_BYTES;
        self.out.flush().map_err(write_error)?;
        Ok((self.out, self.stats))
    }

    /// Returns the length of the stream so far.
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        self.tables.position() * SECTOR_BYTES
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            return Err(Error::misuse("nothing is written after a failed write"));
        }
        Ok(())
    }

    fn check_turn(&self, index: u64) -> Result<()> {
        self.check_usable()?;
        self.tables.check_turn(index)
    }

    /// Ends the coverage before, if `index` begins another; notes where the grain will stand.
    fn begin_grain(&mut self, index: u64, len: usize) -> Result<[u8; GRAIN_MARKER_BYTES]> {
        let size_bytes = u32::try_from(len)
            .ok()
            .filter(|&size| size >= ZLIB_BYTES_MIN)
            .filter(|&size| u64::from(size) <= DEFLATED_GRAINS_MAX * self.header.grain_bytes())
            .ok_or_else(|| {
                Error::misuse("a deflated grain has at least 8 bytes and at most two grains")
                    .found(format!("{len} bytes"))
            })?;
        if self.tables.leaves_coverage(index) {
            self.end_coverage()?;
        }
        let marked_bytes = u64_from(GRAIN_MARKER_BYTES + len);
        self.tables.place_grain(index, marked_bytes.div_ceil(SECTOR_BYTES))?;
        self.stats.grains += 1;
        self.stats.populated_bytes += self.header.guest_bytes_of(index);
        let lba = Sector(index * self.header.grain_sectors());
        Ok(grain_marker(lba, size_bytes))
    }

    /// Writes the table of the coverage that ends, if it has grains.
    fn end_coverage(&mut self) -> Result<()> {
        let Some(table) = self.tables.take_table()? else {
            return Ok(());
        };
        let marker = Marker::GrainTable { sectors: self.header.table_sectors() };
        self.put(&marker.encode())?;
        self.put(&table)
    }

    /// Writes zeros up to the next sector behind `written` bytes.
    fn pad(&mut self, written: u64) -> Result<()> {
        let padding = written.next_multiple_of(SECTOR_BYTES) - written;
        let len = crate::number::clip(ZEROS.len(), padding);
        self.put(&ZEROS[..len])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|source| {
            self.failed = true;
            write_error(source)
        })
    }
}

fn write_error(source: io::Error) -> Error {
    Error::io("cannot write the stream", source)
}

/// Returns the exact length of the stream that these grains would make, without making it.
///
/// `grains` are the index and the deflated length of each grain, ascending.
///
/// # Errors
///
/// As writing them would.
pub fn stream_len_bytes(options: &StreamOptions, grains: impl IntoIterator<Item = (u64, usize)>) -> Result<u64> {
    let mut writer = StreamWriter::create(io::sink(), options)?;
    for (index, len) in grains {
        writer.check_turn(index)?;
        writer.begin_grain(index, len)?;
    }
    Ok(writer.finish()?.1.stream_bytes)
}

#[cfg(test)]
mod tests;
