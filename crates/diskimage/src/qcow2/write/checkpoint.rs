//! What a commit tells: the entries that are new, so that a reopen can rebuild the map.
//!
//! | off | size | meaning |
//! |--:|--:|---|
//! | 0 | 8 | `qcow2ck1` |
//! | 8 | 8 | number of this checkpoint, from 0 |
//! | 16 | 4 | checksum of the one before, or 0 |
//! | 20 | 1 | logarithm of the cluster |
//! | 21 | 1 | compression: 0 none, 1 deflate, 2 zstd |
//! | 22 | 1 | 0 the changes follow, 1 their place in the image follows |
//! | 23 | 1 | 0 |
//! | 24 | 8 | capacity in bytes |
//! | 32 | 8 | host clusters in use: everything named here and before lies below |
//! | 40 | … | the changes; or offset (8), length (8) and checksum (4) of them |
//! | end | 4 | CRC-32 of all before |
//!
//! Numbers are little-endian. The checksums chain the list: one that is not of this image, or not
//! next, is refused.
//!
//! Changes ascend by guest cluster. Each is a run: a varint (7 bits a byte, low first) of the gap
//! since the last run × 4 + kind, then by kind 0 *cleared* the number of clusters; 1 *plain* the
//! number, and where they lie, as the signed distance in clusters from the end of the last plain
//! run; 2 *compressed*, of one cluster, the signed distance in bytes from the end of the last, and
//! the length. A signed distance is zigzag: 0, −1, 1, −2 …

mod varint;

use libdeflater::crc32;

use super::super::entry::{self, Mapping};
use super::super::header::CompressionType;
use super::super::layout::Geometry;
use crate::{Error, ErrorKind, Result};
use varint::{Varints, put_signed, put_varint};

/// The most bytes of a checkpoint: 64 KiB. Whoever keeps them has no room for more.
pub(super) const CHECKPOINT_BYTES_MAX: usize = 64 << 10;

const MAGIC: [u8; 8] = *b"qcow2ck1";
const HEAD_LEN: usize = 40;
const CHECKSUM_LEN: usize = 4;

/// The most bytes of changes that a checkpoint holds itself.
pub(super) const INLINE_BYTES_MAX: usize = CHECKPOINT_BYTES_MAX - HEAD_LEN - CHECKSUM_LEN;

const CHANGES_INLINE: u8 = 0;
const CHANGES_IN_IMAGE: u8 = 1;

const KIND_CLEARED: u64 = 0;
const KIND_PLAIN: u64 = 1;
const KIND_COMPRESSED: u64 = 2;
const KIND_BITS: u32 = 2;

/// What all checkpoints of an image have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) geometry: Geometry,
    pub(super) capacity_bytes: u64,
    pub(super) compression: Option<CompressionType>,
}

impl Shape {
    /// Returns how many guest clusters there are.
    pub(super) fn clusters(self) -> u64 {
        self.geometry.clusters(self.capacity_bytes)
    }

    fn compression_code(self) -> u8 {
        match self.compression {
            None => 0,
            Some(CompressionType::Deflate) => 1,
            Some(CompressionType::Zstd) => 2,
        }
    }
}

/// How far the list of checkpoints got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    number: u64,
    checksum: u32,
}

/// The changes of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// Themselves.
    Inline(Vec<u8>),
    /// Where they were put because they are too many.
    InImage { offset: u64, len_bytes: u64, checksum: u32 },
}

/// One checkpoint, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) used_clusters: u64,
    pub(super) changes: Changes,
}

impl Checkpoint {
    /// Encodes the next checkpoint of a list.
    pub(super) fn encode(&self, shape: Shape, chain: &mut Chain) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(chain.number.to_le_bytes());
        bytes.extend(chain.checksum.to_le_bytes());
        let bits = u8::try_from(shape.geometry.cluster_bits()).expect("at most 21");
        let place = if matches!(self.changes, Changes::Inline(_)) { CHANGES_INLINE } else { CHANGES_IN_IMAGE };
        bytes.extend([bits, shape.compression_code(), place, 0]);
        bytes.extend(shape.capacity_bytes.to_le_bytes());
        bytes.extend(self.used_clusters.to_le_bytes());
        match &self.changes {
            Changes::Inline(changes) => bytes.extend(changes),
            Changes::InImage { offset, len_bytes, checksum } => {
                bytes.extend(offset.to_le_bytes());
                bytes.extend(len_bytes.to_le_bytes());
                bytes.extend(checksum.to_le_bytes());
            }
        }
        let checksum = crc32(&bytes);
        bytes.extend(checksum.to_le_bytes());
        *chain = Chain { number: chain.number + 1, checksum };
        debug_assert!(bytes.len() <= CHECKPOINT_BYTES_MAX, "changes were moved out");
        bytes
    }

    /// Decodes a checkpoint that must be the next one of a list.
    pub(super) fn decode(bytes: &[u8], shape: Shape, chain: &mut Chain) -> Result<Self> {
        let (body, checksum) = bytes
            .split_last_chunk::<CHECKSUM_LEN>()
            .filter(|(body, _)| body.len() >= HEAD_LEN && body.starts_with(&MAGIC))
            .ok_or_else(|| refused("a checkpoint is one of a qcow2 writer"))?;
        let checksum = u32::from_le_bytes(*checksum);
        if crc32(body) != checksum {
            return Err(refused("the checksum of a checkpoint is right"));
        }
        // Everything but the changes is known; so compare with what we would write.
        let used_clusters = number(body, 32);
        let mut expected = *chain;
        let place = body[22];
        let changes = match place {
            CHANGES_INLINE => Changes::Inline(body[HEAD_LEN..].to_vec()),
            CHANGES_IN_IMAGE if body.len() == HEAD_LEN + 20 => Changes::InImage {
                offset: number(body, 40),
                len_bytes: number(body, 48),
                checksum: u32::from_le_bytes([body[56], body[57], body[58], body[59]]),
            },
            _ => return Err(refused("a checkpoint has its changes in itself or in the image")),
        };
        let decoded = Self { used_clusters, changes };
        if bytes.len() > CHECKPOINT_BYTES_MAX || decoded.encode(shape, &mut expected) != bytes {
            return Err(refused("a checkpoint is the next one of this image"));
        }
        *chain = expected;
        Ok(decoded)
    }
}

/// Returns the error for checkpoints that do not belong here.
pub(super) fn refused(rule: &'static str) -> Error {
    Error::new(ErrorKind::Checkpoint, rule)
}

fn number(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Encodes changes that come one by one, ascending.
#[derive(Debug)]
pub(super) struct ChangesEncoder {
    geometry: Geometry,
    bytes: Vec<u8>,
    /// Guest cluster behind the last run that was encoded.
    guest_end: u64,
    /// Host cluster behind the last plain run.
    plain_end: u64,
    /// Byte behind the last blob.
    blob_end: u64,
    /// The run that may go on.
    open: Option<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    guest: u64,
    clusters: u64,
    /// First host cluster; `None` where the clusters were cleared.
    host: Option<u64>,
}

impl ChangesEncoder {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self { geometry, bytes: Vec::new(), guest_end: 0, plain_end: 0, blob_end: 0, open: None }
    }

    /// Adds the new entry of a cluster.
    pub(super) fn push(&mut self, guest: u64, entry: u64) {
        let mapping = entry::decode_l2(entry, self.geometry, true).expect("an entry that we encoded");
        let host = match mapping {
            Mapping::Compressed(blob) => {
                self.end_run();
                self.put_head(guest, KIND_COMPRESSED);
                put_signed(&mut self.bytes, blob.offset, self.blob_end);
                put_varint(&mut self.bytes, blob.len_bytes);
                self.blob_end = blob.range().end;
                self.guest_end = guest + 1;
                return;
            }
            Mapping::Plain { host } => Some(host / self.geometry.cluster_bytes()),
            Mapping::Unallocated | Mapping::Zero { .. } => None,
        };
        match &mut self.open {
            Some(run) if run.guest + run.clusters == guest && run.host.map(|first| first + run.clusters) == host => {
                run.clusters += 1;
            }
            _ => {
                self.end_run();
                self.open = Some(Run { guest, clusters: 1, host });
            }
        }
    }

    fn end_run(&mut self) {
        let Some(run) = self.open.take() else {
            return;
        };
        self.put_head(run.guest, if run.host.is_some() { KIND_PLAIN } else { KIND_CLEARED });
        put_varint(&mut self.bytes, run.clusters);
        if let Some(host) = run.host {
            put_signed(&mut self.bytes, host, self.plain_end);
            self.plain_end = host + run.clusters;
        }
        self.guest_end = run.guest + run.clusters;
    }

    fn put_head(&mut self, guest: u64, kind: u64) {
        put_varint(&mut self.bytes, (guest - self.guest_end) << KIND_BITS | kind);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.bytes
    }
}

/// Calls `each` with the guest cluster and entry of every change; all of them were checked to lie
/// inside the disk and below `used_clusters` of the file.
pub(super) fn decode_changes(
    bytes: &[u8],
    shape: Shape,
    used_clusters: u64,
    mut each: impl FnMut(u64, u64),
) -> Result<()> {
    let cluster_bytes = shape.geometry.cluster_bytes();
    let outside = || refused("the changes of a checkpoint lie inside the disk and the file");
    let mut varints = Varints::new(bytes);
    let (mut guest_end, mut plain_end, mut blob_end) = (0_u64, 0_u64, 0_u64);
    while !varints.is_empty() {
        let head = varints.next()?;
        let guest = guest_end.checked_add(head >> KIND_BITS).ok_or_else(outside)?;
        let kind = head & ((1 << KIND_BITS) - 1);
        let clusters = if kind == KIND_COMPRESSED { 1 } else { varints.next()? };
        guest_end = guest.checked_add(clusters).filter(|end| *end <= shape.clusters()).ok_or_else(outside)?;
        match kind {
            KIND_CLEARED => (guest..guest_end).for_each(|guest| each(guest, 0)),
            KIND_PLAIN => {
                let host = varints.signed(plain_end)?;
                let end = host.checked_add(clusters).filter(|end| host > 0 && *end <= used_clusters);
                plain_end = end.ok_or_else(outside)?;
                let entries = (host..plain_end).map(|host| entry::encode_sole(host * cluster_bytes));
                (guest..guest_end).zip(entries).for_each(|(guest, entry)| each(guest, entry));
            }
            KIND_COMPRESSED => {
                let offset = varints.signed(blob_end)?;
                let len_bytes = varints.next()?;
                let end = offset.checked_add(len_bytes).ok_or_else(outside)?;
                let inside = offset >= cluster_bytes && end <= used_clusters.saturating_mul(cluster_bytes);
                let entry = entry::encode_compressed(offset, len_bytes, shape.geometry);
                each(guest, entry.filter(|_| inside).ok_or_else(outside)?);
                blob_end = end;
            }
            _ => return Err(refused("the changes of a checkpoint are of three kinds")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
