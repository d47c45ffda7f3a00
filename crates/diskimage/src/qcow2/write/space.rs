//! Where in the file the next cluster goes.
//!
//! Space is given out from front to back and only once: what an earlier checkpoint may still need
//! is never given out again. The exceptions are clusters that nobody can need: those whose guest
//! cluster was overwritten as a whole, and those that were reserved and never written. All that is
//! given out reads as zero.
//!
//! The file is made longer ahead of use, in steps, so that every place that was given out lies
//! inside of it and holes at its end need no writes.
//!
//! Compressed clusters are packed byte by byte into an *arena*, a run of host clusters:
//!
//! ```text
//!  │ host cluster │ host cluster │ host cluster │ host cluster │
//!  │ blob │blob│ blob  ┆ │ blob   ┆   ▲ position               ▲ end
//! ```
//!
//! A blob may run into the next host cluster, because inside of an arena that is the next one of
//! the file too.

use std::io;

use super::super::layout::Geometry;
use crate::output::Output;

/// Bytes of an arena. What remains of one where another use of the file comes in between is lost
/// for packing, less than a cluster per arena.
const ARENA_BYTES: u64 = 4 << 20;

/// Fewest clusters of an arena: one blob always fits, wherever it begins.
const ARENA_CLUSTERS_MIN: u64 = 2;

/// Most compressed clusters that may share a host cluster: what a count of 16 bits can say.
const USERS_MAX: u32 = 65535;

/// The file is made longer by this at a time, or by a 16th of the disk where that is less.
const GROW_BYTES_MAX: u64 = 64 << 20;

/// Gives out the host clusters of one file.
#[derive(Debug)]
pub(super) struct Space {
    geometry: Geometry,
    /// First host cluster that was never given out.
    next: u64,
    /// Length of the file in clusters.
    grown: u64,
    grow_by: u64,
    /// Clusters below `next` that read as zero and that nobody needs.
    free: Vec<u64>,
    arena: Arena,
}

/// Byte positions; empty where both are equal.
#[derive(Debug, Default)]
struct Arena {
    position: u64,
    end: u64,
    /// Blobs in the host cluster before `position`.
    users: u32,
}

impl Space {
    /// Returns the space of a file of `next` clusters, all of them in use but for `free`.
    pub(super) fn new(geometry: Geometry, capacity_bytes: u64, next: u64, free: Vec<u64>) -> Self {
        let grow_by = geometry.clusters((capacity_bytes / 16).min(GROW_BYTES_MAX)).max(1);
        Self { geometry, next, grown: next, grow_by, free, arena: Arena::default() }
    }

    /// Gives out `clusters` host clusters in a row and returns the first one's number.
    pub(super) fn run(&mut self, output: &dyn Output, clusters: u64) -> io::Result<u64> {
        let first = self.next;
        let next = first + clusters;
        if next > self.grown {
            let grown = next + self.grow_by;
            output.set_len_bytes(grown * self.geometry.cluster_bytes())?;
            self.grown = grown;
        }
        self.next = next;
        Ok(first)
    }

    /// Gives out one host cluster.
    pub(super) fn one(&mut self, output: &dyn Output) -> io::Result<u64> {
        match self.free.pop() {
            Some(host) => Ok(host),
            None => self.run(output, 1),
        }
    }

    /// Returns whether there are clusters to be used again before the file is made longer.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Takes back a host cluster that reads as zero and that no checkpoint can need.
    pub(super) fn give_back(&mut self, host: u64) {
        debug_assert!(host < self.next, "what was given out");
        self.free.push(host);
    }

    /// Gives out room for a blob of at most a cluster and returns its position in bytes.
    pub(super) fn place(&mut self, output: &dyn Output, len_bytes: u64) -> io::Result<u64> {
        debug_assert!((1..=self.geometry.cluster_bytes()).contains(&len_bytes), "a blob has {len_bytes} bytes");
        if self.geometry.is_aligned(self.arena.position) {
            self.arena.users = 0;
        } else if self.arena.users == USERS_MAX {
            self.arena.position = self.arena.position.next_multiple_of(self.geometry.cluster_bytes());
            self.arena.users = 0;
        }
        if self.arena.end - self.arena.position < len_bytes {
            self.extend_arena(output)?;
        }
        let offset = self.arena.position;
        self.arena.position += len_bytes;
        let cluster_of = |position| position / self.geometry.cluster_bytes();
        let same = cluster_of(offset) == cluster_of(self.arena.position - 1);
        self.arena.users = if same { self.arena.users + 1 } else { 1 };
        Ok(offset)
    }

    fn extend_arena(&mut self, output: &dyn Output) -> io::Result<()> {
        let cluster_bytes = self.geometry.cluster_bytes();
        let clusters = (ARENA_BYTES / cluster_bytes).max(ARENA_CLUSTERS_MIN);
        let first = self.run(output, clusters)?;
        let start = first * cluster_bytes;
        if start != self.arena.end {
            let unused = self.arena.position.div_ceil(cluster_bytes)..self.arena.end / cluster_bytes;
            unused.for_each(|host| self.give_back(host));
            self.arena.position = start;
            self.arena.users = 0;
        }
        self.arena.end = start + clusters * cluster_bytes;
        Ok(())
    }

    /// Returns the first host cluster behind everything that is in use. Never goes down.
    pub(super) fn used_clusters(&self) -> u64 {
        if self.arena.end == self.next * self.geometry.cluster_bytes() {
            self.arena.position.div_ceil(self.geometry.cluster_bytes())
        } else {
            self.next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::MemoryOutput;

    fn space(bits: u32) -> (Space, MemoryOutput) {
        let geometry = Geometry::new(bits).unwrap();
        (Space::new(geometry, 1 << 30, 1, Vec::new()), MemoryOutput::default())
    }

    #[test]
    fn runs_follow_each_other_inside_of_the_file() {
        let (mut space, output) = space(16);
        assert_eq!(space.run(&output, 3).unwrap(), 1);
        assert_eq!(space.one(&output).unwrap(), 4);
        space.give_back(2);
        assert_eq!(space.one(&output).unwrap(), 2);
        assert_eq!(space.one(&output).unwrap(), 5);
        assert_eq!(space.used_clusters(), 6);
        assert_eq!(output.calls().changes, 1, "the file grows in steps");
        assert!(output.len_bytes().unwrap() >= 6 << 16);
    }

    #[test]
    fn blobs_are_packed_and_cross_into_the_next_cluster_only() {
        let (mut space, output) = space(16);
        let mut end = 65536;
        for len_bytes in [40_000, 40_000, 1, 65_000, 65_535, 65_536] {
            assert_eq!(space.place(&output, len_bytes).unwrap(), end);
            end += len_bytes;
        }
        assert_eq!(space.used_clusters(), end.div_ceil(65536));
        // Another use behind the arena: the next one is elsewhere, and what remains is given back.
        let plain = space.run(&output, 1).unwrap();
        assert_eq!(plain, 65);
        let mut last = 0;
        for _ in 0..70 {
            last = space.place(&output, 60_000).unwrap();
        }
        assert!(last >= 66 << 16);
        assert!(space.used_clusters() > 66);
    }

    #[test]
    fn a_host_cluster_has_no_more_users_than_its_count_can_say() {
        let (mut space, output) = space(21);
        for blob in 0..65_535 {
            assert_eq!(space.place(&output, 3).unwrap(), (2 << 20) + blob * 3);
        }
        assert_eq!(space.place(&output, 3).unwrap(), 4 << 20, "the 65536th user goes to the next one");
    }
}
