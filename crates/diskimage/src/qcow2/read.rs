//! Reads an image anywhere, from several threads.
//!
//! Opening reads the header, the L1 table and where the counts of references are, and checks all
//! of it. L2 tables are read in slices when somebody asks, and kept in a bounded cache; so are
//! clusters that were expanded to read a part of them. Every position is checked against the length
//! of the file and against the places of the tables: QEMU reads zeros beyond the end, and tables as
//! data, without a word.
//!
//! What the image does not have is a hole: [`open`] puts it onto its backing file.
//!
//! Deliberately absent: counts of references and internal snapshots. A reader needs neither, so
//! damage there is a warning.

mod chain;
mod tables;

pub use chain::{open, open_path};

use std::ops::Range;
use std::sync::Arc;

use super::codec::ClusterExpander;
use super::entry::{Blob, Mapping};
use super::header::Header;
use super::layout::{CLUSTER_BYTES_MAX, Geometry};
use crate::image::cache::Cache;
use crate::image::disk::{Runs, check_bounds, read_range};
use crate::image::{ByteSource, Disk, Extent, ExtentKind};
use crate::number::{clip, u64_from};
use crate::spares::Spares;
use crate::{Error, Result};
use tables::Tables;

/// Memory for expanded clusters: a few of the largest.
const EXPANDED_BYTES_MAX: u64 = 8 << 20;

/// [`CLUSTER_BYTES_MAX`] in memory.
const CLUSTER_LEN_MAX: usize = 1 << super::layout::CLUSTER_BITS_MAX;
const _: () = assert!(CLUSTER_BYTES_MAX == 1 << super::layout::CLUSTER_BITS_MAX, "the same number");

/// How an image is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Reads an image that some program has marked as corrupt, for who wants to save what is left.
    pub accept_marked_corrupt: bool,
}

/// Reads one image, without its backing file; see the module.
pub struct Qcow2Reader {
    source: Arc<dyn ByteSource>,
    header: Header,
    tables: Tables,
    warnings: Vec<String>,
    /// By guest cluster.
    expanded: Cache<u8>,
    expanders: Spares<ClusterExpander>,
}

impl std::fmt::Debug for Qcow2Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qcow2Reader").field("name", &self.source.name()).field("header", &self.header).finish()
    }
}

impl Qcow2Reader {
    /// Opens an image.
    ///
    /// # Errors
    /// As [`Header::parse`]; `Corrupt` for tables that break a rule or an image that is marked so,
    /// `Truncated` for ones beyond the end of the file, `Io`.
    pub fn open(source: Arc<dyn ByteSource>, options: ReadOptions) -> Result<Self> {
        let file_bytes = source.len_bytes();
        let mut start = vec![0; clip(CLUSTER_LEN_MAX, file_bytes)];
        source.read_at(0, &mut start)?;
        let header = Header::parse(&start, file_bytes).map_err(|error| error.in_file(source.name()))?;
        if header.is_marked_corrupt() && !options.accept_marked_corrupt {
            return Err(Error::corrupt("an image is not marked as corrupt").at(72).in_file(source.name()));
        }
        let mut warnings = Vec::new();
        if header.is_dirty() {
            warnings.push("it was not closed: the last writes may be missing".to_owned());
        }
        if header.is_marked_corrupt() {
            warnings.push("it is marked as corrupt".to_owned());
        }
        if header.snapshots() > 0 {
            warnings.push(format!("its {} internal snapshots are not read", header.snapshots()));
        }
        let tables = Tables::open(&*source, &header, &mut warnings)?;
        let expanded = Cache::new(EXPANDED_BYTES_MAX);
        Ok(Self { source, header, tables, warnings, expanded, expanders: Spares::new() })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns what is odd without harm to the data.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns how a cluster of the guest's disk is stored; its position was checked.
    fn mapping(&self, cluster: u64) -> Result<Mapping> {
        let mapping = self.tables.mapping(&*self.source, &self.header, cluster)?;
        let geometry = self.header.geometry();
        let bytes = match mapping {
            Mapping::Plain { host } => host..host + self.there(cluster),
            // The last sector of the file may be a part of one.
            Mapping::Compressed(blob) => blob.offset..blob.range().end.min(self.source.len_bytes()),
            Mapping::Unallocated | Mapping::Zero { .. } => return Ok(mapping),
        };
        let found = || format!("guest cluster {cluster} at {}", bytes.start);
        if bytes.is_empty() || bytes.end > self.source.len_bytes() {
            let error = Error::truncated("a cluster lies inside the file").found(found());
            return Err(error.at(bytes.start).in_file(self.source.name()));
        }
        if self.tables.overlaps(&bytes, geometry) {
            let error = Error::corrupt("a cluster does not overlap a table").found(found());
            return Err(error.at(bytes.start).in_file(self.source.name()));
        }
        Ok(mapping)
    }

    /// Returns how many bytes of a cluster the disk has: the last one may be short.
    fn there(&self, cluster: u64) -> u64 {
        let geometry = self.header.geometry();
        let start = cluster * geometry.cluster_bytes();
        geometry.cluster_bytes().min(self.header.capacity_bytes() - start)
    }

    /// Reads a part of a compressed cluster.
    fn read_compressed(&self, cluster: u64, blob: Blob, within: Range<usize>, out: &mut [u8]) -> Result<()> {
        if out.len() == self.header.geometry().cluster_len() {
            return self.expand(blob, out);
        }
        let bytes = self.expanded.get((0, cluster), || {
            let mut bytes = vec![0; self.header.geometry().cluster_len()];
            self.expand(blob, &mut bytes)?;
            Ok(bytes.into())
        })?;
        out.copy_from_slice(&bytes[within]);
        Ok(())
    }

    fn expand(&self, blob: Blob, out: &mut [u8]) -> Result<()> {
        let len = clip(2 * CLUSTER_LEN_MAX, blob.len_bytes.min(self.source.len_bytes() - blob.offset));
        let mut compressed = vec![0; len];
        self.source.read_at(blob.offset, &mut compressed)?;
        self.expanders
            .with(|| ClusterExpander::new(self.header.compression()), |expander| expander.expand(&compressed, out))
            .map_err(|error| error.or_at(blob.offset).in_file(self.source.name()))
    }
}

/// Plain clusters that follow each other in the file, to be read at once.
struct PlainRun {
    host: Range<u64>,
    buf: Range<usize>,
}

impl Disk for Qcow2Reader {
    fn capacity_bytes(&self) -> u64 {
        self.header.capacity_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = read_range(offset, buf.len(), self.capacity_bytes())?;
        let geometry = self.header.geometry();
        let mut run: Option<PlainRun> = None;
        let mut done = 0;
        for piece in pieces(range, geometry) {
            let to = done..done + piece.within.len();
            done = to.end;
            let mapping = self.mapping(piece.cluster)?;
            if let Mapping::Plain { host } = mapping {
                let start = host + u64_from(piece.within.start);
                let end = start + u64_from(to.len());
                match &mut run {
                    Some(run) if run.host.end == start && run.buf.end == to.start => {
                        run.host.end = end;
                        run.buf.end = to.end;
                    }
                    _ => {
                        let before = run.replace(PlainRun { host: start..end, buf: to });
                        before.map_or(Ok(()), |run| self.source.read_at(run.host.start, &mut buf[run.buf]))?;
                    }
                }
                continue;
            }
            match mapping {
                Mapping::Compressed(blob) => self.read_compressed(piece.cluster, blob, piece.within, &mut buf[to])?,
                _ => buf[to].fill(0),
            }
        }
        run.map_or(Ok(()), |run| self.source.read_at(run.host.start, &mut buf[run.buf]))
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_bounds(&range, self.capacity_bytes())?;
        let geometry = self.header.geometry();
        let mut runs = Runs::new(range.start);
        while runs.end() < range.end && !runs.is_full() {
            let cluster = runs.end() / geometry.cluster_bytes();
            let table = cluster / geometry.l2_entries();
            let (end, kind) = if self.tables.is_absent(table) {
                ((table + 1).saturating_mul(geometry.l2_coverage_bytes()), ExtentKind::Hole)
            } else {
                let kind = match self.mapping(cluster)? {
                    Mapping::Unallocated => ExtentKind::Hole,
                    Mapping::Zero { .. } => ExtentKind::Zero,
                    Mapping::Plain { .. } | Mapping::Compressed(_) => ExtentKind::Data,
                };
                ((cluster + 1) * geometry.cluster_bytes(), kind)
            };
            runs.extend_to(end.min(range.end), kind);
        }
        Ok(runs.into_list())
    }
}

/// A part of one guest cluster.
struct Piece {
    cluster: u64,
    within: Range<usize>,
}

fn pieces(range: Range<u64>, geometry: Geometry) -> impl Iterator<Item = Piece> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        (at < range.end).then(|| {
            let cluster = at / geometry.cluster_bytes();
            let start = cluster * geometry.cluster_bytes();
            let len = geometry.cluster_len();
            let within = clip(len, at - start)..clip(len, range.end - start);
            at = start + u64_from(within.end);
            Piece { cluster, within }
        })
    })
}
