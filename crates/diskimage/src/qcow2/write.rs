//! Writes an image, in any order, from several threads, over crashes.
//!
//! ```text
//!  create ──► write_at, write_zeroes ──► commit ──► write … ──► finish
//!                 │ crash                  │ checkpoint           │ crash
//!                 ▼                        ▼                      ▼
//!              reopen([])        reopen([first, …, last])    reopen(all)
//! ```
//!
//! While an image is written its first cluster is zero, so that nobody can open it: the tables
//! exist only in memory, and in the checkpoints that [`Qcow2Writer::commit`] returns. `finish`
//! writes tables and counts behind the data, makes them durable, and then the header. A finished
//! image is clean: every count is right.
//!
//! # Writing
//!
//! * A guest cluster gets a host cluster with its first byte that is not zero. Blocks of 4 KiB that
//!   are zero are not written; where something was, they become holes. A cluster that is zeroed as
//!   a whole goes back to "not there", which costs nothing.
//! * With compression a cluster that is written as a whole is compressed in the caller's thread, so
//!   that many callers compress at once, and packed; see `space`. One that comes in pieces waits in
//!   memory until its end was written, or a commit or want of room sends it off ([`Options`]
//!   names the bound). What does not shrink is stored plain, and then written in place.
//! * Two writes to one cluster wait for each other; all others run side by side.
//!
//! # What a crash may take
//!
//! All that was written since the commit whose checkpoint is the newest given to `reopen`. The
//! list may be any prefix of those returned. So nothing that an earlier checkpoint needs is ever
//! overwritten: new places for compressed clusters, in place only for bytes that the caller himself
//! writes again.
//!
//! # Neighbours
//!
//! `map` knows the entries, `space` the file, `stage` the unfinished clusters, `checkpoint` the
//! form of a commit; `clusters` writes one cluster; `reopen` and `finish` are the ends of a life.
//! Deliberately absent: digests and names of files, which are the caller's.

mod checkpoint;
mod clusters;
mod finish;
mod map;
mod reopen;
mod space;
mod stage;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use libdeflater::crc32;

pub use super::codec::Compression;
use super::codec::{ClusterCompressor, ClusterExpander};
use super::layout::{CAPACITY_BYTES_MAX, Geometry, SECTOR_BYTES};
use crate::lock::lock;
use crate::number::{clip, u64_from};
use crate::output::{Life, Output, admit};
use crate::spares::Spares;
use crate::{Error, Result};
use checkpoint::{Chain, Changes, ChangesEncoder, Checkpoint, INLINE_BYTES_MAX, Shape};
use map::Map;
use space::Space;
use stage::Stage;

/// The usual cluster: 64 KiB. It is QEMU's default, and the grain of a VMDK.
pub const CLUSTER_BYTES_DEFAULT: u64 = 64 << 10;

/// The largest cluster: 2 MiB.
pub const CLUSTER_BYTES_MAX: u64 = 2 << 20;

/// What an image is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of the guest's disk: a multiple of 512, at most 64 TiB.
    pub capacity_bytes: u64,
    /// Size of a cluster: a power of two from 64 KiB to 2 MiB.
    pub cluster_bytes: u64,
    /// Whether and how clusters are compressed.
    pub compression: Option<Compression>,
    /// Memory for clusters that came in part so far, where they are compressed; one cluster per
    /// writing thread more may be in use for a moment.
    pub staged_bytes_max: usize,
}

impl Options {
    /// Returns the usual options for a disk: clusters of 64 KiB, not compressed.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            cluster_bytes: CLUSTER_BYTES_DEFAULT,
            compression: None,
            // Sixteen connections with a cluster of 2 MiB each.
            staged_bytes_max: 32 << 20,
        }
    }

    /// Checks that an image can be so, before anything is written.
    ///
    /// # Errors
    /// `Misuse` and `Limit`.
    pub fn check(&self) -> Result<()> {
        self.shape().map(drop)
    }

    fn shape(&self) -> Result<Shape> {
        let bytes = self.capacity_bytes;
        if bytes == 0 || !bytes.is_multiple_of(SECTOR_BYTES) {
            let found = format!("{bytes} bytes");
            return Err(Error::misuse("a disk has whole sectors of 512 bytes, and at least one").found(found));
        }
        if bytes > CAPACITY_BYTES_MAX {
            return Err(Error::limit("a disk has at most 64 TiB").found(format!("{bytes} bytes")));
        }
        let geometry = (CLUSTER_BYTES_DEFAULT..=CLUSTER_BYTES_MAX)
            .contains(&self.cluster_bytes)
            .then(|| Geometry::new(self.cluster_bytes.trailing_zeros()))
            .flatten()
            .filter(|geometry| geometry.cluster_bytes() == self.cluster_bytes)
            .ok_or_else(|| {
                let found = format!("{} bytes", self.cluster_bytes);
                Error::misuse("a cluster is a power of two from 64 KiB to 2 MiB").found(found)
            })?;
        Ok(Shape { geometry, capacity_bytes: bytes, compression: self.compression.map(Compression::compression_type) })
    }
}

/// What a finished image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Qcow2Stats {
    /// Length of the file.
    pub file_bytes: u64,
    /// Guest clusters that are stored as they are.
    pub plain_clusters: u64,
    /// Guest clusters that are stored compressed.
    pub compressed_clusters: u64,
}

/// Writes an image; see the module.
#[derive(Debug)]
pub struct Qcow2Writer {
    output: Box<dyn Output>,
    shape: Shape,
    compression: Option<Compression>,
    compressors: Spares<ClusterCompressor>,
    expanders: Spares<ClusterExpander>,
    stage: Stage,
    map: Mutex<Map>,
    space: Mutex<Space>,
    chain: Mutex<Chain>,
    life: Life,
}

/// A part of one guest cluster.
#[derive(Clone, Debug)]
struct Piece {
    cluster: u64,
    /// Which bytes of the cluster.
    within: Range<usize>,
    /// Whether these are all that the disk has of the cluster.
    whole: bool,
    /// Whether the last byte of the cluster is among them.
    ends: bool,
}

impl Qcow2Writer {
    /// Starts an image; whatever the file holds is given up.
    ///
    /// # Errors
    /// `Misuse` and `Limit` for options that no image can have, `Io` and `Full`.
    pub fn create(output: impl Output + 'static, options: &Options) -> Result<Self> {
        let shape = options.shape()?;
        output.set_len_bytes(0).map_err(cannot_write)?;
        // The header's cluster, zero until the end.
        output.set_len_bytes(shape.geometry.cluster_bytes()).map_err(cannot_write)?;
        let space = Space::new(shape.geometry, shape.capacity_bytes, 1, Vec::new());
        Ok(Self::assemble(Box::new(output), options, shape, (Map::default(), space, Chain::default())))
    }

    fn assemble(
        output: Box<dyn Output>,
        options: &Options,
        shape: Shape,
        (map, space, chain): (Map, Space, Chain),
    ) -> Self {
        Self {
            output,
            shape,
            compression: options.compression,
            compressors: Spares::new(),
            expanders: Spares::new(),
            stage: Stage::new(options.staged_bytes_max),
            map: Mutex::new(map),
            space: Mutex::new(space),
            chain: Mutex::new(chain),
            life: Life::default(),
        }
    }

    /// Returns the size of the guest's disk in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.shape.capacity_bytes
    }

    /// Writes all of `bytes` at `offset` of the guest's disk.
    ///
    /// # Errors
    /// `Misuse` outside of the disk, without effect. All others are final: what was written last
    /// has no defined value, and every later call fails.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        admit(offset, u64_from(bytes.len()), self.shape.capacity_bytes)?;
        self.life.run(|| {
            let mut rest = bytes;
            let mut reserve = self.reserve_for(offset, bytes)?;
            for piece in self.pieces(offset, u64_from(bytes.len())) {
                let (bytes, behind) = rest.split_at(piece.within.len());
                self.write_piece(&piece, bytes, &mut reserve)?;
                rest = behind;
            }
            reserve.give_back(&mut lock(&self.space));
            Ok(())
        })
    }

    /// Makes a range of the guest's disk read as zero; what was never written costs nothing.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        admit(offset, len_bytes, self.shape.capacity_bytes)?;
        self.life.run(|| {
            let end = offset + len_bytes;
            let cluster_bytes = self.shape.geometry.cluster_bytes();
            let first = offset.div_ceil(cluster_bytes);
            // The last cluster of the disk may be a short one.
            let at_end = end == self.shape.capacity_bytes;
            let last = if at_end { self.shape.clusters() } else { end / cluster_bytes };
            if first >= last {
                return self.pieces(offset, len_bytes).try_for_each(|piece| self.zero_piece(&piece));
            }
            let head = first * cluster_bytes - offset;
            self.pieces(offset, head).try_for_each(|piece| self.zero_piece(&piece))?;
            self.clear(first..last)?;
            let tail = end.saturating_sub(last * cluster_bytes);
            self.pieces(end - tail, tail).try_for_each(|piece| self.zero_piece(&piece))
        })
    }

    /// Fills `buf` with what was written at `offset`; what was not reads as zero.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        admit(offset, u64_from(buf.len()), self.shape.capacity_bytes)?;
        self.life.run(|| {
            let len_bytes = u64_from(buf.len());
            let mut rest = buf;
            for piece in self.pieces(offset, len_bytes) {
                let (bytes, behind) = rest.split_at_mut(piece.within.len());
                self.read_piece(&piece, bytes)?;
                rest = behind;
            }
            Ok(())
        })
    }

    /// Makes durable what was written by calls that had returned before, and returns a checkpoint
    /// of at most 64 KiB: what is new since the last one.
    ///
    /// May run beside writes.
    ///
    /// # Errors
    /// Final ones; what earlier checkpoints cover stays covered.
    pub fn commit(&self) -> Result<Vec<u8>> {
        self.life.run(|| {
            let mut chain = lock(&self.chain);
            self.flush_all()?;
            let mut encoder = ChangesEncoder::new(self.shape.geometry);
            lock(&self.map).take_changes(|cluster, entry| encoder.push(cluster, entry));
            let changes = self.fit(encoder.finish())?;
            // After the changes were taken: so all that they name lies below.
            let used_clusters = lock(&self.space).used_clusters();
            self.output.sync().map_err(cannot_write)?;
            Ok(Checkpoint { used_clusters, changes }.encode(self.shape, &mut chain))
        })
    }

    /// Brings changes that are too many for a checkpoint into the file.
    fn fit(&self, changes: Vec<u8>) -> Result<Changes> {
        if changes.len() <= INLINE_BYTES_MAX {
            return Ok(Changes::Inline(changes));
        }
        let len_bytes = u64_from(changes.len());
        let geometry = self.shape.geometry;
        let clusters = geometry.clusters(len_bytes);
        let first = lock(&self.space).run(&*self.output, clusters).map_err(cannot_write)?;
        let offset = first * geometry.cluster_bytes();
        self.output.write_all_at(&changes, offset).map_err(cannot_write)?;
        Ok(Changes::InImage { offset, len_bytes, checksum: crc32(&changes) })
    }

    /// Cuts a range of the guest's disk at the borders of clusters.
    fn pieces(&self, offset: u64, len_bytes: u64) -> impl Iterator<Item = Piece> + use<> {
        let Shape { geometry, capacity_bytes, .. } = self.shape;
        let end = offset + len_bytes;
        let mut at = offset;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let cluster = at / geometry.cluster_bytes();
                let start = cluster * geometry.cluster_bytes();
                let there = clip(geometry.cluster_len(), capacity_bytes - start);
                let within = clip(there, at - start)..clip(there, end - start);
                at = start + u64_from(within.end);
                Piece { cluster, whole: within == (0..there), ends: within.end == there, within }
            })
        })
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        lock(&self.map)
    }
}

fn cannot_write(source: std::io::Error) -> Error {
    Error::write("cannot write the image", source)
}

fn cannot_read(source: std::io::Error) -> Error {
    Error::io("cannot read back the image", source)
}
