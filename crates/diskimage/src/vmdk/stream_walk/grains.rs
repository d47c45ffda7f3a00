//! What a walk does with the bytes of grains: nothing, check them, or collect them for others.

use super::inflate::GrainCheck;
use crate::Result;
use crate::number::{clip, u64_from};

/// What happens with the grains of a walk.
#[derive(Debug)]
pub(super) enum Grains {
    /// They pass.
    Pass,
    /// Each is expanded and checked.
    Check(GrainCheck),
    /// They are handed on.
    Collect(Collector),
}

/// A grain whose bytes begin to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) index: u64,
    /// Where its marker stands in the stream.
    pub(super) offset: u64,
    /// Length of the zlib bytes.
    pub(super) size_bytes: u64,
    /// Bytes of the guest's disk in it.
    pub(super) guest_bytes: u64,
}

impl Grains {
    pub(super) fn begin(&mut self, grain: Begun) {
        match self {
            Self::Pass => {}
            Self::Check(check) => check.begin(grain.size_bytes, grain.guest_bytes),
            Self::Collect(collector) => collector.begin(grain),
        }
    }

    /// Takes bytes of the grain or of the padding behind it.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Pass => {}
            Self::Check(check) => check.take(bytes),
            Self::Collect(collector) => collector.take(bytes),
        }
    }

    pub(super) fn end(&mut self) -> Result<()> {
        match self {
            Self::Check(check) => check.end(),
            Self::Pass | Self::Collect(_) => Ok(()),
        }
    }
}

/// Grains that follow each other on the guest's disk, as they came.
#[derive(Debug, Default)]
pub(in crate::vmdk) struct Batch {
    /// Index of the first grain.
    pub(in crate::vmdk) first: u64,
    /// The zlib bytes of all of them.
    pub(in crate::vmdk) zlib: Vec<u8>,
    /// Where each ends in `zlib`, how many bytes of the disk it holds, and where it stood.
    pub(in crate::vmdk) grains: Vec<Collected>,
    /// Bytes of the guest's disk in all of them.
    pub(in crate::vmdk) guest_len: usize,
}

/// One grain of a batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::vmdk) struct Collected {
    pub(in crate::vmdk) zlib_end: usize,
    pub(in crate::vmdk) guest_len: usize,
    /// Where its marker stands in the stream.
    pub(in crate::vmdk) offset: u64,
}

/// Collects grains into batches.
#[derive(Debug)]
pub(in crate::vmdk) struct Collector {
    /// A batch takes no more grains from this length on the disk on.
    batch_len: usize,
    /// The batch that grows, if it has a grain.
    open: Batch,
    whole: Vec<Batch>,
}

impl Collector {
    pub(in crate::vmdk) fn new(batch_len: usize) -> Self {
        Self { batch_len, open: Batch::default(), whole: Vec::new() }
    }

    fn begin(&mut self, grain: Begun) {
        let goes_on =
            self.open.guest_len < self.batch_len && self.open.first + u64_from(self.open.grains.len()) == grain.index;
        if !goes_on && !self.open.grains.is_empty() {
            self.whole.push(std::mem::take(&mut self.open));
        }
        if self.open.grains.is_empty() {
            self.open.first = grain.index;
        }
        let zlib_end = self.open.zlib.len() + clip(usize::MAX, grain.size_bytes);
        let guest_len = clip(usize::MAX, grain.guest_bytes);
        self.open.grains.push(Collected { zlib_end, guest_len, offset: grain.offset });
        self.open.guest_len += guest_len;
    }

    fn take(&mut self, bytes: &[u8]) {
        let end = self.open.grains.last().map_or(0, |grain| grain.zlib_end);
        let missing = end - self.open.zlib.len();
        self.open.zlib.extend_from_slice(&bytes[..missing.min(bytes.len())]);
    }

    /// Returns the batches that are complete; at the end of the stream also the last one.
    fn collected(&mut self, at_end: bool) -> Vec<Batch> {
        if at_end && !self.open.grains.is_empty() {
            self.whole.push(std::mem::take(&mut self.open));
        }
        std::mem::take(&mut self.whole)
    }
}

impl Grains {
    /// Returns what was collected since the last call.
    pub(super) fn collected(&mut self, at_end: bool) -> Vec<Batch> {
        match self {
            Self::Collect(collector) => collector.collected(at_end),
            Self::Pass | Self::Check(_) => Vec::new(),
        }
    }
}
