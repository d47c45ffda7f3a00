//! Sizes and limits of qcow2, and the arithmetic that follows from the size of a cluster.
//!
//! All numbers in a file are big-endian; all positions and sizes are bytes. The source is QEMU's
//! `docs/interop/qcow2`; where a limit is QEMU's or ours, its comment says so.

/// What every position in the file must be a multiple of, as a power of two: 512 bytes.
pub const CLUSTER_BITS_MIN: u32 = 9;

/// Largest cluster as a power of two: 2 MiB. QEMU refuses larger ones.
pub const CLUSTER_BITS_MAX: u32 = 21;

/// Largest cluster in bytes; also the most that the header and its extensions can take.
pub const CLUSTER_BYTES_MAX: u64 = 1 << CLUSTER_BITS_MAX;

/// The unit of lengths of compressed data.
pub const SECTOR_BYTES: u64 = 512;

/// Largest guest disk that is read or written: 64 TiB. Ours; VMware's own limit is 62 TB.
pub const CAPACITY_BYTES_MAX: u64 = 64 << 40;

/// Largest L1 table: 32 MiB, as in QEMU.
pub const L1_BYTES_MAX: u64 = 32 << 20;

/// Largest refcount table: 8 MiB, as in QEMU.
pub const REFCOUNT_TABLE_BYTES_MAX: u64 = 8 << 20;

/// Most internal snapshots, as in QEMU. They are counted here and never read.
pub const SNAPSHOTS_MAX: u32 = 65536;

/// Longest name of a backing file, as in the format.
pub const BACKING_NAME_BYTES_MAX: u32 = 1023;

/// Bytes of an entry of every table but the refcount blocks.
pub const ENTRY_BYTES: u64 = 8;

/// The same in memory.
pub(crate) const ENTRY_LEN: usize = 8;

/// Bits of a reference count as we write them: one host cluster may hold up to 65535 compressed
/// guest clusters. With 8 bits the 256th would overflow.
pub const REFCOUNT_ORDER: u32 = 4;

/// Bytes of such a count.
pub const REFCOUNT_BYTES: u64 = 2;

/// The size of a cluster and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    cluster_bits: u32,
}

impl Geometry {
    /// Returns the geometry for clusters of two to the power of `cluster_bits` bytes, or `None`
    /// outside of 9 to 21.
    #[must_use]
    pub fn new(cluster_bits: u32) -> Option<Self> {
        (CLUSTER_BITS_MIN..=CLUSTER_BITS_MAX).contains(&cluster_bits).then_some(Self { cluster_bits })
    }

    /// Returns the logarithm of the size of a cluster.
    #[must_use]
    pub fn cluster_bits(self) -> u32 {
        self.cluster_bits
    }

    /// Returns the size of a cluster in bytes.
    #[must_use]
    pub fn cluster_bytes(self) -> u64 {
        1 << self.cluster_bits
    }

    /// Returns the same for sizes in memory.
    #[must_use]
    pub fn cluster_len(self) -> usize {
        1 << self.cluster_bits
    }

    /// Returns how many clusters hold `bytes`, the last one possibly in part.
    #[must_use]
    pub fn clusters(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster_bytes())
    }

    /// Returns whether a position is the start of a cluster.
    #[must_use]
    pub fn is_aligned(self, position: u64) -> bool {
        position.is_multiple_of(self.cluster_bytes())
    }

    /// Returns how many entries an L2 table has.
    #[must_use]
    pub fn l2_entries(self) -> u64 {
        self.cluster_bytes() / ENTRY_BYTES
    }

    /// Returns how many bytes of the guest's disk one L2 table covers.
    #[must_use]
    pub fn l2_coverage_bytes(self) -> u64 {
        self.l2_entries() * self.cluster_bytes()
    }

    /// Returns how many entries the L1 table of a disk needs.
    #[must_use]
    pub fn l1_entries(self, capacity_bytes: u64) -> u64 {
        capacity_bytes.div_ceil(self.l2_coverage_bytes())
    }

    /// Returns how many low bits of the entry of a compressed cluster are its position.
    #[must_use]
    pub fn compressed_offset_bits(self) -> u32 {
        62 - (self.cluster_bits - 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_the_cluster_as_the_format_says() {
        let usual = Geometry::new(16).unwrap();
        assert_eq!(usual.cluster_bytes(), 65536);
        assert_eq!(usual.l2_coverage_bytes(), 512 << 20);
        assert_eq!(usual.l1_entries((1 << 30) + 1), 3);
        assert_eq!(usual.compressed_offset_bits(), 54);
        let largest = Geometry::new(21).unwrap();
        assert_eq!(largest.l2_coverage_bytes(), 512 << 30);
        assert_eq!(largest.compressed_offset_bits(), 49);
        assert_eq!(Geometry::new(8), None);
        assert_eq!(Geometry::new(22), None);
    }
}
