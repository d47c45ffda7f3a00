//! Bytes of a header, and the rules that they must keep to.

use super::extension::{self, Extensions};
use super::{Backing, CompressionType, Header, MAGIC};
use crate::number::u64_from;
use crate::qcow2::layout::{
    BACKING_NAME_BYTES_MAX, CAPACITY_BYTES_MAX, ENTRY_BYTES, Geometry, L1_BYTES_MAX, REFCOUNT_TABLE_BYTES_MAX,
    SECTOR_BYTES, SNAPSHOTS_MAX,
};
use crate::{Error, ErrorKind, Result};

/// Length of the header as we write it: with the compression type and its padding.
pub(super) const HEADER_LEN: usize = 112;
/// Length of a header of version 2.
const VERSION_2_LEN: usize = 72;
/// Least length of a header of version 3.
const VERSION_3_LEN_MIN: u32 = 104;
/// Bits of a count in version 2, as a logarithm: 16.
const VERSION_2_REFCOUNT_ORDER: u32 = 4;
/// Counts of at most 64 bits.
const REFCOUNT_ORDER_MAX: u32 = 6;

const INCOMPATIBLE_DIRTY: u64 = 1 << 0;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_EXTERNAL_DATA: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
const INCOMPATIBLE_KNOWN: u64 = INCOMPATIBLE_DIRTY
    | INCOMPATIBLE_CORRUPT
    | INCOMPATIBLE_EXTERNAL_DATA
    | INCOMPATIBLE_COMPRESSION
    | INCOMPATIBLE_EXTENDED_L2;

const COMPRESSION_DEFLATE: u8 = 0;
const COMPRESSION_ZSTD: u8 = 1;

const OFFSET_BACKING_OFFSET: usize = 8;
const OFFSET_BACKING_LEN: usize = 16;
const OFFSET_CLUSTER_BITS: usize = 20;
const OFFSET_SIZE: usize = 24;
const OFFSET_ENCRYPTION: usize = 32;
const OFFSET_L1_ENTRIES: usize = 36;
const OFFSET_L1: usize = 40;
const OFFSET_REFCOUNT_TABLE: usize = 48;
const OFFSET_REFCOUNT_CLUSTERS: usize = 56;
const OFFSET_SNAPSHOTS: usize = 60;
const OFFSET_INCOMPATIBLE: usize = 72;
const OFFSET_REFCOUNT_ORDER: usize = 96;
const OFFSET_HEADER_LEN: usize = 100;
const OFFSET_COMPRESSION: usize = 104;

/// What stands behind the fields that both versions have.
struct Features {
    incompatible: u64,
    refcount_order: u32,
    header_len: usize,
    compression: u8,
}

impl Header {
    /// Reads and checks a header.
    ///
    /// `start` is the start of the file, at least its first cluster or all of it; what stands
    /// behind the first cluster is not looked at. `file_bytes` is the length of the file.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`, `Limit`, and `Unsupported` for encryption, an external data file,
    /// extended L2 entries, features that nobody knows, and sizes that are no multiple of 512.
    pub fn parse(start: &[u8], file_bytes: u64) -> Result<Self> {
        if !start.starts_with(&MAGIC) {
            return Err(Error::corrupt("an image begins with QFI and 0xfb").at(0));
        }
        let version = u32::from_be_bytes(field(start, MAGIC.len())?);
        if !(2..=3).contains(&version) {
            return Err(Error::unsupported("the version is 2 or 3").found(format!("version {version}")).at(4));
        }
        let bits = u32::from_be_bytes(field(start, OFFSET_CLUSTER_BITS)?);
        let geometry = Geometry::new(bits).ok_or_else(|| {
            Error::corrupt("a cluster has between 512 bytes and 2 MiB").found(format!("2^{bits} bytes")).at(20)
        })?;
        let cluster = &start[..start.len().min(geometry.cluster_len())];
        let features = features(cluster, version)?;
        let header = Self {
            version,
            geometry,
            capacity_bytes: u64::from_be_bytes(field(cluster, OFFSET_SIZE)?),
            l1_entries: u32::from_be_bytes(field(cluster, OFFSET_L1_ENTRIES)?),
            l1_offset: u64::from_be_bytes(field(cluster, OFFSET_L1)?),
            refcount_table_offset: u64::from_be_bytes(field(cluster, OFFSET_REFCOUNT_TABLE)?),
            refcount_table_clusters: u32::from_be_bytes(field(cluster, OFFSET_REFCOUNT_CLUSTERS)?),
            refcount_order: features.refcount_order,
            snapshots: u32::from_be_bytes(field(cluster, OFFSET_SNAPSHOTS)?),
            dirty: features.incompatible & INCOMPATIBLE_DIRTY != 0,
            corrupt: features.incompatible & INCOMPATIBLE_CORRUPT != 0,
            compression: compression(&features)?,
            backing: backing(cluster, features.header_len)?,
        };
        if u32::from_be_bytes(field(cluster, OFFSET_ENCRYPTION)?) != 0 {
            return Err(Error::new(ErrorKind::Encrypted, "an encrypted image cannot be read").at(32));
        }
        header.check_sizes()?;
        header.check_tables(file_bytes)?;
        Ok(header)
    }

    fn check_sizes(&self) -> Result<()> {
        let size = || format!("{} bytes", self.capacity_bytes);
        if self.capacity_bytes > CAPACITY_BYTES_MAX {
            return Err(Error::limit("a disk has at most 64 TiB").found(size()).at(24));
        }
        if !self.capacity_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(Error::unsupported("a disk has whole sectors of 512 bytes").found(size()).at(24));
        }
        if self.snapshots > SNAPSHOTS_MAX {
            let found = format!("{} snapshots", self.snapshots);
            return Err(Error::limit("an image has at most 65536 internal snapshots").found(found).at(60));
        }
        if self.refcount_order > REFCOUNT_ORDER_MAX {
            let found = format!("2^{} bits", self.refcount_order);
            return Err(Error::corrupt("a reference count has at most 64 bits").found(found).at(96));
        }
        Ok(())
    }

    fn check_tables(&self, file_bytes: u64) -> Result<()> {
        let l1_entries = u64::from(self.l1_entries);
        let found = || format!("{l1_entries} entries for {} bytes", self.capacity_bytes);
        if l1_entries < self.l1_entries_in_use() {
            return Err(Error::corrupt("the L1 table covers the disk").found(found()).at(36));
        }
        if l1_entries * ENTRY_BYTES > L1_BYTES_MAX {
            return Err(Error::limit("an L1 table has at most 32 MiB").found(found()).at(36));
        }
        let refcount_clusters = u64::from(self.refcount_table_clusters);
        if refcount_clusters == 0 {
            return Err(Error::corrupt("there is a refcount table").at(56));
        }
        if refcount_clusters > REFCOUNT_TABLE_BYTES_MAX.div_ceil(self.geometry.cluster_bytes()) {
            let found = format!("{refcount_clusters} clusters");
            return Err(Error::limit("a refcount table has at most 8 MiB").found(found).at(56));
        }
        let refcount_bytes = refcount_clusters * self.geometry.cluster_bytes();
        self.check_table(self.l1_offset, l1_entries * ENTRY_BYTES, file_bytes, 40)?;
        self.check_table(self.refcount_table_offset, refcount_bytes, file_bytes, 48)?;
        let (l1, refcounts) = (self.l1_range(), self.refcount_table_range());
        if l1.start < refcounts.end && refcounts.start < l1.end && !l1.is_empty() {
            return Err(Error::corrupt("the L1 table and the refcount table do not overlap").at(40));
        }
        Ok(())
    }

    fn check_table(&self, offset: u64, len_bytes: u64, file_bytes: u64, field_at: u64) -> Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        let found = || format!("{len_bytes} bytes at {offset}");
        if offset == 0 || !self.geometry.is_aligned(offset) {
            return Err(Error::corrupt("a table begins at a cluster behind the header").found(found()).at(field_at));
        }
        match offset.checked_add(len_bytes) {
            Some(end) if end <= file_bytes => Ok(()),
            _ => Err(Error::truncated("a table lies inside the file").found(found()).at(field_at)),
        }
    }

    /// Returns the bytes of a header as this crate writes it, with the end of the extensions.
    pub(in crate::qcow2) fn encode(&self) -> Vec<u8> {
        debug_assert!(self.version == 3 && self.backing.is_none(), "what we write");
        let incompatible = match self.compression {
            CompressionType::Deflate => 0,
            CompressionType::Zstd => INCOMPATIBLE_COMPRESSION,
        };
        let header_len = u32::try_from(HEADER_LEN).expect("a small constant");
        // Eight zeros behind the header: the end of the extensions.
        let mut bytes = vec![0; HEADER_LEN + 8];
        let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(MAGIC.len(), &self.version.to_be_bytes());
        put(OFFSET_CLUSTER_BITS, &self.geometry.cluster_bits().to_be_bytes());
        put(OFFSET_SIZE, &self.capacity_bytes.to_be_bytes());
        put(OFFSET_L1_ENTRIES, &self.l1_entries.to_be_bytes());
        put(OFFSET_L1, &self.l1_offset.to_be_bytes());
        put(OFFSET_REFCOUNT_TABLE, &self.refcount_table_offset.to_be_bytes());
        put(OFFSET_REFCOUNT_CLUSTERS, &self.refcount_table_clusters.to_be_bytes());
        put(OFFSET_INCOMPATIBLE, &incompatible.to_be_bytes());
        put(OFFSET_REFCOUNT_ORDER, &self.refcount_order.to_be_bytes());
        put(OFFSET_HEADER_LEN, &header_len.to_be_bytes());
        put(OFFSET_COMPRESSION, &[if incompatible == 0 { COMPRESSION_DEFLATE } else { COMPRESSION_ZSTD }]);
        bytes
    }
}

fn features(cluster: &[u8], version: u32) -> Result<Features> {
    if version == 2 {
        let refcount_order = VERSION_2_REFCOUNT_ORDER;
        return Ok(Features { incompatible: 0, refcount_order, header_len: VERSION_2_LEN, compression: 0 });
    }
    let incompatible = u64::from_be_bytes(field(cluster, OFFSET_INCOMPATIBLE)?);
    if incompatible & !INCOMPATIBLE_KNOWN != 0 {
        let unknown = incompatible & !INCOMPATIBLE_KNOWN;
        return Err(Error::unsupported("all incompatible features are known").found(format!("{unknown:#x}")).at(72));
    }
    if incompatible & INCOMPATIBLE_EXTERNAL_DATA != 0 {
        return Err(Error::unsupported("an image with its data in another file cannot be read").at(72));
    }
    if incompatible & INCOMPATIBLE_EXTENDED_L2 != 0 {
        return Err(Error::unsupported("an image with extended L2 entries cannot be read").at(72));
    }
    let header_bytes = u32::from_be_bytes(field(cluster, OFFSET_HEADER_LEN)?);
    let found = || format!("{header_bytes} bytes");
    if header_bytes < VERSION_3_LEN_MIN || !header_bytes.is_multiple_of(8) {
        return Err(Error::corrupt("a header has a multiple of 8 bytes, at least 104").found(found()).at(100));
    }
    let header_len = usize::try_from(header_bytes)
        .ok()
        .filter(|len| *len <= cluster.len())
        .ok_or_else(|| Error::corrupt("the header lies inside the first cluster").found(found()).at(100))?;
    let has_compression = header_len > OFFSET_COMPRESSION;
    Ok(Features {
        incompatible,
        refcount_order: u32::from_be_bytes(field(cluster, OFFSET_REFCOUNT_ORDER)?),
        header_len,
        compression: if has_compression { cluster[OFFSET_COMPRESSION] } else { COMPRESSION_DEFLATE },
    })
}

fn compression(features: &Features) -> Result<CompressionType> {
    let flagged = features.incompatible & INCOMPATIBLE_COMPRESSION != 0;
    match features.compression {
        COMPRESSION_DEFLATE if !flagged => Ok(CompressionType::Deflate),
        COMPRESSION_ZSTD if flagged => Ok(CompressionType::Zstd),
        COMPRESSION_DEFLATE | COMPRESSION_ZSTD => {
            Err(Error::corrupt("the compression type is not deflate exactly where its feature bit is set").at(104))
        }
        other => Err(Error::unsupported("the compression type is known").found(format!("type {other}")).at(104)),
    }
}

fn backing(cluster: &[u8], header_len: usize) -> Result<Option<Backing>> {
    let offset = u64::from_be_bytes(field(cluster, OFFSET_BACKING_OFFSET)?);
    let len_bytes = u32::from_be_bytes(field(cluster, OFFSET_BACKING_LEN)?);
    if offset == 0 || len_bytes == 0 {
        let Extensions { .. } = extension::parse(&cluster[header_len.min(cluster.len())..], header_len)?;
        return Ok(None);
    }
    let rule = "the name of the backing file lies in the first cluster, behind the header";
    let place = usize::try_from(offset).ok().zip(usize::try_from(len_bytes).ok());
    let name = place
        .filter(|(start, _)| *start >= header_len)
        .and_then(|(start, len)| cluster.get(start..)?.get(..len))
        .filter(|_| len_bytes <= BACKING_NAME_BYTES_MAX)
        .ok_or_else(|| Error::corrupt(rule).found(format!("{len_bytes} bytes at {offset}")).at(8))?;
    if name.contains(&0) {
        return Err(Error::corrupt("the name of the backing file has no NUL").at(offset));
    }
    let name = String::from_utf8(name.to_vec())
        .map_err(|_| Error::unsupported("the name of the backing file is UTF-8").at(offset))?;
    let end = place.map_or(header_len, |(start, _)| start);
    let Extensions { backing_format } = extension::parse(&cluster[header_len..end], header_len)?;
    Ok(Some(Backing { name, format: backing_format }))
}

/// Returns the `N` bytes at an offset of the file.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N]> {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or_else(|| Error::truncated("an image has a whole header").at(u64_from(bytes.len())))
}
