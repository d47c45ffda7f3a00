//! Completes an image: tables and counts behind the data, then the header.
//!
//! ```text
//!  header │ data … │ L2 tables │ L1 table │ refcount table │ refcount blocks │ end
//!         └─ used_clusters ────┘
//! ```
//!
//! Everything below `used_clusters` stays as it is, so that a crash takes nothing: the checkpoints
//! still name what is there. Host clusters that nothing uses any more keep a count of 0, which is
//! "free" and no leak.

use super::super::entry::{self, Mapping};
use super::super::header::{CompressionType, Header, TablePlaces};
use super::super::layout::{ENTRY_BYTES, Geometry, REFCOUNT_BYTES};
use super::map::Map;
use super::{Qcow2Stats, Qcow2Writer, cannot_write};
use crate::lock::lock;
use crate::number::u64_from;
use crate::output::{Output, write_fresh};
use crate::{Error, Result};

/// Where the tables go, in clusters.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    l2: u64,
    l1: u64,
    refcount_table: u64,
    refcount_blocks: u64,
    end: u64,
}

impl Layout {
    /// Lays `l2_tables` and the others behind `used` clusters. The counts count their own blocks.
    fn new(geometry: Geometry, used: u64, l2_tables: u64, l1_entries: u64) -> Self {
        let l1 = used + l2_tables;
        let refcount_table = l1 + geometry.clusters(l1_entries * ENTRY_BYTES);
        let counts_per_block = geometry.cluster_bytes() / REFCOUNT_BYTES;
        let mut blocks = 1;
        loop {
            let table_clusters = geometry.clusters(blocks * ENTRY_BYTES);
            let end = refcount_table + table_clusters + blocks;
            let needed = end.div_ceil(counts_per_block);
            if needed <= blocks {
                return Self { l2: used, l1, refcount_table, refcount_blocks: refcount_table + table_clusters, end };
            }
            blocks = needed;
        }
    }
}

impl Qcow2Writer {
    /// Completes the image and makes it durable. The file is then a clean image; giving it its
    /// name and syncing the directory are the caller's.
    ///
    /// A crash inside takes nothing: the file can be reopened with the same checkpoints.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn finish(self) -> Result<Qcow2Stats> {
        self.life.run(|| {
            self.flush_all()?;
            let map = self.map();
            let geometry = self.shape.geometry;
            let used = lock(&self.space).used_clusters();
            let l1_entries = geometry.l1_entries(self.shape.capacity_bytes);
            let layout = Layout::new(geometry, used, l2_tables(&map, geometry), l1_entries);
            self.cut(used, layout.end)?;
            let stats = self.write_tables(&map, &layout, l1_entries)?;
            self.output.sync().map_err(cannot_write)?;
            let places = TablePlaces {
                l1_offset: layout.l1 * geometry.cluster_bytes(),
                refcount_table_offset: layout.refcount_table * geometry.cluster_bytes(),
                refcount_table_clusters: u32::try_from(layout.refcount_blocks - layout.refcount_table)
                    .expect("a table of a file of 64 TiB"),
            };
            let compression = self.shape.compression.unwrap_or(CompressionType::Deflate);
            let header = Header::for_image(geometry, self.shape.capacity_bytes, compression, places);
            self.output.write_all_at(&header.encode(), 0).map_err(cannot_write)?;
            self.output.sync().map_err(cannot_write)?;
            Ok(stats)
        })
    }

    /// Cuts what was reserved behind the clusters in use, and makes room for the tables.
    fn cut(&self, used: u64, end: u64) -> Result<()> {
        let cluster_bytes = self.shape.geometry.cluster_bytes();
        self.output.set_len_bytes(used * cluster_bytes).map_err(cannot_write)?;
        self.output.set_len_bytes(end * cluster_bytes).map_err(cannot_write)
    }

    fn write_tables(&self, map: &Map, layout: &Layout, l1_entries: u64) -> Result<Qcow2Stats> {
        let geometry = self.shape.geometry;
        let cluster_bytes = geometry.cluster_bytes();
        let mut stats = Qcow2Stats { file_bytes: layout.end * cluster_bytes, ..Qcow2Stats::default() };
        let mut counts = Counts::new(layout.end)?;
        counts.add(0, 1)?;
        let mut tables = Tables { output: &*self.output, geometry, next: layout.l2, open: None };
        let mut l1 = vec![0_u8; usize::try_from(l1_entries * ENTRY_BYTES).expect("a table within its limit")];
        for (cluster, entry) in map.iter() {
            match entry::decode_l2(entry, geometry, true)? {
                Mapping::Plain { host } => {
                    stats.plain_clusters += 1;
                    counts.add(host / cluster_bytes, 1)?;
                }
                Mapping::Compressed(blob) => {
                    stats.compressed_clusters += 1;
                    let first = blob.offset / cluster_bytes;
                    counts.add(first, geometry.clusters(blob.range().end) - first)?;
                }
                Mapping::Unallocated | Mapping::Zero { .. } => {}
            }
            tables.put(cluster, entry, &mut l1)?;
        }
        tables.end(&mut l1)?;
        debug_assert_eq!(tables.next, layout.l1, "as many tables as were counted");
        counts.add(layout.l2, layout.end - layout.l2)?;
        write_fresh(&*self.output, layout.l1 * cluster_bytes, &l1).map_err(cannot_write)?;
        self.write_counts(&counts, layout)?;
        Ok(stats)
    }

    fn write_counts(&self, counts: &Counts, layout: &Layout) -> Result<()> {
        let geometry = self.shape.geometry;
        let per_block = geometry.cluster_len() / 2;
        let mut table = Vec::new();
        for (block, counts) in (layout.refcount_blocks..).zip(counts.0.chunks(per_block)) {
            let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
            write_fresh(&*self.output, block * geometry.cluster_bytes(), &bytes).map_err(cannot_write)?;
            table.extend((block * geometry.cluster_bytes()).to_be_bytes());
        }
        let offset = layout.refcount_table * geometry.cluster_bytes();
        write_fresh(&*self.output, offset, &table).map_err(cannot_write)
    }
}

/// Returns how many L2 tables have an entry.
fn l2_tables(map: &Map, geometry: Geometry) -> u64 {
    let mut tables = 0;
    let mut last = None;
    for (cluster, _) in map.iter() {
        let table = cluster / geometry.l2_entries();
        if last != Some(table) {
            tables += 1;
            last = Some(table);
        }
    }
    tables
}

/// How many users each host cluster has: two bytes per cluster, 32 MiB for a TiB of file in
/// clusters of 64 KiB, for the time of `finish`.
struct Counts(Vec<u16>);

impl Counts {
    fn new(clusters: u64) -> Result<Self> {
        let clusters = usize::try_from(clusters).map_err(|_| Error::limit("the counts of an image fit in memory"))?;
        Ok(Self(vec![0; clusters]))
    }

    fn add(&mut self, first: u64, clusters: u64) -> Result<()> {
        let place = |cluster| usize::try_from(cluster).unwrap_or(usize::MAX);
        let range = place(first)..place(first + clusters);
        let counts = self.0.get_mut(range).ok_or_else(|| Error::corrupt("an entry points into the file"))?;
        for count in counts {
            *count = count.checked_add(1).ok_or_else(|| Error::limit("a cluster has at most 65535 users"))?;
        }
        Ok(())
    }
}

/// Writes L2 tables, one after the other, from entries that come in order.
struct Tables<'a> {
    output: &'a dyn Output,
    geometry: Geometry,
    /// Cluster of the file for the next table.
    next: u64,
    /// Number and bytes of the table in work.
    open: Option<(u64, Vec<u8>)>,
}

impl Tables<'_> {
    fn put(&mut self, cluster: u64, entry: u64, l1: &mut [u8]) -> Result<()> {
        let table = cluster / self.geometry.l2_entries();
        if self.open.as_ref().is_some_and(|(open, _)| *open != table) {
            self.end(l1)?;
        }
        let geometry = self.geometry;
        let (_, bytes) = self.open.get_or_insert_with(|| (table, vec![0; geometry.cluster_len()]));
        put_entry(bytes, cluster % geometry.l2_entries(), entry);
        Ok(())
    }

    fn end(&mut self, l1: &mut [u8]) -> Result<()> {
        let Some((table, bytes)) = self.open.take() else {
            return Ok(());
        };
        let offset = self.next * self.geometry.cluster_bytes();
        write_fresh(self.output, offset, &bytes).map_err(cannot_write)?;
        put_entry(l1, table, entry::encode_sole(offset));
        self.next += 1;
        Ok(())
    }
}

fn put_entry(table: &mut [u8], index: u64, entry: u64) {
    let start = usize::try_from(index * ENTRY_BYTES).expect("inside of a table");
    table[start..start + 8].copy_from_slice(&entry.to_be_bytes());
    debug_assert!(u64_from(table.len()) > index * ENTRY_BYTES, "inside of a table");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_have_room_for_themselves() {
        let geometry = Geometry::new(16).unwrap();
        let layout = Layout::new(geometry, 10, 2, 5);
        assert_eq!(layout, Layout { l2: 10, l1: 12, refcount_table: 13, refcount_blocks: 14, end: 15 });
        for used in (32_000..33_000).chain([1 << 24, 1 << 30]) {
            let layout = Layout::new(geometry, used, 3, 1000);
            let blocks = layout.end - layout.refcount_blocks;
            assert!(blocks * 32_768 >= layout.end, "{used}");
            assert!((blocks - 1) * 32_768 < layout.end, "{used}: no block too many");
            assert!((layout.refcount_blocks - layout.refcount_table) * 8192 >= blocks);
        }
    }
}
