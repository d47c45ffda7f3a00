//! Targets with one bug each, made by spoiling calls to a right one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use transfer::memory::MemoryTarget;
use transfer::{Checkpoint, Digests, Error, ErrorKind, Order, Result, Sink, Target};

/// How often a mutant yields while it waits for another thread to meet it.
const PATIENCE: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// None: `read_at` is unsupported, which is allowed.
    CannotRead,
    CommitSavesNothing,
    CommitSavesNothingAndCannotRead,
    CommitFailsWithoutNews,
    CommitCoversLateWrites,
    ZeroesDoNothing,
    FirstWriteWins,
    ReadsBackWrong,
    TakesWritesOutside,
    TakesAnyOffset,
    RefusedWriteMoves,
    RefusesEmptyWrites,
    FinishSpoilsAByte,
    ForgetsItsOrder,
    ResumesOneByteLate,
    CreateGoesOn,
    NeedsAllCheckpoints,
    ReopensOnce,
    NoReopenAfterFinish,
    TakesForeignCheckpoints,
    ForeignCheckpointDestroys,
    LosesWritesThatMeet,
}

#[derive(Debug)]
pub(super) struct Mutant {
    inner: MemoryTarget,
    bug: Bug,
    notes: Arc<Notes>,
}

/// What the sinks of one target remember together.
#[derive(Debug, Default)]
struct Notes {
    checkpoints: AtomicUsize,
    /// A reopen, with no call after it yet.
    just_reopened: AtomicBool,
    finished: AtomicBool,
    last: Mutex<Vec<Checkpoint>>,
}

struct MutantSink {
    inner: Box<dyn Sink>,
    bug: Bug,
    notes: Arc<Notes>,
    reopened: bool,
    news: AtomicBool,
    writers: AtomicUsize,
    written: Mutex<HashSet<u64>>,
}

impl Mutant {
    pub(super) fn new(inner: MemoryTarget, bug: Bug) -> Self {
        Self { inner, bug, notes: Arc::default() }
    }

    fn sink(&self, inner: Box<dyn Sink>, reopened: bool) -> Box<dyn Sink> {
        Box::new(MutantSink {
            inner,
            bug: self.bug,
            notes: Arc::clone(&self.notes),
            reopened,
            news: AtomicBool::new(true),
            writers: AtomicUsize::new(0),
            written: Mutex::default(),
        })
    }
}

impl Target for Mutant {
    fn create(&self) -> Result<Box<dyn Sink>> {
        let last = std::mem::take(&mut *self.notes.last.lock().expect("not poisoned"));
        self.notes.checkpoints.store(0, Ordering::SeqCst);
        self.notes.just_reopened.store(false, Ordering::SeqCst);
        self.notes.finished.store(false, Ordering::SeqCst);
        let inner = if self.bug == Bug::CreateGoesOn { self.inner.reopen(&last)? } else { self.inner.create()? };
        Ok(self.sink(inner, false))
    }

    fn reopen(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>> {
        let fewer = checkpoints.len() < self.notes.checkpoints.load(Ordering::SeqCst);
        let again = self.notes.just_reopened.swap(true, Ordering::SeqCst);
        let refused = match self.bug {
            Bug::NeedsAllCheckpoints => fewer,
            Bug::ReopensOnce => again,
            Bug::NoReopenAfterFinish => self.notes.finished.load(Ordering::SeqCst),
            _ => false,
        };
        if refused {
            return Err(Error::new(ErrorKind::Sink, "reopen"));
        }
        let inner = match (self.inner.reopen(checkpoints), self.bug) {
            (Err(_), Bug::TakesForeignCheckpoints) => self.inner.reopen(&[])?,
            (Err(error), Bug::ForeignCheckpointDestroys) => return self.inner.create().and(Err(error)),
            (other, _) => other?,
        };
        self.notes.checkpoints.store(checkpoints.len(), Ordering::SeqCst);
        Ok(self.sink(inner, true))
    }
}

impl MutantSink {
    /// Notes a write; returns the outcome that the bug gives it, or `None` to let it through.
    fn spoil(&self, offset: u64, len: u64) -> Option<Result<()>> {
        self.notes.just_reopened.store(false, Ordering::SeqCst);
        self.news.store(true, Ordering::SeqCst);
        match self.bug {
            Bug::RefusesEmptyWrites if len == 0 => Some(Err(Error::new(ErrorKind::Bounds, "write nothing"))),
            Bug::FirstWriteWins => {
                let mut written = self.written.lock().expect("not poisoned");
                let end = offset.checked_add(len)?;
                let fresh = (offset..end).filter(|byte| written.insert(*byte)).count();
                ((fresh as u64) < len).then_some(Ok(()))
            }
            Bug::LosesWritesThatMeet => {
                self.writers.fetch_add(1, Ordering::SeqCst);
                let met = (0..PATIENCE).any(|_| {
                    std::thread::yield_now();
                    self.writers.load(Ordering::SeqCst) > 1
                });
                self.writers.fetch_sub(1, Ordering::SeqCst);
                met.then_some(Ok(()))
            }
            _ => None,
        }
    }

    fn spoil_refusal(&self, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else {
            return Ok(());
        };
        match (self.bug, error.kind(), self.inner.order()) {
            (Bug::TakesWritesOutside, ErrorKind::Bounds, _) | (Bug::TakesAnyOffset, ErrorKind::Order, _) => Ok(()),
            (Bug::RefusedWriteMoves, ErrorKind::Order, Order::Ascending { next }) => {
                self.inner.write_at(next, &[0]).and(Err(error))
            }
            _ => Err(error),
        }
    }

    /// Makes the checkpoint that the twin in memory would make.
    fn forge(&self, covered: u64) -> Result<Checkpoint> {
        let number = self.notes.checkpoints.load(Ordering::SeqCst) as u64;
        Checkpoint::new([*b"memsink1", number.to_le_bytes(), covered.to_le_bytes()].concat())
    }

    fn next(&self) -> u64 {
        match self.inner.order() {
            Order::Any => 0,
            Order::Ascending { next } => next,
        }
    }
}

impl Sink for MutantSink {
    fn order(&self) -> Order {
        match (self.bug, self.inner.order(), self.reopened) {
            (Bug::ForgetsItsOrder, Order::Any, true) => Order::Ascending { next: 0 },
            (Bug::ForgetsItsOrder, Order::Ascending { .. }, true) => Order::Any,
            (Bug::ResumesOneByteLate, Order::Ascending { next }, true) => Order::Ascending { next: next + 1 },
            (_, order, _) => order,
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match self.spoil(offset, bytes.len() as u64) {
            Some(outcome) => outcome,
            None => self.spoil_refusal(self.inner.write_at(offset, bytes)),
        }
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        match self.spoil(offset, len_bytes) {
            Some(outcome) => outcome,
            None if self.bug == Bug::ZeroesDoNothing => Ok(()),
            None => self.spoil_refusal(self.inner.write_zeroes(offset, len_bytes)),
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if matches!(self.bug, Bug::CannotRead | Bug::CommitSavesNothingAndCannotRead) {
            return Err(Error::new(ErrorKind::Unsupported, "read back"));
        }
        self.inner.read_at(offset, buf)?;
        if let (Bug::ReadsBackWrong, Some(byte)) = (self.bug, buf.last_mut()) {
            *byte ^= 1;
        }
        Ok(())
    }

    fn commit(&self) -> Result<Checkpoint> {
        self.notes.just_reopened.store(false, Ordering::SeqCst);
        let checkpoint = match self.bug {
            Bug::CommitFailsWithoutNews if !self.news.swap(false, Ordering::SeqCst) => {
                return Err(Error::new(ErrorKind::Sink, "commit nothing"));
            }
            Bug::CommitSavesNothing | Bug::CommitSavesNothingAndCannotRead => self.forge(self.next())?,
            Bug::CommitCoversLateWrites => {
                self.inner.commit()?;
                let durable = self.next();
                let _moved = (0..PATIENCE).any(|_| {
                    std::thread::yield_now();
                    self.next() > durable
                });
                self.forge(self.next())?
            }
            _ => self.inner.commit()?,
        };
        self.notes.checkpoints.fetch_add(1, Ordering::SeqCst);
        self.notes.last.lock().expect("not poisoned").push(checkpoint.clone());
        Ok(checkpoint)
    }

    fn finish(self: Box<Self>) -> Result<Digests> {
        self.notes.finished.store(true, Ordering::SeqCst);
        if self.bug == Bug::FinishSpoilsAByte {
            let mut byte = [0];
            self.inner.read_at(0, &mut byte)?;
            self.inner.write_at(0, &[byte[0] ^ 1])?;
        }
        self.inner.finish()
    }
}
