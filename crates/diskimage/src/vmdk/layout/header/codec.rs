//! The bytes of a header, and the checks that make it one.

use std::ops::Range;

use super::{DirectoryPlace, Header};
use crate::vmdk::layout::{
    CAPACITY_SECTORS_MAX, DESCRIPTOR_SECTORS_MAX, DIRECTORY_ENTRIES_MAX, GRAIN_SECTORS_MAX,
    GRAIN_SECTORS_MAX_COMPRESSED, GRAIN_SECTORS_MIN, SECTOR_LEN, Sector, SectorBytes, TABLE_ENTRIES, TABLE_ENTRIES_MIN,
    field,
};
use crate::{Error, Result};

const MAGIC: [u8; 4] = *b"KDMV";
const NEWLINE_TEST: [u8; 4] = *b"\n \r\n";
const VERSION_MAX: u32 = 3;
/// The only version ESXi takes in a stream.
pub(super) const VERSION_STREAM: u32 = 3;

pub(super) const FLAG_NEWLINE_TEST: u32 = 1;
pub(super) const FLAG_REDUNDANT_DIRECTORY: u32 = 1 << 1;
pub(super) const FLAG_ZERO_GRAINS: u32 = 1 << 2;
pub(super) const FLAG_COMPRESSED: u32 = 1 << 16;
pub(super) const FLAG_MARKERS: u32 = 1 << 17;
/// By design a reader must refuse what it does not know among the upper sixteen bits.
const FLAGS_INCOMPATIBLE_UNKNOWN: u32 = 0xffff_0000 & !(FLAG_COMPRESSED | FLAG_MARKERS);

const COMPRESSION_NONE: u16 = 0;
const COMPRESSION_DEFLATE: u16 = 1;

/// Value of the directory field of a stream whose tables come at the end.
pub(super) const DIRECTORY_IN_FOOTER: u64 = u64::MAX;

impl Header {
    /// Parses and checks a header or footer.
    ///
    /// # Errors
    ///
    /// `Corrupt` for what no writer may write, `Unsupported` for versions and flags from the
    /// future and for compression without markers, `Limit` for sizes beyond the limits of
    /// [`crate::vmdk::layout`].
    pub fn parse(sector: &SectorBytes) -> Result<Self> {
        let u32_at = |offset| u32::from_le_bytes(field(sector, offset));
        let u64_at = |offset| u64::from_le_bytes(field(sector, offset));
        if field(sector, 0) != MAGIC {
            return Err(Error::corrupt("a sparse extent starts with the letters KDMV"));
        }
        let flags = u32_at(8);
        if flags & FLAG_NEWLINE_TEST != 0 && field(sector, 73) != NEWLINE_TEST {
            return Err(Error::corrupt(
                "the newline test bytes of the header are intact (a transfer in text mode damages them)",
            ));
        }
        let header = Self {
            version: u32_at(4),
            flags,
            capacity_sectors: u64_at(12),
            grain_sectors: u64_at(20),
            descriptor: descriptor_range(u64_at(28), u64_at(36))?,
            table_entries: u32_at(44),
            redundant_directory: u64_at(48),
            directory: match u64_at(56) {
                DIRECTORY_IN_FOOTER => DirectoryPlace::Footer,
                sector => DirectoryPlace::At(Sector(sector)),
            },
            overhead: Sector(u64_at(64)),
            unclean: sector[72] != 0,
        };
        header.check_kind(u16::from_le_bytes(field(sector, 77)))?;
        header.check_geometry()?;
        Ok(header)
    }

    /// Encodes the header.
    #[must_use]
    pub fn encode(&self) -> SectorBytes {
        let mut sector = [0; SECTOR_LEN];
        let mut put = |offset: usize, bytes: &[u8]| {
            sector[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &MAGIC);
        put(4, &self.version.to_le_bytes());
        put(8, &self.flags.to_le_bytes());
        put(12, &self.capacity_sectors.to_le_bytes());
        put(20, &self.grain_sectors.to_le_bytes());
        put(28, &self.descriptor.start.to_le_bytes());
        put(36, &(self.descriptor.end - self.descriptor.start).to_le_bytes());
        put(44, &self.table_entries.to_le_bytes());
        put(48, &self.redundant_directory.to_le_bytes());
        let directory = match self.directory {
            DirectoryPlace::Footer => DIRECTORY_IN_FOOTER,
            DirectoryPlace::At(sector) => sector.0,
        };
        put(56, &directory.to_le_bytes());
        put(64, &self.overhead.0.to_le_bytes());
        put(72, &[u8::from(self.unclean)]);
        put(73, &NEWLINE_TEST);
        let compression = if self.is_stream() { COMPRESSION_DEFLATE } else { COMPRESSION_NONE };
        put(77, &compression.to_le_bytes());
        sector
    }

    fn check_kind(&self, compression: u16) -> Result<()> {
        if !(1..=VERSION_MAX).contains(&self.version) {
            return Err(Error::unsupported("the version of a sparse extent is 1, 2 or 3")
                .found(format!("version {}", self.version)));
        }
        let unknown = self.flags & FLAGS_INCOMPATIBLE_UNKNOWN;
        if unknown != 0 {
            return Err(Error::unsupported("no incompatible flag is set that is unknown here")
                .found(format!("flags {unknown:#x}")));
        }
        let compressed = self.flags & FLAG_COMPRESSED != 0;
        // Readers disagree about which of the two decides; QEMU returns compressed bytes as guest
        // data when they contradict each other.
        if compressed != (compression == COMPRESSION_DEFLATE) || compression > COMPRESSION_DEFLATE {
            return Err(Error::corrupt("the compression flag and the compression method agree")
                .found(format!("flag {compressed}, method {compression}")));
        }
        let markers = self.flags & FLAG_MARKERS != 0;
        if compressed != markers {
            return Err(Error::unsupported("grains are compressed and have markers, or neither")
                .found(format!("compressed {compressed}, markers {markers}")));
        }
        Ok(())
    }

    pub(super) fn check_geometry(&self) -> Result<()> {
        if !(1..=CAPACITY_SECTORS_MAX).contains(&self.capacity_sectors) {
            return Err(Error::limit("the capacity is between one sector and 64 TiB")
                .found(format!("{} sectors", self.capacity_sectors)));
        }
        let grain_max = if self.is_stream() { GRAIN_SECTORS_MAX_COMPRESSED } else { GRAIN_SECTORS_MAX };
        if !self.grain_sectors.is_power_of_two() || !(GRAIN_SECTORS_MIN..=grain_max).contains(&self.grain_sectors) {
            return Err(Error::corrupt("the grain size is a power of two, from 4 KiB to 1 MiB (1 GiB uncompressed)")
                .found(format!("{} sectors", self.grain_sectors)));
        }
        let entries_min = if self.is_stream() { TABLE_ENTRIES_MIN } else { TABLE_ENTRIES };
        if !self.table_entries.is_power_of_two() || !(entries_min..=TABLE_ENTRIES).contains(&self.table_entries) {
            return Err(Error::corrupt("a grain table has 512 entries (128 or 256 in streams)")
                .found(format!("{} entries", self.table_entries)));
        }
        if self.directory_entries() > DIRECTORY_ENTRIES_MAX {
            return Err(Error::limit("a grain directory has at most 4 Mi entries")
                .found(format!("{} entries", self.directory_entries())));
        }
        if self.overhead.0 < self.descriptor.end.max(1) {
            return Err(Error::corrupt("the overhead contains header and descriptor")
                .found(format!("overhead of {} sectors", self.overhead.0)));
        }
        Ok(())
    }
}

/// Returns the sectors of the descriptor; an offset of 0 means none, whatever the size says.
fn descriptor_range(offset: u64, sectors: u64) -> Result<Range<u64>> {
    if offset == 0 {
        return Ok(0..0);
    }
    if sectors > DESCRIPTOR_SECTORS_MAX {
        return Err(descriptor_too_long(sectors));
    }
    let end = offset
        .checked_add(sectors)
        .ok_or_else(|| Error::corrupt("the descriptor lies inside the file").found(format!("sector {offset}")))?;
    Ok(offset..end)
}

pub(super) fn descriptor_too_long(sectors: u64) -> Error {
    Error::limit("an embedded descriptor has at most 1 MiB").found(format!("{sectors} sectors"))
}
