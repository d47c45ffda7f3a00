//! Walks the grains of a disk in order, in steps of bounded cost.

use std::io;
use std::sync::Arc;

use diskimage::vmdk::stream_write::GRAIN_LEN;

use super::{DiskContent, GRAIN_BYTES};

/// Grains that one step looks at when they hold nothing: some tenths of a millisecond.
const EMPTY_GRAINS_MAX: u64 = 1 << 16;

/// One grain.
#[derive(Clone, Copy, Debug)]
pub enum Grain<'a> {
    /// Its zlib bytes.
    Deflated(&'a [u8]),
    /// Its guest bytes; the last grain of a disk may be short.
    Raw(&'a [u8]),
}

/// What one step found.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A grain and its index.
    Grain(u64, Grain<'a>),
    /// Nothing yet: a good moment to let others run.
    Nothing,
    /// The end of the disk.
    End,
}

/// Reads a disk's grains that hold data, ascending.
#[derive(Debug)]
pub struct GrainReader {
    content: Arc<DiskContent>,
    next: u64,
    buffer: Vec<u8>,
}

impl GrainReader {
    /// Begins at the first grain.
    #[must_use]
    pub fn new(content: Arc<DiskContent>) -> Self {
        Self { content, next: 0, buffer: Vec::with_capacity(GRAIN_LEN + GRAIN_LEN / 8) }
    }

    /// Reads the next grain.
    ///
    /// # Errors
    ///
    /// When the file underneath cannot be read.
    pub fn step(&mut self) -> io::Result<Step<'_>> {
        let grains = self.content.grain_count();
        if self.content.is_zero_from(self.next) {
            self.next = grains;
        }
        let end = grains.min(self.next.saturating_add(EMPTY_GRAINS_MAX));
        let Some(index) = (self.next..end).find(|&index| self.content.may_have_data(index)) else {
            self.next = end;
            return Ok(if end < grains { Step::Nothing } else { Step::End });
        };
        self.next = index + 1;
        self.read(index).map(|grain| Step::Grain(index, grain))
    }

    fn read(&mut self, index: u64) -> io::Result<Grain<'_>> {
        let len = self.content.grain_bytes(index);
        if len == GRAIN_BYTES
            && let Some(seeded) = self.content.seeded(index)
        {
            seeded.deflated_grain(index, &mut self.buffer);
            return Ok(Grain::Deflated(&self.buffer));
        }
        self.buffer.resize(usize::try_from(len).expect("a grain is small"), 0);
        self.content.read_range(index * GRAIN_BYTES, &mut self.buffer)?;
        Ok(Grain::Raw(&self.buffer))
    }
}
