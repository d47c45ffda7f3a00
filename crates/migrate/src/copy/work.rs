//! One worker: takes tasks until there are none, or until something fails.

use transfer::chunk::ChunkHasher;
use transfer::journal::ChunkState;
use transfer::{Error, ErrorKind, Extent, ExtentKind, Order, Result};

use super::plan::Task;
use super::{InWork, PIECE_BYTES, Settled, Shared, Slot, lock_slot};

const DOING: &str = "copy a disk";

impl Shared<'_> {
    pub(super) fn run_worker(&self, slot: &Slot) {
        // Counted down also when the work panics: the committer must not wait for ever.
        let _leaving = Leaving(self);
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match self.next_task().and_then(|task| task.map(|task| self.work(&task, slot, &mut buffer)).transpose()) {
                Ok(Some(())) => {}
                Ok(None) => return,
                Err(error) => return self.fail(error),
            }
        }
    }

    fn next_task(&self) -> Result<Option<Task>> {
        self.ends.cancel.check(DOING)?;
        let mut state = self.lock();
        if state.error.is_some() {
            return Ok(None);
        }
        state.plan.next(self.ends.source, self.start)
    }

    fn work(&self, task: &Task, slot: &Slot, buffer: &mut [u8]) -> Result<()> {
        match task {
            Task::Zero { first, count, kept } => self.zero(*first, *count, *kept),
            Task::Chunk { index, kept, extents } => self.chunk(*index, *kept, extents, slot, buffer),
        }
    }

    /// Makes chunks read as zero. Also those that the journal has: it costs a sink nothing, and
    /// looking at them would cost what the capacity is.
    fn zero(&self, first: u64, count: u64, kept: u64) -> Result<()> {
        let chunks = self.start.chunks();
        let range = chunks.range(first).start..chunks.range(first + count - 1).end;
        let len_bytes = range.end - range.start;
        let ahead = self.ahead(range.start, len_bytes);
        if kept < count {
            self.compare_zeroes(range.start, ahead)?;
        }
        if ahead < len_bytes {
            self.ends.sink.write_zeroes(range.start + ahead, len_bytes - ahead)?;
        }
        self.observer.settled(len_bytes, Settled::Zero);
        if kept < count {
            self.lock().finished_zeroes(first, count);
        }
        Ok(())
    }

    fn chunk(
        &self,
        index: u64,
        kept: Option<ChunkState>,
        extents: &[Extent],
        slot: &Slot,
        buffer: &mut [u8],
    ) -> Result<()> {
        let range = self.start.chunks().range(index);
        let hasher = self.kept_part(index, kept, buffer)?;
        let kept_bytes = hasher.len_bytes();
        self.observer.settled(kept_bytes, Settled::Kept);
        *lock_slot(slot) = Some(InWork { chunk: index, hasher, journaled_bytes: kept_bytes });
        let mut at = range.start + kept_bytes;
        // The extents tile the chunk; those before `at` are kept.
        for extent in extents {
            while at < extent.range.end {
                let len = (extent.range.end - at).min(PIECE_BYTES as u64);
                self.piece(at, len, extent.kind == ExtentKind::Zero, slot, buffer)?;
                at += len;
            }
        }
        let finished = lock_slot(slot).take().and_then(|mut work| work.take_entry());
        self.lock().finished.extend(finished);
        Ok(())
    }

    /// Copies one piece of the chunk in work.
    fn piece(&self, offset: u64, len_bytes: u64, zero: bool, slot: &Slot, buffer: &mut [u8]) -> Result<()> {
        self.ends.cancel.check(DOING)?;
        let piece = &mut buffer[..usize::try_from(len_bytes).unwrap_or(PIECE_BYTES)];
        let ahead = self.ahead(offset, len_bytes);
        if zero {
            self.compare_zeroes(offset, ahead)?;
            self.ends.sink.write_zeroes(offset + ahead, len_bytes - ahead)?;
        } else {
            self.ends.source.read_range(offset, piece)?;
            let (there, new) = piece.split_at(usize::try_from(ahead).unwrap_or(PIECE_BYTES));
            self.compare(offset, there)?;
            self.ends.sink.write_at(offset + ahead, new)?;
        }
        // Only now, after the write has returned, may a commit claim the bytes.
        if let Some(work) = lock_slot(slot).as_mut() {
            if zero { work.hasher.update_zeroes(len_bytes) } else { work.hasher.update(piece) }
        }
        self.observer.settled(len_bytes, if zero { Settled::Zero } else { Settled::Copied });
        self.count_written(len_bytes, if zero { 0 } else { len_bytes })
    }

    /// Counts what was written; waits while much more than a commit's worth is not durable.
    fn count_written(&self, len_bytes: u64, read_bytes: u64) -> Result<()> {
        let mut state = self.lock();
        state.copied.read_bytes += read_bytes;
        state.uncommitted_bytes += len_bytes;
        if state.uncommitted_bytes >= self.due_bytes {
            self.changed.notify_all();
        }
        while state.uncommitted_bytes >= self.due_bytes.saturating_mul(2) && state.error.is_none() {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Ok(())
    }

    /// Reads back what the journal has of a chunk. Returns a hasher behind the part that is right,
    /// or at the chunk's start when it is not.
    fn kept_part(&self, index: u64, kept: Option<ChunkState>, buffer: &mut [u8]) -> Result<ChunkHasher> {
        let start = self.start.chunks().range(index).start;
        let kept_bytes = kept.map_or(0, |kept| kept.len_bytes);
        let mut hasher = ChunkHasher::new();
        if self.has_less_than(start + kept_bytes) {
            return Err(other_than_journaled(start));
        }
        while hasher.len_bytes() < kept_bytes {
            self.ends.cancel.check(DOING)?;
            let len = (kept_bytes - hasher.len_bytes()).min(PIECE_BYTES as u64);
            let piece = &mut buffer[..usize::try_from(len).unwrap_or(PIECE_BYTES)];
            self.ends.sink.read_at(start + hasher.len_bytes(), piece)?;
            hasher.update(piece);
        }
        let right = kept.is_none_or(|kept| hasher.value() == kept.value);
        let mut state = self.lock();
        if right {
            state.copied.kept_bytes += kept_bytes;
            return Ok(hasher);
        }
        state.copied.wrong_bytes += kept_bytes;
        match self.ends.sink.order() {
            Order::Any => Ok(ChunkHasher::new()),
            // It cannot go back.
            Order::Ascending { .. } => Err(other_than_journaled(start)),
        }
    }

    /// Returns how many bytes from `offset` on an ascending sink has already, which cannot be written again.
    ///
    /// The journal does not have them: they were written while the last commit ran.
    fn ahead(&self, offset: u64, len_bytes: u64) -> u64 {
        match self.ends.sink.order() {
            Order::Any => 0,
            Order::Ascending { next } => next.saturating_sub(offset).min(len_bytes),
        }
    }

    fn has_less_than(&self, end: u64) -> bool {
        matches!(self.ends.sink.order(), Order::Ascending { next } if next < end)
    }

    /// Checks that the sink has `bytes` at `offset`.
    fn compare(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut found = vec![0; bytes.len()];
        self.ends.sink.read_at(offset, &mut found)?;
        if found == bytes { Ok(()) } else { Err(other_than_journaled(offset)) }
    }

    /// Checks that the sink has zeros.
    fn compare_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        let zeroes = vec![0; usize::try_from(len_bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
        let mut done = 0;
        while done < len_bytes {
            self.ends.cancel.check(DOING)?;
            let len = (len_bytes - done).min(PIECE_BYTES as u64);
            self.compare(offset + done, &zeroes[..usize::try_from(len).unwrap_or(PIECE_BYTES)])?;
            done += len;
        }
        Ok(())
    }
}

/// What an ascending sink has is not what it should have. It cannot be written again.
fn other_than_journaled(offset: u64) -> Error {
    let context = format!("go on with a disk: its bytes from {offset} on are not what the journal says");
    Error::new(ErrorKind::Checkpoint, context)
}

/// Counts a worker out.
struct Leaving<'a, 'b>(&'a Shared<'b>);

impl Drop for Leaving<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.working -= 1;
        if std::thread::panicking() {
            let ended = || Error::new(ErrorKind::Sink, "copy a disk: a worker ended unexpectedly");
            state.error.get_or_insert_with(ended);
        }
        drop(state);
        self.0.changed.notify_all();
    }
}
