//! Writers that run while commits run.
//!
//! What the threads do depends on the machine; what is demanded holds for every order of events:
//! a write that had returned before a commit was called is covered by it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::life::Life;
use super::model::Model;
use super::{SinkHarness, script};
use crate::conformance::violation::{Checked, Rule, Violation, valid};
use crate::seeded::Seeded;
use crate::{Result, Sink};

/// Writers of a sink that takes any order; an ascending one has a single writer.
const WRITERS: usize = 4;
/// Commits while they write.
const COMMITS: usize = 6;
/// Writes of all threads together.
const PIECES: usize = 96;
/// Length of the content, where the target does not fix it.
const CONTENT_BYTES: usize = 20_000;

/// What the threads tell each other.
#[derive(Debug, Default)]
struct Progress {
    /// How far each writer came, in pieces of its own.
    done: [AtomicUsize; WRITERS],
    /// Writes are let go in portions, one more with each commit that begins: so there is always
    /// something to write beside a commit, however fast the writers are.
    commits_begun: AtomicUsize,
}

impl Progress {
    fn done(&self) -> usize {
        self.done.iter().map(|done| done.load(Ordering::Acquire)).sum()
    }

    /// Returns how many of `pieces` may be written by now.
    fn released(&self, pieces: usize) -> usize {
        (self.commits_begun.load(Ordering::Acquire) + 1) * pieces / (COMMITS + 1)
    }
}

pub(super) fn check(harness: &mut dyn SinkHarness, seed: u64) -> Checked {
    let mut seeded = Seeded::new(seed);
    let content = script::content(&mut seeded, harness.capacity_bytes().unwrap_or(CONTENT_BYTES));
    let mut life = Life::create(harness, &content)?;
    let writers = if life.is_ascending() { 1 } else { WRITERS };
    let (sink, model) = life.sink_and_model();
    write_and_commit(sink, model, &content, writers)?;
    life.check_known(Rule::Concurrency)?;
    life.wrote_beside(content.len());

    let (_, all) = life.model().stored_and_all();
    let checkpoints = life.crash(all, seeded.next_u64())?;
    life.reopen(&checkpoints, Rule::Concurrency)?;
    for step in life.rest(&mut seeded, 4) {
        life.apply(&step, false)?;
    }
    life.finish()
}

/// Lets `writers` threads write all of `content` and commits meanwhile.
fn write_and_commit(sink: &dyn Sink, model: &mut Model, content: &[u8], writers: usize) -> Checked {
    let pieces: Vec<(usize, &[u8])> = {
        let len = content.len().div_ceil(PIECES).max(1);
        content.chunks(len).enumerate().map(|(number, bytes)| (number * len, bytes)).collect()
    };
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let (pieces, progress) = (&pieces, &progress);
                scope.spawn(move || write_every(sink, pieces, (writer, writers), progress))
            })
            .collect();
        let stuck = || {
            let share = |writer: usize| pieces.len().saturating_sub(writer).div_ceil(writers);
            let unfinished = |writer: usize| progress.done[writer].load(Ordering::Acquire) < share(writer);
            (0..writers).any(|writer| threads[writer].is_finished() && unfinished(writer))
        };
        let mut noted = [0; WRITERS];
        let mut outcome = Ok(());
        while outcome.is_ok() && progress.commits_begun.load(Ordering::Acquire) < COMMITS {
            while progress.done() < progress.released(pieces.len()) && !stuck() {
                std::thread::yield_now();
            }
            note_written(model, &pieces, writers, &progress, &mut noted);
            progress.commits_begun.fetch_add(1, Ordering::Release);
            outcome = valid(sink.commit(), || "commit beside writes".to_owned())
                .map(|checkpoint| model.committed(checkpoint));
        }
        // Lets all go, also after a failure.
        progress.commits_begun.store(COMMITS, Ordering::Release);
        for thread in threads {
            let written = thread.join().map_err(|_| Violation::new(Rule::Concurrency, "a write panicked"))?;
            written.map_err(|error| Violation::by(Rule::Concurrency, "a write failed beside others", error))?;
        }
        note_written(model, &pieces, writers, &progress, &mut noted);
        outcome
    })
}

/// Writes the pieces of one of `writers` threads, as they are released.
fn write_every(
    sink: &dyn Sink,
    pieces: &[(usize, &[u8])],
    (writer, writers): (usize, usize),
    progress: &Progress,
) -> Result<()> {
    for (number, (start, bytes)) in pieces.iter().enumerate().skip(writer).step_by(writers) {
        while number >= progress.released(pieces.len()) {
            std::thread::yield_now();
        }
        if bytes.iter().all(|byte| *byte == 0) {
            sink.write_zeroes(*start as u64, bytes.len() as u64)?;
        } else {
            sink.write_at(*start as u64, bytes)?;
        }
        progress.done[writer].fetch_add(1, Ordering::Release);
    }
    Ok(())
}

/// Tells the model of the writes that have returned by now.
fn note_written(
    model: &mut Model,
    pieces: &[(usize, &[u8])],
    writers: usize,
    progress: &Progress,
    noted: &mut [usize; WRITERS],
) {
    for writer in 0..writers {
        let returned = progress.done[writer].load(Ordering::Acquire);
        for number in noted[writer]..returned {
            let (start, bytes) = pieces[writer + number * writers];
            model.wrote(start, bytes);
        }
        noted[writer] = returned;
    }
}
