//! The disk behind a [`super::MemoryTarget`]: what is durable, and what a crash may take.
//!
//! ```text
//!  write ──► visible (what reads see) + pending (the list of writes since the last commit)
//!  commit ─► durable := visible, pending := nothing
//!  crash ──► durable gets the surviving part of pending; visible := durable; the sink is dead
//! ```

use crate::seeded::Seeded;
use crate::source::bounded;
use crate::{Error, ErrorKind, Order, Result};

/// What every byte of a target of fixed capacity holds before it is written, as on a device that
/// was used before.
pub const STALE_BYTE: u8 = 0xa5;

/// What a disk writes as a whole: a crash tears writes at multiples of it.
const SECTOR_BYTES: usize = 512;

/// How far a target without a capacity grows before it is full: 1 GiB, so that a test with a wrong
/// length gets an error and not the end of the machine's memory.
const GROWTH_BYTES_MAX: u64 = 1 << 30;

/// What a crash leaves of the writes that no commit made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing: the cache was lost.
    Nothing,
    /// Everything: the process died, the machine did not.
    Everything,
    /// Each sector of each write or not, by the choice of `seed`.
    Sectors {
        /// Repeats the choice.
        seed: u64,
    },
}

#[derive(Debug)]
pub(super) struct Disk {
    /// `None`: as long as what was written.
    pub(super) capacity: Option<usize>,
    pub(super) ascending: bool,
    /// Counts the sinks that were made; only the youngest may act.
    pub(super) life: u64,
    pub(super) durable: Vec<u8>,
    pub(super) visible: Vec<u8>,
    pending: Vec<Pending>,
    pub(super) next: usize,
    /// How many checkpoints the living sink was given and has returned.
    pub(super) checkpoints: u64,
}

#[derive(Debug)]
struct Pending {
    start: usize,
    bytes: Vec<u8>,
}

impl Disk {
    pub(super) fn new(capacity: Option<usize>, ascending: bool) -> Self {
        let content = vec![STALE_BYTE; capacity.unwrap_or(0)];
        Self {
            capacity,
            ascending,
            life: 0,
            durable: content.clone(),
            visible: content,
            pending: Vec::new(),
            next: 0,
            checkpoints: 0,
        }
    }

    /// Begins a life with nothing.
    pub(super) fn clear(&mut self) {
        *self = Self { life: self.life + 1, ..Self::new(self.capacity, self.ascending) };
    }

    /// Begins a life with what `checkpoints` cover, for an ascending one `covered` bytes.
    pub(super) fn resume(&mut self, checkpoints: u64, covered: usize) {
        if self.ascending {
            self.durable.truncate(covered);
            self.visible.truncate(covered);
            self.pending.clear();
        }
        self.life += 1;
        self.checkpoints = checkpoints;
        self.next = covered;
    }

    pub(super) fn crash(&mut self, survivors: Survivors) {
        let mut seeded = match survivors {
            Survivors::Sectors { seed } => Some(Seeded::new(seed)),
            _ => None,
        };
        for write in std::mem::take(&mut self.pending) {
            for (sector, bytes) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
                let survives = seeded.as_mut().map_or(survivors == Survivors::Everything, |seeded| seeded.one_in(2));
                if survives {
                    overwrite(&mut self.durable, write.start + sector * SECTOR_BYTES, bytes);
                }
            }
        }
        self.visible.clone_from(&self.durable);
        self.life += 1;
    }

    pub(super) fn order(&self) -> Order {
        if self.ascending { Order::Ascending { next: self.next as u64 } } else { Order::Any }
    }

    /// Returns where a write begins, or why it may not.
    pub(super) fn admit(&self, doing: &str, offset: u64, len: u64) -> Result<usize> {
        if let Order::Ascending { next } = self.order()
            && next != offset
        {
            return Err(Error::new(ErrorKind::Order, format!("{doing} at offset {offset}: the next is {next}")));
        }
        let limit = self.capacity.map_or(u64::MAX, |capacity| capacity as u64);
        let range = bounded(doing, offset, len, limit)?;
        if range.end > GROWTH_BYTES_MAX && self.capacity.is_none() {
            return Err(Error::new(ErrorKind::Full, format!("{doing} {len} bytes at offset {offset} in memory")));
        }
        Ok(usize::try_from(range.start).expect("an offset below the limit is a usize"))
    }

    pub(super) fn write(&mut self, start: usize, bytes: Vec<u8>) {
        overwrite(&mut self.visible, start, &bytes);
        self.next = start + bytes.len();
        self.pending.push(Pending { start, bytes });
    }

    pub(super) fn make_durable(&mut self) {
        for write in std::mem::take(&mut self.pending) {
            overwrite(&mut self.durable, write.start, &write.bytes);
        }
    }
}

/// Writes `bytes` at `start`; a gap before it is made of zeros, as in a file.
fn overwrite(content: &mut Vec<u8>, start: usize, bytes: &[u8]) {
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}
