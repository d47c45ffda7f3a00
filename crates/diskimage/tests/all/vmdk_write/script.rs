//! A content, and calls that write it in order.

use std::ops::Range;
use std::sync::Arc;

use diskimage::Result;
use diskimage::output::MemoryOutput;
use diskimage::parallel::Workers;
use diskimage::vmdk::stream_write::StreamOptions;
use diskimage::vmdk::write::{Options, VmdkWriter};

use crate::writers::Random;

pub(super) const GRAIN: usize = 65536;

/// What a disk is to hold: zeros, and from some byte on random runs of text, noise and zeros.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) zeros_until: usize,
}

impl Content {
    pub(super) fn new(random: &mut Random, capacity: usize, zeros_until: usize) -> Self {
        let mut bytes = vec![0; zeros_until];
        bytes.extend(random.bytes(capacity - zeros_until));
        Self { bytes, zeros_until }
    }

    pub(super) fn options(&self, workers: Option<&Arc<Workers>>) -> Options {
        let capacity = u64::try_from(self.bytes.len()).unwrap();
        Options { workers: workers.cloned(), ..Options::new(StreamOptions::new(capacity, 7, "disk.vmdk")) }
    }

    /// Makes a random call at `next`: a write, or zeros where the content has them.
    pub(super) fn step(&self, random: &mut Random, next: usize) -> Range<usize> {
        if next < self.zeros_until {
            return next..self.zeros_until;
        }
        let longest = [10, 5000, 70_000, 200_000][random.below(4)];
        let mut end = self.bytes.len().min(next + 1 + random.below(longest));
        if random.one_in(4) {
            end = self.bytes.len().min(end.next_multiple_of(GRAIN));
        }
        next..end
    }

    pub(super) fn write(&self, writer: &VmdkWriter, range: Range<usize>) -> Result<()> {
        let (offset, bytes) = (u64::try_from(range.start).unwrap(), &self.bytes[range.clone()]);
        if bytes.iter().all(|&byte| byte == 0) {
            return writer.write_zeroes(offset, u64::try_from(range.len()).unwrap());
        }
        writer.write_at(offset, bytes)
    }

    /// Writes all that is missing, and finishes.
    pub(super) fn complete(&self, writer: VmdkWriter, random: &mut Random) {
        let mut next = usize::try_from(writer.next_offset()).unwrap();
        while next < self.bytes.len() {
            let range = self.step(random, next);
            next = range.end;
            self.write(&writer, range).unwrap();
        }
        writer.finish().unwrap();
    }

    /// Makes the file that a life without crashes makes, in one call.
    pub(super) fn file(&self) -> Vec<u8> {
        let output = MemoryOutput::default();
        let writer = VmdkWriter::create(output.clone(), &self.options(None)).unwrap();
        writer.write_at(0, &self.bytes).unwrap();
        writer.finish().unwrap();
        output.contents()
    }

    /// Checks what is covered up to `end`, as far as it is not only the zeros at the start.
    pub(super) fn check(&self, writer: &VmdkWriter, end: usize, what: &str) {
        let start = self.zeros_until.saturating_sub(1000).min(end);
        let mut found = vec![0x5a; end - start];
        writer.read_at(u64::try_from(start).unwrap(), &mut found).unwrap();
        let differs = found.iter().zip(&self.bytes[start..end]).position(|(found, right)| found != right);
        assert!(differs.is_none(), "{what}: byte {} is not what was written", start + differs.unwrap_or(0));
    }
}
