//! The journal of one disk's transfer: what is durable at the target, and how it was proven.
//!
//! It lies beside the partial file, so that a resume needs no database: after `kill -9` or a power
//! cut the journal says which chunks are kept, what their bytes hash to, and hands the sink the
//! checkpoints it needs. `docs/formats/journal.md` is the format.
//!
//! ```text
//!  create(store, header) ─► append(commit) ─► append(commit) ─► …      sink.commit() comes first
//!                                 │ crash
//!                                 ▼
//!  open(store) ─► Recovered { header, chunks, checkpoints }             a torn end is cut off
//! ```
//!
//! * A commit is appended after the sink's own `commit` has returned: what a journal says is there,
//!   is there. The other way round, of what the sink has more, nothing is claimed.
//! * Every frame's checksum covers the checksum of the one before. So frames cannot be read in
//!   another order, from another journal, or from behind a cut.
//! * Damage anywhere costs what comes after it, never more, and is never believed: a prefix of the
//!   commits is what a sink can always go on from (see [`crate::sink`]). A damaged header costs all.
//!
//! Deliberately absent: files (a [`Store`] is handed in), the decision whether the source is still the
//! same (see [`Header::differences`], which a caller prints), and re-reading what is kept.

mod commit;
mod fold;
mod frame;
mod header;
mod store;

pub use commit::{COMMIT_ENTRIES_MAX, Commit, Entry};
pub use fold::{ChunkState, Progress};
pub use header::{Difference, Header, Source, SourceFile};
pub use store::{MemoryStore, Store};

use crate::chunk::Chunks;
use crate::{Checkpoint, Error, ErrorKind, Result};
use frame::{Chain, Kind};

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal<S> {
    store: S,
    chain: Chain,
    chunks: Chunks,
    /// True after a failed append: what the store holds is unknown until it is opened again.
    broken: bool,
}

/// What a journal says after a crash.
#[derive(Debug)]
pub struct Recovered {
    /// What is being transferred, from where, into what.
    pub header: Header,
    /// Which chunks, or leading parts of them, are durable.
    pub progress: Progress,
    /// For [`crate::Target::reopen`], oldest first; one for each commit.
    pub checkpoints: Vec<Checkpoint>,
    /// Bytes at the end that were torn or damaged and have been cut off.
    pub cut_bytes: u64,
}

impl<S: Store> Journal<S> {
    /// Starts a journal; whatever the store held is gone. Durable on return.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`] for a header that makes no sense, [`ErrorKind::Full`] and
    /// [`ErrorKind::Sink`] for a store that fails.
    pub fn create(mut store: S, header: &Header) -> Result<Self> {
        let chunks = header.chunks()?;
        let mut chain = Chain::begin();
        let mut bytes = frame::MAGIC.to_vec();
        chain.append(Kind::Header, &header.encode()?, &mut bytes)?;
        store.truncate(0)?;
        store.append(&bytes)?;
        store.sync()?;
        Ok(Self { store, chain, chunks, broken: false })
    }

    /// Reads a journal back and goes on with it: a torn or damaged end is cut off the store first.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when the store holds no journal of this version or its header is
    /// damaged: the transfer starts anew. [`ErrorKind::Sink`] when the store fails.
    pub fn open(mut store: S) -> Result<(Self, Recovered)> {
        let bytes = store.read()?;
        let read = read(&bytes)?;
        let cut_bytes = bytes.len() as u64 - read.valid_bytes;
        if cut_bytes > 0 {
            store.truncate(read.valid_bytes)?;
            store.sync()?;
        }
        let journal = Self { store, chain: read.chain, chunks: read.header.chunks()?, broken: false };
        let Read { header, progress, checkpoints, .. } = read;
        Ok((journal, Recovered { header, progress, checkpoints, cut_bytes }))
    }

    /// Adds a commit. Durable on return.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`], without effect, for entries that do not fit the disk or are too many;
    /// the store's errors are final, as a sink's are.
    pub fn append(&mut self, commit: &Commit) -> Result<()> {
        if self.broken {
            return Err(Error::new(ErrorKind::Sink, "add to a journal that failed before"));
        }
        let payload = commit.encode(self.chunks)?;
        let mut bytes = Vec::with_capacity(payload.len() + frame::OVERHEAD_BYTES);
        let mut chain = self.chain;
        chain.append(Kind::Commit, &payload, &mut bytes)?;
        self.broken = true;
        self.store.append(&bytes)?;
        self.store.sync()?;
        self.broken = false;
        self.chain = chain;
        Ok(())
    }
}

/// Reads a journal's bytes without going on with it, for whoever only wants to look.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] as [`Journal::open`].
pub fn inspect(bytes: &[u8]) -> Result<Recovered> {
    let Read { header, progress, checkpoints, valid_bytes, .. } = read(bytes)?;
    Ok(Recovered { header, progress, checkpoints, cut_bytes: bytes.len() as u64 - valid_bytes })
}

/// Returns whether a file begins as a journal of this version, whatever the rest of it is.
pub fn is_journal(bytes: &[u8]) -> bool {
    bytes.starts_with(&frame::MAGIC)
}

struct Read {
    header: Header,
    progress: Progress,
    checkpoints: Vec<Checkpoint>,
    chain: Chain,
    valid_bytes: u64,
}

/// Reads as far as the bytes are right.
fn read(bytes: &[u8]) -> Result<Read> {
    let rest = bytes.strip_prefix(&frame::MAGIC).ok_or_else(|| no_journal("it does not begin as one"))?;
    let mut chain = Chain::begin();
    let mut at = frame::MAGIC.len();
    let header = match chain.next(rest) {
        Some(frame) if frame.kind == Kind::Header => {
            at += frame.len_bytes;
            Header::decode(frame.payload)?
        }
        _ => return Err(no_journal("its header is damaged")),
    };
    let chunks = header.chunks().map_err(|error| no_journal("its header makes no sense").with_source(error))?;
    let mut read =
        Read { header, progress: Progress::new(chunks), checkpoints: Vec::new(), chain, valid_bytes: at as u64 };
    // A frame that cannot be read ends the journal; so does one whose contents break a rule.
    while let Some(frame) = chain.next(&bytes[at..]) {
        let Some(commit) = (frame.kind == Kind::Commit).then(|| Commit::decode(frame.payload, chunks)).flatten() else {
            break;
        };
        at += frame.len_bytes;
        read.progress.apply(&commit);
        read.checkpoints.push(commit.checkpoint);
        (read.chain, read.valid_bytes) = (chain, at as u64);
    }
    Ok(read)
}

fn no_journal(why: &str) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("read the journal of a transfer: {why}"))
}
