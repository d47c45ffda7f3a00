//! Goes on after a crash.
//!
//! Nothing in the file is trusted but what the checkpoints name, and nothing is changed before all
//! of them were read. Then the first cluster is made zero again, durably (a crash may have come
//! after `finish`), the file is cut behind the last cluster in use, and what lies unused in between
//! is zeroed and given out anew: it is what the crash left of writes that no checkpoint covers.

use std::ops::Range;

use libdeflater::crc32;

use super::super::entry::{self, Mapping};
use super::super::layout::Geometry;
use super::checkpoint::{Chain, Changes, Checkpoint, Shape, decode_changes, refused};
use super::map::Map;
use super::space::Space;
use super::{Options, Qcow2Writer, cannot_read, cannot_write};
use crate::Result;
use crate::number::u64_from;
use crate::output::{Output, is_zero};

/// Most bytes of changes per guest cluster: a head of five bytes and two numbers of ten at most.
/// Bounds what is read back for a checkpoint whose changes lie in the image.
const CHANGE_BYTES_MAX: u64 = 30;

/// What the checkpoints say.
struct Rebuilt {
    map: Map,
    chain: Chain,
    used_clusters: u64,
    /// Host clusters that hold changes of checkpoints; a later reopen reads them again.
    logs: Vec<Range<u64>>,
}

impl Qcow2Writer {
    /// Goes on with an image from the checkpoints that its commits returned, oldest first: all of
    /// them, or a prefix. An empty list is a start anew.
    ///
    /// # Errors
    /// `Checkpoint` when they are not of this image, not a prefix, or name what is not there; the
    /// file is then as it was. Else as [`Self::create`].
    pub fn reopen<C: AsRef<[u8]>>(output: impl Output + 'static, options: &Options, checkpoints: &[C]) -> Result<Self> {
        if checkpoints.is_empty() {
            return Self::create(output, options);
        }
        let shape = options.shape()?;
        let rebuilt = rebuild(&output, shape, checkpoints)?;
        close_to_readers(&output, shape.geometry)?;
        let len_bytes = rebuilt.used_clusters * shape.geometry.cluster_bytes();
        output.set_len_bytes(len_bytes).map_err(cannot_write)?;
        let free = reclaim(&output, shape.geometry, &rebuilt)?;
        let space = Space::new(shape.geometry, shape.capacity_bytes, rebuilt.used_clusters, free);
        Ok(Self::assemble(Box::new(output), options, shape, (rebuilt.map, space, rebuilt.chain)))
    }
}

fn rebuild<C: AsRef<[u8]>>(output: &dyn Output, shape: Shape, checkpoints: &[C]) -> Result<Rebuilt> {
    let file_clusters = output.len_bytes().map_err(cannot_read)? / shape.geometry.cluster_bytes();
    let mut rebuilt = Rebuilt { map: Map::default(), chain: Chain::default(), used_clusters: 1, logs: Vec::new() };
    for bytes in checkpoints {
        let checkpoint = Checkpoint::decode(bytes.as_ref(), shape, &mut rebuilt.chain)?;
        let used = checkpoint.used_clusters;
        if used < rebuilt.used_clusters || used > file_clusters {
            let found = format!("{used} clusters of {file_clusters}");
            return Err(refused("what a checkpoint names lies inside the file").found(found));
        }
        rebuilt.used_clusters = used;
        let changes = match checkpoint.changes {
            Changes::Inline(changes) => changes,
            Changes::InImage { offset, len_bytes, checksum } => {
                let (changes, clusters) = moved_changes(output, shape, used, offset..offset.saturating_add(len_bytes))?;
                if crc32(&changes) != checksum {
                    return Err(refused("the changes that a checkpoint put into the image are there").at(offset));
                }
                rebuilt.logs.push(clusters);
                changes
            }
        };
        decode_changes(&changes, shape, used, |cluster, entry| {
            rebuilt.map.restore(cluster, entry);
        })?;
    }
    Ok(rebuilt)
}

/// Reads changes that lie in the image; returns them and their host clusters.
fn moved_changes(output: &dyn Output, shape: Shape, used: u64, bytes: Range<u64>) -> Result<(Vec<u8>, Range<u64>)> {
    let geometry = shape.geometry;
    let len_bytes = bytes.end - bytes.start;
    let clusters = bytes.start / geometry.cluster_bytes()..geometry.clusters(bytes.end);
    let len = usize::try_from(len_bytes).ok().filter(|_| len_bytes <= shape.clusters() * CHANGE_BYTES_MAX);
    let (Some(len), true) = (len, clusters.start > 0 && clusters.end <= used) else {
        return Err(refused("what a checkpoint names lies inside the file").at(bytes.start));
    };
    let mut changes = vec![0; len];
    output.read_exact_at(&mut changes, bytes.start).map_err(cannot_read)?;
    Ok((changes, clusters))
}

/// Takes the header away, durably, before anything else changes: a finished image must not be
/// readable while its tables are overwritten.
fn close_to_readers(output: &dyn Output, geometry: Geometry) -> Result<()> {
    let mut header = vec![0; geometry.cluster_len()];
    output.read_exact_at(&mut header, 0).map_err(cannot_read)?;
    if is_zero(&header) {
        return Ok(());
    }
    output.zero(0, geometry.cluster_bytes()).map_err(cannot_write)?;
    output.sync().map_err(cannot_write)
}

/// Zeroes the host clusters that nothing names and returns them.
fn reclaim(output: &dyn Output, geometry: Geometry, rebuilt: &Rebuilt) -> Result<Vec<u64>> {
    let cluster_bytes = geometry.cluster_bytes();
    let mut used = vec![false; usize::try_from(rebuilt.used_clusters).expect("a file of less than 2^55 clusters")];
    let mut mark = |clusters: Range<u64>| {
        let place = |cluster| usize::try_from(cluster).expect("below the clusters in use");
        used[place(clusters.start)..place(clusters.end)].fill(true);
    };
    mark(0..1);
    rebuilt.logs.iter().cloned().for_each(&mut mark);
    for (_, entry) in rebuilt.map.iter() {
        match entry::decode_l2(entry, geometry, true)? {
            Mapping::Plain { host } => mark(host / cluster_bytes..host / cluster_bytes + 1),
            Mapping::Compressed(blob) => mark(blob.offset / cluster_bytes..geometry.clusters(blob.range().end)),
            Mapping::Unallocated | Mapping::Zero { .. } => {}
        }
    }
    let mut free = Vec::new();
    let mut start = 0;
    for run in used.chunk_by(|left, right| left == right) {
        let clusters = start..start + u64_from(run.len());
        start = clusters.end;
        if !run[0] {
            let len_bytes = (clusters.end - clusters.start) * cluster_bytes;
            output.zero(clusters.start * cluster_bytes, len_bytes).map_err(cannot_write)?;
            free.extend(clusters.rev());
        }
    }
    Ok(free)
}
