//! Expands a stream-optimized disk while it passes: from a pipe, a socket or a file.
//!
//! ```text
//!  read ──bytes──► walk ──batches of grains──► expand ──► consume      on each of the threads
//!  └──── the calling thread ────┘
//! ```
//!
//! The calling thread reads and walks, which costs next to nothing, and hands grains on in batches
//! of some that follow each other; it expands one itself while the others have enough to do.
//! Every rule of [`super::stream_walk`] holds, the Adler-32 of each grain is checked, and the
//! summary comes only when all of it was consumed.
//!
//! Grains reach the consumer in no order, each once; what is absent from the stream is zeros and is
//! not told. Of a stream that turns out to be damaged or cut any part may have been consumed.
//!
//! **Memory:** the budget for compressed bytes, and per thread one batch expanded.
//!
//! Deliberately absent: an order. Writers in any order are the faster ones, and whoever needs
//! order reads a file at any place instead.

use super::grain::GrainInflater;
use super::layout::{CAPACITY_SECTORS_MAX, SECTOR_BYTES};
use super::stream_walk::{Batch, Collector, StreamSummary, StreamWalker, WalkOptions};
use crate::number::{clip, u64_from};
use crate::parallel::{Stopped, pipeline};
use crate::{Error, Result};

/// How much of the guest's disk a batch holds: few enough bytes to stay in a core's cache until
/// they are written, and enough to make few writes.
const BATCH_LEN: usize = 256 << 10;

/// What a batch counts beside its bytes: its list, and the block that holds it.
const BATCH_EXTRA_LEN: usize = 512;

/// How to expand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpandOptions {
    /// Threads that expand, the calling one among them.
    pub threads: usize,
    /// Bytes of the stream that may wait for a thread.
    pub budget_bytes: usize,
    /// The largest disk to accept.
    pub capacity_bytes_max: u64,
}

impl ExpandOptions {
    /// Returns the usual options for so many threads: 4 MiB of the stream for each.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            budget_bytes: threads.saturating_mul(4 << 20),
            capacity_bytes_max: CAPACITY_SECTORS_MAX * SECTOR_BYTES,
        }
    }
}

/// Where `read` puts the bytes of the stream; fails when it should stop.
pub type Push<'a, E> = dyn FnMut(&[u8]) -> Result<(), E> + 'a;

/// Expands the stream that `read` pushes, in pieces cut anywhere, and hands its grains to `consume`
/// with their place on the guest's disk.
///
/// `consume` runs on all threads at once. It may be given several grains that follow each other in
/// one call.
///
/// # Errors
/// The first of `consume` or of a grain; else that of `read`, or of the stream, with the byte at
/// which the broken part starts.
pub fn expand<E: From<Error> + Send>(
    options: &ExpandOptions,
    read: impl FnOnce(&mut Push<'_, E>) -> Result<(), E>,
    consume: impl Fn(u64, &[u8]) -> Result<(), E> + Sync,
) -> Result<StreamSummary, E> {
    let make_work = || {
        let mut expander = Expander { inflater: None, content: Vec::new() };
        let consume = &consume;
        move |(grain_bytes, batch): (u64, Batch)| {
            let content = expander.expand(grain_bytes, &batch)?;
            consume(batch.first * grain_bytes, content)
        }
    };
    let walk = WalkOptions { inflate: false, capacity_bytes_max: options.capacity_bytes_max };
    pipeline(options.threads, options.budget_bytes, make_work, |feed| {
        let mut walker = StreamWalker::collecting(walk, Collector::new(BATCH_LEN));
        let mut put = |(grain_bytes, batches): (u64, Vec<Batch>)| {
            batches.into_iter().try_for_each(|batch| {
                let len = batch.zlib.len() + BATCH_EXTRA_LEN;
                feed.put((grain_bytes, batch), len)
            })
        };
        read(&mut |bytes| {
            walker.push(bytes)?;
            put(walker.collected(false)).map_err(|stopped| match stopped {
                Stopped::By(error) => error,
                // Ends the reader; the error of the worker is the one that is returned.
                Stopped::ByWorker => Error::misuse("a stream is not read on after a grain failed").into(),
            })
        })?;
        let last = walker.collected(true);
        // Before the last grain, which may be the one that was cut.
        let summary = walker.finish().map_err(E::from)?;
        put(last)?;
        Ok(summary)
    })
}

/// What a thread needs to expand.
struct Expander {
    /// Made by the first batch, which tells the size of grains.
    inflater: Option<GrainInflater>,
    content: Vec<u8>,
}

impl Expander {
    fn expand(&mut self, grain_bytes: u64, batch: &Batch) -> Result<&[u8]> {
        let inflater = self.inflater.get_or_insert_with(|| GrainInflater::new(clip(usize::MAX, grain_bytes)));
        if self.content.len() < batch.guest_len {
            self.content.resize(batch.guest_len, 0);
        }
        let (mut start, mut rest) = (0, &mut self.content[..batch.guest_len]);
        for grain in &batch.grains {
            let (out, behind) = rest.split_at_mut(grain.guest_len);
            let zlib = batch.zlib.get(start..grain.zlib_end).unwrap_or_default();
            inflater.inflate_into(zlib, out).map_err(|error| error.or_at(grain.offset))?;
            (start, rest) = (grain.zlib_end, behind);
        }
        debug_assert_eq!(u64_from(rest.len()), 0, "a batch is as long as its grains");
        Ok(&self.content[..batch.guest_len])
    }
}
