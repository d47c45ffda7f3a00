//! The line in which grains wait for their places in the file.
//!
//! Grains are deflated in any order, but their places follow from the lengths of all before them.
//! So a grain that is done stands in line until those before it are; whoever completes the head
//! of the line gives places to all that are ready, and writes them. Several may write at once,
//! because places do not overlap.
//!
//! Nobody but a worker is needed to empty the line, so that a permit for the budget, which goes
//! back when its grain is written, can be waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use libdeflater::crc32;

use super::{bytes_of, cannot_write};
use crate::lock::lock;
use crate::output::Output;
use crate::parallel::{Permit, Workers};
use crate::spares::Spares;
use crate::vmdk::grain::{GrainDeflater, Level};
use crate::vmdk::layout::{GRAIN_MARKER_BYTES, SECTOR_LEN, Sector};
use crate::vmdk::stream_write::{GRAIN_LEN, Parts};
use crate::{Error, Result};

/// What a grain takes of the budget: itself, and itself compressed with marker and padding.
const GRAIN_BUDGET_BYTES: usize = 2 * GRAIN_LEN + 2 * SECTOR_LEN;

/// Everything behind the caller's front.
pub(super) struct Line {
    output: Box<dyn Output>,
    level: Level,
    head_checksum: u32,
    state: Mutex<State>,
    /// A grain was written, or the line broke.
    moved: Condvar,
    deflaters: Spares<GrainDeflater>,
    /// Buffers of grains as they came, and as they are stored.
    raw: Spares<Vec<u8>>,
    stored: Spares<Vec<u8>>,
}

struct State {
    parts: Parts,
    /// Number of the next grain that is put in.
    next_number: u64,
    /// Number of the grain whose turn it is.
    turn: u64,
    /// Grains that are done, by number.
    ready: BTreeMap<u64, Ready>,
    /// Indices of grains that are not written yet.
    pending: BTreeSet<u64>,
    /// The first failure.
    error: Option<Error>,
    /// Nothing is written any more.
    broken: bool,
}

/// A grain that is deflated and waits for its turn.
struct Ready {
    index: u64,
    /// As [`GrainDeflater::deflate_as_stored`] makes it.
    stored: Vec<u8>,
    zlib_len: usize,
    permit: Option<Permit>,
}

/// A grain with its place.
struct Placed {
    index: u64,
    offset: u64,
    table: Option<Vec<u8>>,
    stored: Vec<u8>,
    len: usize,
    /// Held until the grain is written.
    _permit: Option<Permit>,
}

impl Line {
    pub(super) fn new(output: Box<dyn Output>, parts: Parts, level: Level) -> Self {
        Self {
            output,
            level,
            head_checksum: crc32(&parts.head()),
            state: Mutex::new(State {
                parts,
                next_number: 0,
                turn: 0,
                ready: BTreeMap::new(),
                pending: BTreeSet::new(),
                error: None,
                broken: false,
            }),
            moved: Condvar::new(),
            deflaters: Spares::new(),
            raw: Spares::new(),
            stored: Spares::new(),
        }
    }

    pub(super) fn output(&self) -> &dyn Output {
        &*self.output
    }

    /// Returns the checksum of header and descriptor, which tells disks apart.
    pub(super) fn head_checksum(&self) -> u32 {
        self.head_checksum
    }

    /// Puts a grain that is not all zeros in line.
    pub(super) fn put(self: &Arc<Self>, workers: Option<&Workers>, index: u64, grain: &[u8]) -> Result<()> {
        let permit = workers.map(|workers| workers.permit(GRAIN_BUDGET_BYTES));
        let mut raw = self.raw.take().unwrap_or_default();
        raw.clear();
        raw.extend_from_slice(grain);
        let number = self.enter(index)?;
        let turn = Turn { line: self.clone(), number, index, done: false };
        let Some(workers) = workers else {
            turn.work(raw, permit);
            return self.check();
        };
        workers.submit(move || turn.work(raw, permit));
        Ok(())
    }

    /// Gives a grain its number.
    fn enter(&self, index: u64) -> Result<u64> {
        let mut state = self.usable()?;
        state.pending.insert(index);
        let number = state.next_number;
        state.next_number += 1;
        Ok(number)
    }

    /// Fails where an earlier grain did.
    pub(super) fn check(&self) -> Result<()> {
        self.usable().map(drop)
    }

    fn usable(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        if state.broken {
            return Err(state.error.take().unwrap_or_else(broken));
        }
        Ok(state)
    }

    /// Waits until every grain has its place and is written. Returns where the next part goes.
    ///
    /// # Errors
    /// The first failure on the way.
    pub(super) fn settle(&self) -> Result<Sector> {
        let mut state = self.usable()?;
        while !state.pending.is_empty() && !state.broken {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.usable().map(|state| state.parts.position())
    }

    /// Calls `look` with what is known of the file.
    pub(super) fn with_parts<T>(&self, look: impl FnOnce(&mut Parts) -> T) -> T {
        look(&mut lock(&self.state).parts)
    }

    /// Returns whether the grains below `index_end` are all written.
    pub(super) fn is_settled_below(&self, index_end: u64) -> bool {
        lock(&self.state).pending.first().is_none_or(|&first| first >= index_end)
    }

    /// Writes nothing more, and waits for what is being written.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.fail(broken());
        while !state.pending.is_empty() {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, error: Error) {
        lock(&self.state).fail(error);
        self.moved.notify_all();
    }

    /// Takes a grain into the line; if it was the one that all wait for, writes what is ready.
    fn arrive(&self, number: u64, ready: Ready) {
        let mut state = lock(&self.state);
        if state.broken {
            drop(state);
            return self.leave(ready.index);
        }
        state.ready.insert(number, ready);
        let placed = state.place_ready();
        drop(state);
        for grain in placed {
            let index = grain.index;
            if let Err(error) = self.write(grain) {
                self.fail(error);
            }
            self.leave(index);
        }
    }

    fn write(&self, grain: Placed) -> Result<()> {
        if lock(&self.state).broken {
            return Ok(());
        }
        let mut offset = grain.offset;
        if let Some(table) = &grain.table {
            self.output.write_all_at(table, offset).map_err(cannot_write)?;
            offset += crate::number::u64_from(table.len());
        }
        self.output.write_all_at(&grain.stored[..grain.len], offset).map_err(cannot_write)?;
        self.stored.give(grain.stored);
        Ok(())
    }

    fn leave(&self, index: u64) {
        lock(&self.state).pending.remove(&index);
        self.moved.notify_all();
    }
}

impl State {
    /// Gives places to the grains at the head of the line, if they are there.
    fn place_ready(&mut self) -> Vec<Placed> {
        let mut all = Vec::new();
        while let Some(mut ready) = self.ready.remove(&self.turn) {
            let placed = match self.parts.place(ready.index, ready.zlib_len) {
                Ok(placed) => placed,
                Err(error) => {
                    self.pending.remove(&ready.index);
                    self.fail(error);
                    break;
                }
            };
            ready.stored[..GRAIN_MARKER_BYTES].copy_from_slice(&placed.marker);
            all.push(Placed {
                index: ready.index,
                offset: bytes_of(placed.start.0),
                table: placed.table,
                stored: ready.stored,
                len: (GRAIN_MARKER_BYTES + ready.zlib_len).next_multiple_of(SECTOR_LEN),
                _permit: ready.permit,
            });
            self.turn += 1;
        }
        all
    }

    /// Breaks the line: those that wait in it go.
    fn fail(&mut self, error: Error) {
        self.broken = true;
        self.error.get_or_insert(error);
        for (_, ready) in std::mem::take(&mut self.ready) {
            self.pending.remove(&ready.index);
        }
    }
}

/// One grain on its way through a worker. If that panics, the line breaks and nobody waits for it.
struct Turn {
    line: Arc<Line>,
    number: u64,
    index: u64,
    done: bool,
}

impl Turn {
    fn work(mut self, raw: Vec<u8>, permit: Option<Permit>) {
        let line = self.line.clone();
        if lock(&line.state).broken {
            return;
        }
        let mut stored = line.stored.take().unwrap_or_default();
        let make = || Ok(GrainDeflater::new(GRAIN_LEN, line.level));
        let deflated = line.deflaters.with(make, |deflater| deflater.deflate_as_stored(&raw, &mut stored));
        line.raw.give(raw);
        match deflated {
            Ok(zlib_len) => {
                self.done = true;
                line.arrive(self.number, Ready { index: self.index, stored, zlib_len, permit });
            }
            Err(error) => line.fail(error),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.done {
            self.line.fail(broken());
            self.line.leave(self.index);
        }
    }
}

fn broken() -> Error {
    Error::misuse("nothing is written after a failed write")
}
