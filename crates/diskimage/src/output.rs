//! The file or block device that a writer fills.
//!
//! Writers place bytes at any offset, from several threads, and must know two things that
//! [`std::io::Write`] does not tell: what is durable, and whether a place that was never written
//! reads as zero. [`Output`] is that seam. [`FileOutput`] is the real one; [`MemoryOutput`] is its
//! twin for tests, which loses what was not synced and fails on demand.
//!
//! Deliberately absent: names. Opening, renaming and syncing the directory are the caller's, who
//! may do them with another identity than ours. [`crate::raw::device`] opens block devices.

mod behind;
mod file;
mod life;
mod memory;

pub use file::FileOutput;
pub(crate) use life::{Life, admit};
pub use memory::{MemoryOutput, OutputCalls};

pub(crate) use crate::vmdk::grain::is_zero;

use std::fmt;
use std::io;

use crate::number::u64_from;

/// The unit in which zeros are looked for and holes are made: 4 KiB, the block of common file
/// systems and the page of the cache. A smaller hole frees nothing.
pub const BLOCK_BYTES: u64 = 4096;

/// The same in memory.
pub(crate) const BLOCK_LEN: usize = 4096;

/// A place for bytes, addressed by offset, usable from several threads at once.
///
/// Errors are the system's and final: a writer that meets one gives up, because after a failed
/// sync nobody knows what is durable.
pub trait Output: Send + Sync + fmt::Debug {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Cuts the file, or makes it longer by bytes that read as zero.
    ///
    /// # Errors
    /// What the system says; always for a block device.
    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()>;

    /// Fills all of `buf` from `offset` on.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes a range inside the file read as zero, and gives its space back where that works.
    ///
    /// # Errors
    /// What the system says.
    fn zero(&self, offset: u64, len_bytes: u64) -> io::Result<()>;

    /// Makes durable what was written, zeroed or cut by calls that had returned before.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Returns whether a place that was never written reads as zero. A block device says no.
    fn starts_as_zero(&self) -> bool;
}

/// Calls `run` for each maximal run of blocks that are all zero or all not, in order.
///
/// Blocks are those of the *target*: `offset` is where `bytes` will stand there, so that the first
/// and the last run may hold a part of a block. The arguments are the offset inside `bytes`, the
/// run and whether it is zero.
///
/// # Errors
/// The first one of `run`.
pub(crate) fn for_each_run<E>(
    offset: u64,
    bytes: &[u8],
    mut run: impl FnMut(usize, &[u8], bool) -> Result<(), E>,
) -> Result<(), E> {
    let into_block = usize::try_from(offset % BLOCK_BYTES).expect("less than a block");
    let (mut start, mut end) = (0, (BLOCK_LEN - into_block).min(bytes.len()));
    let mut zero = is_zero(&bytes[start..end]);
    while end < bytes.len() {
        let next = (end + BLOCK_LEN).min(bytes.len());
        let next_zero = is_zero(&bytes[end..next]);
        if next_zero != zero {
            run(start, &bytes[start..end], zero)?;
            (start, zero) = (end, next_zero);
        }
        end = next;
    }
    if start == end { Ok(()) } else { run(start, &bytes[start..end], zero) }
}

/// Writes to a place that reads as zero: blocks of zeros are left out.
pub(crate) fn write_fresh(output: &dyn Output, offset: u64, bytes: &[u8]) -> io::Result<()> {
    for_each_run(
        offset,
        bytes,
        |start, run, zero| {
            if zero { Ok(()) } else { output.write_all_at(run, offset + u64_from(start)) }
        },
    )
}

/// Writes to a place that may hold anything: whole blocks of zeros become holes where that works.
pub(crate) fn write_over(output: &dyn Output, offset: u64, bytes: &[u8]) -> io::Result<()> {
    for_each_run(offset, bytes, |start, run, zero| {
        let place = offset + u64_from(start);
        if zero && run.len() >= BLOCK_LEN {
            output.zero(place, u64_from(run.len()))
        } else {
            output.write_all_at(run, place)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(offset: u64, bytes: &[u8]) -> Vec<(usize, usize, bool)> {
        let mut runs = Vec::new();
        for_each_run(offset, bytes, |start, run, zero| {
            runs.push((start, run.len(), zero));
            Ok::<(), ()>(())
        })
        .unwrap();
        runs
    }

    #[test]
    fn runs_follow_the_blocks_of_the_target() {
        let mut bytes = vec![0; 3 * BLOCK_LEN];
        assert_eq!(runs(0, &bytes), [(0, 12288, true)]);
        bytes[5000] = 1;
        assert_eq!(runs(0, &bytes), [(0, 4096, true), (4096, 4096, false), (8192, 4096, true)]);
        assert_eq!(runs(100, &bytes), [(0, 3996, true), (3996, 4096, false), (8092, 4196, true)]);
        assert_eq!(runs(4095, &bytes[..2]), [(0, 2, true)]);
        assert_eq!(runs(7, &[]), []);
    }
}
