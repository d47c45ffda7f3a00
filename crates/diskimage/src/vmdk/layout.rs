//! On-disk structures of the sparse kinds.
//!
//! Everything here is pure: bytes become validated values and back. All numbers are little-endian;
//! all positions and sizes are in sectors of 512 bytes unless a name says bytes. The source of the
//! layout is VMware's "Virtual Disk Format 5.0" technical note; where a limit or a reading is ours
//! or follows another reader, its comment says so.
//!
//! [`Header`] is the first sector and, in a stream, the footer. [`Marker`] precedes every part of a
//! stream. Neither knows in which order parts may come; [`super::stream_walk`] does. [`cowd`] and
//! [`sesparse`] are the deltas of ESX and of newer ESXi.

pub mod cowd;
mod header;
mod marker;
pub mod sesparse;

pub use header::{DirectoryPlace, Header};
pub use marker::{GRAIN_MARKER_BYTES, Marker, grain_marker, parse_grain_marker};

use std::fmt;

/// The unit of every VMDK position, whatever the sector size of the guest's disk.
pub const SECTOR_BYTES: u64 = 512;

/// The same in memory: the length of [`SectorBytes`].
pub const SECTOR_LEN: usize = 512;

/// One sector as it stands in the file.
pub type SectorBytes = [u8; SECTOR_LEN];

/// Largest capacity that is read or written: 64 TiB, in sectors.
///
/// VMware's own limit is 62 TB. With grains of 64 KiB this bounds a directory to 8 MiB.
pub const CAPACITY_SECTORS_MAX: u64 = 1 << 37;

/// Grain size that is written, and that every known writer uses: 64 KiB, in sectors.
pub const GRAIN_SECTORS: u64 = 128;

/// Smallest grain that the note allows (it says "greater than 8"; readers accept 8).
pub const GRAIN_SECTORS_MIN: u64 = 8;

/// Largest grain of a compressed extent: 1 MiB. Ours: it bounds the buffer for one grain.
pub const GRAIN_SECTORS_MAX_COMPRESSED: u64 = 2048;

/// Largest grain of an uncompressed extent, as in QEMU.
pub const GRAIN_SECTORS_MAX: u64 = 0x20_0000;

/// Entries of a grain table that are written, and that disks outside of streams must have.
pub const TABLE_ENTRIES: u32 = 512;

/// Fewest entries of a grain table that a stream may have; 128 fill one sector.
pub const TABLE_ENTRIES_MIN: u32 = 128;

/// Most entries of a grain directory. Ours: it bounds the memory of whoever walks one.
pub const DIRECTORY_ENTRIES_MAX: u64 = 4 << 20;

/// Most sectors of an embedded descriptor: 1 MiB. Real ones have 1 to 20.
pub const DESCRIPTOR_SECTORS_MAX: u64 = 2048;

/// A compressed grain may be longer than a grain, because deflate cannot shrink noise; beyond this
/// factor it is refused, as QEMU and VirtualBox do.
pub const DEFLATED_GRAINS_MAX: u64 = 2;

/// A table entry of this value means "all zeros": no grain can lie in the sector after the header.
pub const ZERO_GRAIN_ENTRY: u32 = 1;

/// Bytes of one entry of a grain table or directory.
pub const ENTRY_BYTES: u64 = 4;

/// The same in memory.
pub(crate) const ENTRY_LEN: usize = 4;

/// A position in a file or on the guest's disk, or a length, in sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sector(pub u64);

impl Sector {
    /// Returns the first byte of this sector, or `None` beyond 64 bits.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_BYTES)
    }

    /// Returns the sector that starts at `bytes`, or `None` inside of a sector.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        bytes.is_multiple_of(SECTOR_BYTES).then_some(Self(bytes / SECTOR_BYTES))
    }

    /// Returns the sum, or `None` beyond 64 bits.
    #[must_use]
    pub fn checked_add(self, sectors: u64) -> Option<Self> {
        self.0.checked_add(sectors).map(Self)
    }
}

impl fmt::Display for Sector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {}", self.0)
    }
}

/// Iterates over the 32-bit entries of a sector of a table or directory.
pub(crate) fn entries(sector: &SectorBytes) -> impl Iterator<Item = u32> {
    let (entries, _) = sector.as_chunks::<ENTRY_LEN>();
    entries.iter().map(|entry| u32::from_le_bytes(*entry))
}

/// Returns the `N` bytes at a fixed offset of a sector.
///
/// The offsets are constants of the formats, so that a panic is a bug found by any test.
fn field<const N: usize>(sector: &SectorBytes, offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&sector[offset..offset + N]);
    bytes
}
