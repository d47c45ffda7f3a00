//! Copies content that can be read at any place into a sink, under a journal: the local loop.
//!
//! ```text
//!  plan ──tasks──► workers: read ─► write ─► hash        (a chunk each, front to back)
//!                     │ finished chunks, leading parts of those in work
//!                     ▼
//!                  committer: sink.commit ─► journal.append      beside the workers
//! ```
//!
//! Holes are neither read nor written piece by piece: a run of chunks of zeros is one call of the
//! sink and one entry of the journal, so that the cost follows the data and not the capacity.
//!
//! What a journal says is there is looked at before it is kept: chunks with data are read back and
//! compared, chunks of zeros are told to the sink again. A chunk that is not what the journal says
//! is copied anew.
//!
//! An ascending sink gets one worker, which goes on where the sink says. A commit may cover bytes that were
//! written while it ran, and of which the journal does not know: they are read from the source again
//! and compared with what the sink has, because it cannot go back.
//!
//! Deliberately absent: networks (retries, budgets and limits are the transfer engine's), the choice of
//! files and formats, and [`Sink::finish`], which is the caller's.

mod file;
mod plan;
mod work;

pub use file::JournalFile;
pub(crate) use file::sync_directory;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use transfer::chunk::ChunkHasher;
use transfer::journal::{Commit, Entry, Journal, Progress, Store};
use transfer::{Cancel, Error, ErrorKind, Order, RangeSource, Result, Sink};

use plan::Plan;

/// Piece of one read and one write: large enough that calls cost nothing, small enough for the
/// second-level cache and for a stop to be noticed.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// How a copy is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that read, write and hash; 1 for an ascending sink whatever this says.
    pub workers: usize,
    /// A commit is due after so many bytes written since the last.
    pub commit_every_bytes: u64,
    /// A commit is due after so long, when anything was written.
    pub commit_every: Duration,
}

impl Options {
    /// For a copy between local files: a commit costs an `fdatasync`, and what it saves is local work.
    pub fn local(workers: usize) -> Self {
        Self { workers, commit_every_bytes: 1 << 30, commit_every: Duration::from_secs(5) }
    }
}

/// Hears how far a copy is. Calls come from several threads and must not block.
pub trait Observer: Sync {
    /// So many more bytes of the content are settled.
    fn settled(&self, len_bytes: u64, how: Settled);
}

/// Why bytes need no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    /// Read from the source and written.
    Copied,
    /// Written by an earlier life and found right.
    Kept,
    /// Known to be zero without reading them.
    Zero,
}

impl Observer for () {
    fn settled(&self, _len_bytes: u64, _how: Settled) {}
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Bytes that an earlier life had written and that were found right.
    pub kept_bytes: u64,
    /// Bytes that an earlier life had written and that were not what the journal says.
    pub wrong_bytes: u64,
    /// Commits made.
    pub commits: u64,
}

/// The two ends of a copy, and how to stop it.
pub struct Ends<'a> {
    /// Where the bytes come from.
    pub source: &'a dyn RangeSource,
    /// Where they go to.
    pub sink: &'a dyn Sink,
    /// Stops the copy; what was written stays and is committed.
    pub cancel: &'a Cancel,
}

impl std::fmt::Debug for Ends<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let len_bytes = self.source.len_bytes();
        f.debug_struct("Ends").field("len_bytes", &len_bytes).field("order", &self.sink.order()).finish_non_exhaustive()
    }
}

/// Copies everything that `start` does not have, and checks what it has.
///
/// On success all of the content was written, and the last commit covers it; `journal` then says so
/// too. After an error what was written is committed as far as the sink still can, so that the next
/// life goes on from there.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; [`ErrorKind::Bounds`] when source and journal disagree about the length;
/// [`ErrorKind::Checkpoint`] when an ascending sink holds something else than journal or source say, which
/// only a start anew mends; else what source, sink or journal fail with.
pub fn copy<S: Store>(
    ends: &Ends<'_>,
    journal: &mut Journal<S>,
    start: &Progress,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Copied> {
    let chunks = start.chunks();
    if chunks.capacity_bytes() != ends.source.len_bytes() {
        let context = format!(
            "copy a disk of {} bytes: the journal is about one of {}",
            ends.source.len_bytes(),
            chunks.capacity_bytes()
        );
        return Err(Error::new(ErrorKind::Bounds, context));
    }
    let workers = match ends.sink.order() {
        Order::Any => options.workers.max(1),
        Order::Ascending { .. } => 1,
    };
    let shared = Shared {
        ends,
        observer,
        start,
        state: Mutex::new(State::new(workers)),
        changed: Condvar::new(),
        slots: (0..workers).map(|_| Mutex::default()).collect(),
        due_bytes: options.commit_every_bytes.max(1),
    };
    std::thread::scope(|scope| {
        for slot in &shared.slots {
            let shared = &shared;
            scope.spawn(move || shared.run_worker(slot));
        }
        shared.commit_until_done(journal, options.commit_every);
    });
    let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.error {
        Some(error) => Err(error),
        None => Ok(state.copied),
    }
}

/// A chunk in work: what of it was written so far.
type Slot = Mutex<Option<InWork>>;

struct InWork {
    chunk: u64,
    hasher: ChunkHasher,
    /// How much of it the journal has.
    journaled_bytes: u64,
}

/// What the workers and the committer share.
struct Shared<'a> {
    ends: &'a Ends<'a>,
    observer: &'a dyn Observer,
    start: &'a Progress,
    state: Mutex<State>,
    changed: Condvar,
    slots: Vec<Slot>,
    due_bytes: u64,
}

struct State {
    plan: Plan,
    /// Entries for the next commit.
    finished: Vec<Entry>,
    /// Bytes written since the last commit.
    uncommitted_bytes: u64,
    working: usize,
    error: Option<Error>,
    copied: Copied,
}

impl State {
    fn new(workers: usize) -> Self {
        Self {
            plan: Plan::default(),
            finished: Vec::new(),
            uncommitted_bytes: 0,
            working: workers,
            error: None,
            copied: Copied::default(),
        }
    }
}

impl Shared<'_> {
    /// A worker that panics has poisoned nothing that is read afterwards but counters.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the first failure; everybody stops at the next look.
    fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Commits when it is due, and at the end, whatever the end was.
    fn commit_until_done<S: Store>(&self, journal: &mut Journal<S>, every: Duration) {
        let mut last = Instant::now();
        loop {
            let mut state = self.lock();
            while state.working > 0 && state.uncommitted_bytes < self.due_bytes && last.elapsed() < every {
                let wait = every.saturating_sub(last.elapsed());
                state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
            let done = state.working == 0;
            let broken = state.error.as_ref().is_some_and(|error| is_of_the_sink(error.kind()));
            drop(state);
            // What a broken sink says of its durability is worth nothing.
            let ended = match if broken { Ok(()) } else { self.commit(journal) } {
                Ok(()) => done || broken,
                Err(error) => {
                    self.fail(error);
                    true
                }
            };
            if ended {
                return self.wait_for_workers();
            }
            last = Instant::now();
        }
    }

    fn wait_for_workers(&self) {
        let mut state = self.lock();
        while state.working > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes durable what was written before the call, and journals it.
    fn commit<S: Store>(&self, journal: &mut Journal<S>) -> Result<()> {
        let (mut entries, covered_bytes) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.finished), state.uncommitted_bytes)
        };
        for slot in &self.slots {
            entries.extend(lock_slot(slot).as_mut().and_then(InWork::take_entry));
        }
        if entries.is_empty() && covered_bytes == 0 {
            return Ok(());
        }
        let checkpoint = self.ends.sink.commit()?;
        journal.append(&Commit { entries, checkpoint })?;
        let mut state = self.lock();
        state.uncommitted_bytes -= covered_bytes;
        state.copied.commits += 1;
        self.changed.notify_all();
        Ok(())
    }
}

impl State {
    /// Notes chunks of zeros for the next commit; runs that touch become one, so that a commit over a
    /// large disk of holes stays small.
    fn finished_zeroes(&mut self, first: u64, count: u64) {
        match self.finished.last_mut() {
            Some(Entry::Zero { first: before, count: run }) if *before + *run == first => *run += count,
            _ => self.finished.push(Entry::Zero { first, count }),
        }
    }
}

impl InWork {
    /// Returns the entry of the part that the journal does not have yet.
    fn take_entry(&mut self) -> Option<Entry> {
        let len_bytes = self.hasher.len_bytes();
        if len_bytes <= self.journaled_bytes {
            return None;
        }
        self.journaled_bytes = len_bytes;
        Some(Entry::Part { chunk: self.chunk, len_bytes, value: self.hasher.value() })
    }
}

/// Returns whether a failure means that the sink, or the journal, is lost.
fn is_of_the_sink(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Sink | ErrorKind::Full | ErrorKind::Checkpoint | ErrorKind::Order)
}

fn lock_slot(slot: &Slot) -> MutexGuard<'_, Option<InWork>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
