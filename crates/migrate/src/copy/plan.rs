//! In which order a copy goes through a disk, and what it leaves out.
//!
//! Pure but for the questions to the source's map, which are asked in windows, because an answer
//! grows with what it is about.

use std::collections::VecDeque;
use std::ops::Range;

use transfer::chunk::{ChunkValue, Chunks};
use transfer::journal::{ChunkState, Progress};
use transfer::{Extent, ExtentKind, RangeSource, Result};

/// The map is asked about so many bytes at a time.
const WINDOW_BYTES: u64 = 1 << 30;

/// The most chunks in one run of zeros, so that a stop is noticed also in a disk of holes.
const RUN_MAX: u64 = 1 << 16;

/// Something for a worker to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Chunks of zeros.
    Zero {
        /// Index of the first.
        first: u64,
        /// How many.
        count: u64,
        /// How many of them the journal has.
        kept: u64,
    },
    /// A chunk with data, or of which nothing is known.
    Chunk {
        /// Its index.
        index: u64,
        /// What the journal has of it.
        kept: Option<ChunkState>,
        /// What lies in it, from its start to its end.
        extents: Vec<Extent>,
    },
}

/// What is still to be planned.
#[derive(Debug, Default)]
pub(super) struct Plan {
    next: u64,
    ready: VecDeque<Task>,
}

impl Plan {
    /// Returns the next task; `None` when everything was handed out.
    pub(super) fn next(&mut self, source: &dyn RangeSource, start: &Progress) -> Result<Option<Task>> {
        let chunks = start.chunks();
        while self.ready.is_empty() && self.next < chunks.count() {
            let count = (WINDOW_BYTES / chunks.chunk_bytes()).max(1).min(chunks.count() - self.next);
            let window = self.next..self.next + count;
            let bytes = chunks.range(window.start).start..chunks.range(window.end - 1).end;
            self.ready = tasks(chunks, window.clone(), &source.extents(bytes)?, start);
            self.next = window.end;
        }
        Ok(self.ready.pop_front())
    }
}

/// Cuts a window of chunks into tasks.
fn tasks(chunks: Chunks, window: Range<u64>, extents: &[Extent], start: &Progress) -> VecDeque<Task> {
    let mut found: VecDeque<Task> = VecDeque::new();
    let mut at = 0;
    for index in window {
        let range = chunks.range(index);
        while extents.get(at).is_some_and(|extent| extent.range.end <= range.start) {
            at += 1;
        }
        let inside = || extents[at..].iter().take_while(|extent| extent.range.start < range.end);
        let zero = inside().all(|extent| extent.kind == ExtentKind::Zero);
        let kept = start.chunk(index);
        // The source may know less than the journal: a chunk that was read as zeros is one.
        let whole_zero =
            kept.is_some_and(|kept| kept.value == ChunkValue::Zero && kept.len_bytes == chunks.len_bytes(index));
        if !zero && !whole_zero {
            let clipped = |extent: &Extent| Extent {
                range: extent.range.start.max(range.start)..extent.range.end.min(range.end),
                kind: extent.kind,
            };
            found.push_back(Task::Chunk { index, kept, extents: inside().map(clipped).collect() });
            continue;
        }
        match found.back_mut() {
            Some(Task::Zero { count, kept, .. }) if *count < RUN_MAX => {
                *count += 1;
                *kept += u64::from(whole_zero);
            }
            _ => found.push_back(Task::Zero { first: index, count: 1, kept: u64::from(whole_zero) }),
        }
    }
    found
}
