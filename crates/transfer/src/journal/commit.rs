//! One commit: what has become durable since the one before, and the sink's checkpoint.
//!
//! ```text
//!   0  u32 LE  number of entries
//!   4  …       entries, each beginning with its kind:
//!              u8 0  zero   u64 LE first chunk, u64 LE number of chunks        17 bytes
//!              u8 1  data   u64 LE chunk, u64 LE length so far, [u8; 32]       49 bytes
//!              u8 2  zeros  u64 LE chunk, u64 LE length so far                 17 bytes
//!   …  u32 LE  length of the checkpoint
//!   …  …       checkpoint
//! ```

use crate::chunk::{ChunkValue, Chunks};
use crate::sink::CHECKPOINT_BYTES_MAX;
use crate::{Checkpoint, Error, ErrorKind, Result};

/// The most entries of one commit. Connections hold some dozen chunks between two commits; holes
/// come as runs.
pub const COMMIT_ENTRIES_MAX: usize = 1 << 16;

/// What has become durable since the last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// In any order; a later entry about a chunk replaces an earlier one.
    pub entries: Vec<Entry>,
    /// What the sink's `commit` returned.
    pub checkpoint: Checkpoint,
}

/// Something that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Whole chunks of zeros, half a terabyte of them if need be.
    Zero {
        /// Index of the first.
        first: u64,
        /// How many; at least one.
        count: u64,
    },
    /// A chunk, or its leading part.
    Part {
        /// Index of the chunk.
        chunk: u64,
        /// Bytes from its start on, at least one.
        len_bytes: u64,
        /// Value of these bytes.
        value: ChunkValue,
    },
}

const ZERO: u8 = 0;
const DATA: u8 = 1;
const ZERO_PART: u8 = 2;

impl Entry {
    /// Checks the entry against the disk; the reason for a refusal.
    fn check(&self, chunks: Chunks) -> std::result::Result<(), &'static str> {
        match *self {
            Self::Zero { count: 0, .. } => Err("a run of no chunks"),
            Self::Zero { first, count } if first.checked_add(count).is_none_or(|end| end > chunks.count()) => {
                Err("a run that ends behind the disk")
            }
            Self::Part { len_bytes: 0, .. } => Err("a part of no bytes"),
            Self::Part { chunk, len_bytes, .. } if len_bytes > chunks.len_bytes(chunk) => {
                Err("a part that is longer than its chunk")
            }
            _ => Ok(()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, a, b) = match *self {
            Self::Zero { first, count } => (ZERO, first, count),
            Self::Part { chunk, len_bytes, value: ChunkValue::Data(_) } => (DATA, chunk, len_bytes),
            Self::Part { chunk, len_bytes, value: ChunkValue::Zero } => (ZERO_PART, chunk, len_bytes),
        };
        out.push(kind);
        out.extend(a.to_le_bytes());
        out.extend(b.to_le_bytes());
        if let Self::Part { value: ChunkValue::Data(hash), .. } = self {
            out.extend(hash);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let kind = reader.take::<1>()?[0];
        let (a, b) = (u64::from_le_bytes(reader.take()?), u64::from_le_bytes(reader.take()?));
        Some(match kind {
            ZERO => Self::Zero { first: a, count: b },
            DATA => Self::Part { chunk: a, len_bytes: b, value: ChunkValue::Data(reader.take()?) },
            ZERO_PART => Self::Part { chunk: a, len_bytes: b, value: ChunkValue::Zero },
            _ => return None,
        })
    }
}

impl Commit {
    pub(super) fn encode(&self, chunks: Chunks) -> Result<Vec<u8>> {
        let refuse = |why: &str| Error::new(ErrorKind::Bounds, format!("add a commit to a journal: {why}"));
        let count = u32::try_from(self.entries.len()).ok().filter(|_| self.entries.len() <= COMMIT_ENTRIES_MAX);
        let count = count.ok_or_else(|| refuse(&format!("it has more than {COMMIT_ENTRIES_MAX} entries")))?;
        let mut out = count.to_le_bytes().to_vec();
        for entry in &self.entries {
            entry.check(chunks).map_err(|why| refuse(&format!("{why}: {entry:?}")))?;
            entry.encode(&mut out);
        }
        let checkpoint = self.checkpoint.as_bytes();
        let len = u32::try_from(checkpoint.len()).map_err(|_| refuse("its checkpoint is too long"))?;
        out.extend(len.to_le_bytes());
        out.extend(checkpoint);
        Ok(out)
    }

    /// Reads a payload; `None` when it breaks a rule.
    pub(super) fn decode(payload: &[u8], chunks: Chunks) -> Option<Self> {
        let mut reader = Reader(payload);
        let count = usize::try_from(u32::from_le_bytes(reader.take()?)).ok().filter(|&n| n <= COMMIT_ENTRIES_MAX)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let entry = Entry::decode(&mut reader)?;
            entry.check(chunks).ok()?;
            entries.push(entry);
        }
        let len = usize::try_from(u32::from_le_bytes(reader.take()?)).ok()?;
        let whole = len == reader.0.len() && len <= CHECKPOINT_BYTES_MAX;
        let checkpoint = whole.then(|| Checkpoint::new(reader.0.to_vec()).ok()).flatten()?;
        Some(Self { entries, checkpoint })
    }
}

/// Takes bytes off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}
