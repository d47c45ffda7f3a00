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
//! the file too. Where an arena ends and something else follows, the rest of its last cluster waits
//! for a blob that fits.

use std::io;

use super::super::layout::Geometry;
use crate::output::Output;

/// Most bytes of an arena. Below, it is a part of the file so far ([`ARENA_PART`]).
const ARENA_BYTES_MAX: u64 = 4 << 20;

/// What remains of the last arena is a hole in the file unless nothing lies behind it, so an arena
/// is no more than a 64th of the file.
const ARENA_PART: u64 = 64;

/// Fewest clusters of an arena: one blob always fits, wherever it begins.
const ARENA_CLUSTERS_MIN: u64 = 2;

/// Ends of arenas that are kept for blobs that fit, each less than a cluster. Where compressed and
/// plain clusters alternate they were 6 % of the file without this.
const TAILS_MAX: usize = 32;

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
    /// What is left of earlier arenas.
    tails: Vec<Arena>,
}

/// Byte positions; empty where both are equal.
#[derive(Debug, Default)]
struct Arena {
    position: u64,
    end: u64,
    /// Blobs in the host cluster before `position`.
    users: u32,
}

impl Arena {
    fn left(&self) -> u64 {
        self.end - self.position
    }

    /// Takes room at the position.
    fn take(&mut self, len_bytes: u64, geometry: Geometry) -> u64 {
        let offset = self.position;
        self.position += len_bytes;
        let cluster_of = |position| position / geometry.cluster_bytes();
        let goes_on = !geometry.is_aligned(offset) && cluster_of(offset) == cluster_of(self.position - 1);
        self.users = if goes_on { self.users + 1 } else { 1 };
        offset
    }
}

impl Space {
    /// Returns the space of a file of `next` clusters, all of them in use but for `free`.
    pub(super) fn new(geometry: Geometry, capacity_bytes: u64, next: u64, free: Vec<u64>) -> Self {
        let grow_by = geometry.clusters((capacity_bytes / 16).min(GROW_BYTES_MAX)).max(1);
        Self { geometry, next, grown: next, grow_by, free, arena: Arena::default(), tails: Vec::new() }
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
        let fitting = self.tails.iter_mut().filter(|tail| tail.left() >= len_bytes && tail.users < USERS_MAX);
        if let Some(tail) = fitting.min_by_key(|tail| tail.left()) {
            return Ok(tail.take(len_bytes, self.geometry));
        }
        if self.arena.users == USERS_MAX && !self.geometry.is_aligned(self.arena.position) {
            self.arena.position = self.arena.position.next_multiple_of(self.geometry.cluster_bytes());
        }
        if self.arena.left() < len_bytes {
            self.extend_arena(output)?;
        }
        Ok(self.arena.take(len_bytes, self.geometry))
    }

    fn extend_arena(&mut self, output: &dyn Output) -> io::Result<()> {
        let cluster_bytes = self.geometry.cluster_bytes();
        let clusters = (self.next / ARENA_PART).min(ARENA_BYTES_MAX / cluster_bytes).max(ARENA_CLUSTERS_MIN);
        let start = self.run(output, clusters)? * cluster_bytes;
        if start != self.arena.end {
            let next = Arena { position: start, end: start, users: 0 };
            self.tails.push(std::mem::replace(&mut self.arena, next));
            self.tails.retain(|tail| tail.left() > 0);
            if self.tails.len() > TAILS_MAX {
                let smallest = (0..self.tails.len()).min_by_key(|tail| self.tails[*tail].left());
                smallest.map(|tail| self.tails.swap_remove(tail));
            }
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
    }

    #[test]
    fn what_is_left_of_an_arena_waits_for_a_blob_that_fits() {
        let (mut space, output) = space(16);
        assert_eq!(space.place(&output, 60_000).unwrap(), 1 << 16);
        assert_eq!(space.place(&output, 60_000).unwrap(), (1 << 16) + 60_000);
        let plain = space.run(&output, 1).unwrap();
        assert_eq!(plain, 3, "behind an arena of two clusters");
        assert_eq!(space.place(&output, 20_000).unwrap(), 4 << 16, "11072 bytes are left before it");
        assert_eq!(space.place(&output, 11_073).unwrap(), (4 << 16) + 20_000);
        assert_eq!(space.place(&output, 11_000).unwrap(), (1 << 16) + 120_000);
        assert_eq!(space.place(&output, 72).unwrap(), (1 << 16) + 131_000);
        assert_eq!(space.place(&output, 1).unwrap(), (4 << 16) + 31_073, "now it is full");
        assert_eq!(space.used_clusters(), 5);
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
