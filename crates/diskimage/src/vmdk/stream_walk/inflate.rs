//! Expands the grains of a walk, when the caller asked for that.

use crate::Result;
use crate::number::{clip, u64_from};
use crate::vmdk::grain::GrainInflater;
use crate::vmdk::layout::{DEFLATED_GRAINS_MAX, Header};

/// Collects the compressed bytes of one grain at a time and checks what they expand to.
#[derive(Debug)]
pub(super) struct GrainCheck {
    inflater: GrainInflater,
    grain_len: usize,
    zlib: Vec<u8>,
    size_bytes: u64,
    needed_bytes: u64,
}

impl GrainCheck {
    pub(super) fn new(header: &Header) -> Self {
        let grain_len = clip(usize::MAX, header.grain_bytes());
        Self {
            inflater: GrainInflater::new(grain_len),
            grain_len,
            zlib: Vec::with_capacity(clip(usize::MAX, header.grain_bytes() * DEFLATED_GRAINS_MAX)),
            size_bytes: 0,
            needed_bytes: 0,
        }
    }

    /// Begins a grain of `size_bytes` compressed bytes that holds `needed_bytes` of the disk.
    pub(super) fn begin(&mut self, size_bytes: u64, needed_bytes: u64) {
        self.zlib.clear();
        self.size_bytes = size_bytes;
        self.needed_bytes = needed_bytes;
    }

    /// Takes bytes of the grain or of the padding behind it.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let missing = self.size_bytes - u64_from(self.zlib.len());
        self.zlib.extend_from_slice(&bytes[..clip(bytes.len(), missing)]);
    }

    /// Ends the grain.
    pub(super) fn end(&mut self) -> Result<()> {
        let needed = clip(self.grain_len, self.needed_bytes);
        self.inflater.inflate(&self.zlib, needed)?;
        Ok(())
    }
}
