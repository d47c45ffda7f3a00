//! What a guest wrote after a snapshot: the bytes of one more link above a disk.
//!
//! A [`Delta`] says for every grain of every disk of a VM whether the guest wrote it while this link
//! was the top of the chain, and which bytes. Nothing is stored: like a seeded disk it follows from
//! numbers, so that each view of a chain (a stream of a snapshot, a delta file, the whole disk) tells the
//! same story.
//!
//! Deliberately absent: which snapshots exist (the state behind `/sdk` has them), and the formats of
//! the files that hold a link.

use super::GRAIN_BYTES;
use super::random::{fill, mix};

/// What was written while one link was the top of the chain.
///
/// Deltas of the same `number`, which stand side by side, are one link: a removed snapshot lets two
/// links become one, whose later writes count. Number 0 is the disk itself, into which links were merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delta {
    /// The number in the link's file names: 1 for `web01-000001.vmdk`, 0 for `web01.vmdk`.
    pub number: u32,
    /// Same seed, same writes.
    pub seed: u64,
    /// Part of the grains that the guest wrote, in 1/65536.
    pub share: u16,
}

impl Delta {
    /// Groups the deltas of a chain, lowest first, by the links that they are now: the first group may be
    /// what was merged into the disk itself (number 0).
    pub fn links(deltas: &[Self]) -> impl DoubleEndedIterator<Item = &[Self]> {
        deltas.chunk_by(|lower, upper| lower.number == upper.number)
    }

    /// Returns whether the guest wrote a grain (64 KiB, counted from 0) of the VM's disk `disk`.
    #[must_use]
    pub fn wrote(&self, disk: usize, grain: u64) -> bool {
        self.mixed(disk, grain) & 0xffff < u64::from(self.share)
    }

    /// Fills `buffer` with the bytes that it wrote, from the start of the grain; at most a grain.
    ///
    /// # Panics
    ///
    /// When the buffer is longer than a grain.
    pub fn fill(&self, disk: usize, grain: u64, buffer: &mut [u8]) {
        assert!(u64::try_from(buffer.len()).is_ok_and(|len| len <= GRAIN_BYTES), "a grain has {GRAIN_BYTES} bytes");
        fill(mix(self.mixed(disk, grain)), buffer);
    }

    fn mixed(&self, disk: usize, grain: u64) -> u64 {
        let disk = u64::try_from(disk).unwrap_or(u64::MAX);
        mix(mix(self.seed ^ mix(disk)) ^ grain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_share_of_grains_is_written_and_each_link_and_disk_has_its_own() {
        let delta = Delta { number: 1, seed: 7, share: 0x4000 };
        let written = (0..4096).filter(|&grain| delta.wrote(0, grain)).count();
        assert!((900..1150).contains(&written), "{written} of 4096");
        let other = Delta { seed: 8, ..delta };
        assert!((0..64).any(|grain| delta.wrote(0, grain) != delta.wrote(1, grain)));
        assert!((0..64).any(|grain| delta.wrote(0, grain) != other.wrote(0, grain)));
        assert!(!(0..4096).any(|grain| Delta { share: 0, ..delta }.wrote(0, grain)));
    }

    #[test]
    fn the_start_of_a_grain_has_the_same_bytes_however_long_the_buffer() {
        let delta = Delta { number: 1, seed: 7, share: u16::MAX };
        let (mut whole, mut start) = (vec![0; 65536], vec![0; 512]);
        delta.fill(0, 3, &mut whole);
        delta.fill(0, 3, &mut start);
        assert_eq!(whole[..512], start);
        assert!(whole.iter().any(|&byte| byte != 0));
    }
}
