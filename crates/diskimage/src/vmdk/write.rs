//! Writes a stream-optimized disk to a file: ascending, compressed on several threads, over crashes.
//!
//! ```text
//!  create ──► write_at, write_zeroes ──► commit ──► write … ──► finish
//!                 │ crash                  │ checkpoint           │ crash
//!                 ▼                        ▼                      ▼
//!              reopen([])        reopen([first, …, last])    reopen(all)
//! ```
//!
//! The format is that of [`super::stream_write`], and the same code makes it. While the file is
//! written its first sector is zero, so that nobody takes it for a disk; the header comes last.
//!
//! # Writing
//!
//! * Every write begins where the last one ended ([`VmdkWriter::next_offset`]), at any byte. What does
//!   not fill a grain waits in memory for its rest.
//! * Whole grains go to the [`Workers`], which deflate several at once. Each finished grain waits
//!   for its turn, gets its place and is written by the worker that ended the wait. The budget of the
//!   workers bounds all of this; without workers a grain is deflated in the calling thread.
//! * Grains of zeros cost nothing and are not there.
//!
//! # The unfinished grain
//!
//! A checkpoint covers every byte that was written, also of a grain that is not complete. That
//! *tail* of up to 64 KiB is too much for a checkpoint and cannot be in the stream, which would
//! keep it for ever. So the file has two *slots* of one grain each between descriptor and first
//! grain:
//!
//! ```text
//!  sector 0        1                    │ slot 0       │ slot 1       │ overhead
//!  ┌───────────────┬────────────┬───────┬──────────────┬──────────────┬───────┬───
//!  │ 0, last the   │ descriptor │   0   │ tail, later 0│ tail, later 0│ grain │ …
//!  │ header        │            │       │              │              │       │
//!  └───────────────┴────────────┴───────┴──────────────┴──────────────┴───────┴───
//! ```
//!
//! Commits use them in turn. The tail that a checkpoint names is always somewhere, even if later
//! checkpoints are lost: its slot is used again by the second commit after it, and by then either
//! the grain is complete and durable, and begins with the tail; or it is still open, and the slot
//! of the commit in between holds more of it. Checkpoints name length and checksum of the tail;
//! `reopen` takes it from where these agree. A finished file has zeros there, which every reader
//! passes over: the header says where grains begin.
//!
//! # What a crash may take
//!
//! All that was written since the commit whose checkpoint is the newest given to `reopen`; the list
//! may be any prefix of those returned. `reopen` walks the markers of what it keeps, one read of a
//! sector per grain, and compares the grains that they name, and the tables between them, with what
//! was written; it cuts the rest off. It does not expand grains: who wants that reads them.
//!
//! # Neighbours
//!
//! `line` takes grains to their places, `tail` keeps the unfinished one, `checkpoint` is the form of a
//! commit; `reopen` and `finish` are the ends of a life. Deliberately absent: digests and names of
//! files, which are the caller's, and other orders than ascending: two streams of one disk should be equal.

mod checkpoint;
mod finish;
mod line;
mod read;
mod reopen;
mod tail;

use std::fmt;
use std::sync::{Arc, Mutex};

use super::stream_write::{GRAIN_LEN, Parts, StreamOptions};
use crate::lock::lock;
use crate::number::{clip, u64_from};
use crate::output::{Life, Output, admit, is_zero};
use crate::parallel::Workers;
use crate::{Error, Result};
use checkpoint::{Chain, Checkpoint};
use line::Line;
use read::Back;
use tail::{SLOTS_SECTORS, Slots};

/// Size of a grain, the unit of a disk: 64 KiB.
const GRAIN_BYTES: u64 = 64 << 10;

/// What a disk is to be, and who deflates.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the stream is to be.
    pub stream: StreamOptions,
    /// The threads that deflate; without any, the calling thread does.
    pub workers: Option<Arc<Workers>>,
}

impl Options {
    /// Returns options for a stream that is deflated in the calling thread.
    #[must_use]
    pub fn new(stream: StreamOptions) -> Self {
        Self { stream, workers: None }
    }

    /// Checks that a disk can be so, before anything is written.
    ///
    /// # Errors
    /// `Misuse` and `Limit`.
    pub fn check(&self) -> Result<()> {
        plan(self).map(drop)
    }
}

/// What a finished disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VmdkStats {
    /// Length of the file.
    pub file_bytes: u64,
    /// Grains in it.
    pub grains: u64,
    /// Bytes of the guest's disk that the grains hold: `populatedSize` of an OVF descriptor.
    pub populated_bytes: u64,
}

/// Writes a disk; see the module.
pub struct VmdkWriter {
    capacity_bytes: u64,
    line: Arc<Line>,
    workers: Option<Arc<Workers>>,
    /// Locked before anything of the line.
    front: Mutex<Front>,
    chain: Mutex<Chain>,
    life: Life,
}

/// Where the caller is.
struct Front {
    /// The guest's byte that is written next.
    next: u64,
    /// What came of the grain that `next` lies in.
    open: Vec<u8>,
    slots: Slots,
    /// What reading back needs, once somebody did.
    back: Option<Back>,
}

impl VmdkWriter {
    /// Starts a disk; whatever the file holds is given up.
    ///
    /// # Errors
    /// `Misuse` and `Limit` for options that no stream can have, `Io` and `Full`.
    pub fn create(output: impl Output + 'static, options: &Options) -> Result<Self> {
        let parts = plan(options)?;
        output.set_len_bytes(0).map_err(cannot_write)?;
        // Header, descriptor and slots: zero until they are needed.
        output.set_len_bytes(bytes_of(parts.position().0)).map_err(cannot_write)?;
        let front = Front { next: 0, open: Vec::new(), slots: Slots::new(&parts), back: None };
        Ok(Self::assemble(Box::new(output), options, parts, front, Chain::default()))
    }

    fn assemble(output: Box<dyn Output>, options: &Options, parts: Parts, front: Front, chain: Chain) -> Self {
        Self {
            capacity_bytes: parts.header().capacity_bytes(),
            line: Arc::new(Line::new(output, parts, options.stream.level)),
            workers: options.workers.clone(),
            front: Mutex::new(front),
            chain: Mutex::new(chain),
            life: Life::default(),
        }
    }

    /// Returns the size of the guest's disk in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Returns where the next write has to begin.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        lock(&self.front).next
    }

    /// Writes all of `bytes` at `offset` of the guest's disk, which is [`Self::next_offset`].
    ///
    /// # Errors
    /// `Misuse` for another offset and outside of the disk, without effect. All others are final,
    /// and may be those of an earlier call whose grains were still on their way: what was written
    /// since the last commit has no defined value, and every later call fails.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut front = lock(&self.front);
        self.admit_next(&front, offset, u64_from(bytes.len()))?;
        self.life.run(|| {
            let mut rest = bytes;
            while !rest.is_empty() {
                let missing = self.grain_len(front.next) - front.open.len();
                let (piece, behind) = rest.split_at(missing.min(rest.len()));
                rest = behind;
                if front.open.is_empty() && piece.len() == missing {
                    self.put_grain(front.next / GRAIN_BYTES, piece)?;
                } else {
                    front.open.extend_from_slice(piece);
                    self.put_open_if_whole(&mut front, piece.len() == missing)?;
                }
                front.next += u64_from(piece.len());
            }
            Ok(())
        })
    }

    /// Lets `len_bytes` from `offset` on, which is [`Self::next_offset`], read as zero; whole
    /// grains of them cost nothing.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        let mut front = lock(&self.front);
        self.admit_next(&front, offset, len_bytes)?;
        self.life.run(|| {
            let end = offset + len_bytes;
            if !front.open.is_empty() {
                let missing = self.grain_len(front.next) - front.open.len();
                let zeros = clip(missing, end - front.next);
                let len = front.open.len() + zeros;
                front.open.resize(len, 0);
                self.put_open_if_whole(&mut front, zeros == missing)?;
                front.next += u64_from(zeros);
            }
            if front.next < end {
                // Grains that are all zeros are passed over; the last one of the disk may be short.
                let at_end = end == self.capacity_bytes;
                let behind = if at_end { 0 } else { end % GRAIN_BYTES };
                front.open.resize(clip(GRAIN_LEN, behind), 0);
                front.next = end;
            }
            Ok(())
        })
    }

    /// Makes durable what was written by calls that had returned before, and returns a checkpoint
    /// of less than 100 bytes.
    ///
    /// May run beside writes, which wait while grains on their way get to their places.
    ///
    /// # Errors
    /// Final ones; what earlier checkpoints cover stays covered.
    pub fn commit(&self) -> Result<Vec<u8>> {
        self.life.run(|| {
            let mut chain = lock(&self.chain);
            let checkpoint = {
                let mut front = lock(&self.front);
                let position = self.line.settle()?;
                let trail = self.line.with_parts(|parts| parts.trail());
                let tail = front.keep_tail(self.line.output())?;
                Checkpoint { next: front.next, position, trail, tail }
            };
            self.line.output().sync().map_err(cannot_write)?;
            Ok(checkpoint.encode(self.line.head_checksum(), &mut chain))
        })
    }

    fn admit_next(&self, front: &Front, offset: u64, len_bytes: u64) -> Result<()> {
        if offset != front.next {
            let found = format!("offset {offset} instead of {}", front.next);
            return Err(Error::misuse("a stream is written in ascending order, without gaps").found(found));
        }
        admit(offset, len_bytes, self.capacity_bytes)
    }

    /// Returns how long the grain is that holds the byte `offset`; only the last may be short.
    fn grain_len(&self, offset: u64) -> usize {
        clip(GRAIN_LEN, self.capacity_bytes - offset / GRAIN_BYTES * GRAIN_BYTES)
    }

    fn put_open_if_whole(&self, front: &mut Front, is_whole: bool) -> Result<()> {
        if is_whole {
            let index = front.next / GRAIN_BYTES;
            self.put_grain(index, &front.open)?;
            front.open.clear();
        }
        Ok(())
    }

    fn put_grain(&self, index: u64, grain: &[u8]) -> Result<()> {
        if is_zero(grain) {
            return self.line.check();
        }
        self.line.put(self.workers.as_deref(), index, grain)
    }
}

impl Drop for VmdkWriter {
    /// Waits until no worker writes any more: the file may be opened again at once.
    fn drop(&mut self) {
        self.line.abandon();
    }
}

impl fmt::Debug for VmdkWriter {
    /// Says nothing of the bytes that it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmdkWriter")
            .field("capacity_bytes", &self.capacity_bytes)
            .field("next_offset", &self.next_offset())
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// Plans a stream with room for the slots.
fn plan(options: &Options) -> Result<Parts> {
    let parts = Parts::new(&options.stream, SLOTS_SECTORS)?;
    debug_assert_eq!(parts.header().grain_bytes(), GRAIN_BYTES, "streams have one size of grain");
    Ok(parts)
}

fn bytes_of(sectors: u64) -> u64 {
    sectors * super::layout::SECTOR_BYTES
}

fn cannot_write(source: std::io::Error) -> Error {
    Error::write("cannot write the disk", source)
}

fn cannot_read(source: std::io::Error) -> Error {
    Error::io("cannot read back the disk", source)
}
