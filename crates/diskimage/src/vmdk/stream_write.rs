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
//! `parts` knows the format, and [`super::write`] uses it as well: the same disk, written to a file
//! that can be gone back in, on several threads and over crashes.
//!
//! Deliberately absent: any order but ascending (a stream cannot go back), a redundant directory
//! (nothing reads it in a stream), and compression on several threads.

mod parts;
mod tables;

use std::io::{self, Write};

use super::descriptor::AdapterType;
use super::grain::{GrainDeflater, Level, is_zero, is_zlib_header};
use super::layout::{GRAIN_MARKER_BYTES, GRAIN_SECTORS, SECTOR_BYTES, SECTOR_LEN};
use crate::number::{clip, u64_from};
use crate::{Error, Result};
pub(super) use parts::Parts;

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
/// Each grain becomes one to three writes, so an unbuffered `W` belongs in a
/// [`std::io::BufWriter`]. After an error of `W` the writer refuses to go on.
#[derive(Debug)]
pub struct StreamWriter<W> {
    out: W,
    parts: Parts,
    /// Made by the first grain that needs it: a simulator with ready grains never does.
    deflater: Option<GrainDeflater>,
    /// The grain in work, as it will stand in the stream.
    stored: Vec<u8>,
    level: Level,
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
        let parts = Parts::new(options, 0)?;
        let mut head = parts.head();
        let overhead_bytes = parts.header().overhead().0 * SECTOR_BYTES;
        head.resize(clip(usize::MAX, overhead_bytes), 0);
        let mut writer = Self { out, parts, deflater: None, stored: Vec::new(), level: options.level, failed: false };
        writer.put(&head)?;
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
        let expected = self.parts.header().guest_bytes_of(index);
        if u64_from(data.len()) != expected {
            return Err(Error::misuse("the data of a grain fill it exactly")
                .found(format!("{} bytes of {expected} for grain {index}", data.len())));
        }
        if is_zero(data) {
            self.parts.skip(index);
            return Ok(());
        }
        let level = self.level;
        let deflater = self.deflater.get_or_insert_with(|| GrainDeflater::new(GRAIN_LEN, level));
        let mut stored = std::mem::take(&mut self.stored);
        let written = deflater.deflate_as_stored(data, &mut stored).and_then(|len| {
            let placed = self.parts.place(index, len)?;
            stored[..GRAIN_MARKER_BYTES].copy_from_slice(&placed.marker);
            self.put(placed.table.as_deref().unwrap_or_default())?;
            self.put(&stored[..(GRAIN_MARKER_BYTES + len).next_multiple_of(SECTOR_LEN)])
        });
        self.stored = stored;
        written
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
        let placed = self.parts.place(index, zlib.len())?;
        self.put(placed.table.as_deref().unwrap_or_default())?;
        self.put(&placed.marker)?;
        self.put(zlib)?;
        let written = GRAIN_MARKER_BYTES + zlib.len();
        self.put(&ZEROS[..written.next_multiple_of(SECTOR_LEN) - written])
    }

    /// Ends the stream and gives the writer underneath back, flushed.
    ///
    /// # Errors
    ///
    /// `Limit` as for a grain; `Io`; `Misuse` after an earlier error of the writer underneath.
    pub fn finish(mut self) -> Result<(W, StreamStats)> {
        self.check_usable()?;
        let end = self.parts.end()?;
        self.put(&end)?;
        self.out.flush().map_err(write_error)?;
        Ok((self.out, self.parts.stats()))
    }

    /// Returns the length of the stream so far.
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        self.parts.position().0 * SECTOR_BYTES
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            return Err(Error::misuse("nothing is written after a failed write"));
        }
        Ok(())
    }

    fn check_turn(&self, index: u64) -> Result<()> {
        self.check_usable()?;
        self.parts.check_turn(index)
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
    let mut parts = Parts::new(options, 0)?;
    for (index, len) in grains {
        parts.check_turn(index)?;
        parts.place(index, len)?;
    }
    parts.end()?;
    Ok(parts.stats().stream_bytes)
}

#[cfg(test)]
mod tests;
