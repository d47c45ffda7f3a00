//! A disk with what its guest wrote above snapshots: links of a chain, flattened while they are read.
//!
//! For each grain the highest link that wrote it counts, else the disk below. Nothing is copied, so a
//! chain over a disk of any size costs no memory.

use std::io;
use std::sync::Arc;

use diskimage::vmdk::stream_write::GRAIN_LEN;

use super::random::mix;
use super::seeded::Seeded;
use super::{ContentKey, Delta, DiskContent, GRAIN_BYTES};

/// Links above a disk.
#[derive(Debug)]
pub(super) struct Layers {
    base: Arc<DiskContent>,
    /// Which disk of its VM it is.
    disk: usize,
    /// Those that wrote something, lowest first; at least one.
    deltas: Vec<Delta>,
}

impl Layers {
    /// Returns `None` when no link wrote anything.
    pub(super) fn new(base: &Arc<DiskContent>, disk: usize, deltas: &[Delta]) -> Option<Self> {
        let deltas: Vec<_> = deltas.iter().filter(|delta| delta.share > 0).copied().collect();
        (!deltas.is_empty()).then(|| Self { base: Arc::clone(base), disk, deltas })
    }

    pub(super) fn key(&self) -> ContentKey {
        let links = self.deltas.iter().map(|delta| (delta.seed, delta.share)).collect();
        ContentKey::Layered(Box::new(self.base.key()), self.disk, links)
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let add = |sum, delta: &Delta| mix(mix(sum ^ delta.seed) ^ u64::from(delta.share));
        let disk = u64::try_from(self.disk).unwrap_or(u64::MAX);
        self.deltas.iter().fold(mix(self.base.fingerprint() ^ disk), add)
    }

    pub(super) fn may_have_data(&self, index: u64) -> bool {
        self.writer(index).is_some() || self.base.may_have_data(index)
    }

    /// What a guest writes is noise, never zeros.
    pub(super) fn is_populated(&self, index: u64, scratch: &mut Vec<u8>) -> io::Result<bool> {
        if self.writer(index).is_some() { Ok(true) } else { self.base.is_populated(index, scratch) }
    }

    pub(super) fn seeded(&self, index: u64) -> Option<&Seeded> {
        if self.writer(index).is_some() { None } else { self.base.seeded(index) }
    }

    /// Fills `buffer` with the bytes from `offset`: those of the disk below, then each grain that a link
    /// wrote.
    pub(super) fn read_range(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.base.read_range(offset, buffer)?;
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let inner = usize::try_from(at % GRAIN_BYTES).expect("a remainder of 64 KiB is small");
            let (now, later) = rest.split_at_mut((GRAIN_LEN - inner).min(rest.len()));
            let index = at / GRAIN_BYTES;
            if let Some(delta) = self.writer(index) {
                self.read_written(delta, index, inner, now);
            }
            at += u64::try_from(now.len()).expect("usize has at most 64 bits");
            rest = later;
        }
        Ok(())
    }

    fn read_written(&self, delta: &Delta, index: u64, inner: usize, buffer: &mut [u8]) {
        if inner == 0 {
            return delta.fill(self.disk, index, buffer);
        }
        // The bytes of a grain are only known from its start.
        let mut grain = vec![0; inner + buffer.len()];
        delta.fill(self.disk, index, &mut grain);
        buffer.copy_from_slice(&grain[inner..]);
    }

    /// Returns the link whose bytes count.
    fn writer(&self, index: u64) -> Option<&Delta> {
        self.deltas.iter().rev().find(|delta| delta.wrote(self.disk, index))
    }
}
