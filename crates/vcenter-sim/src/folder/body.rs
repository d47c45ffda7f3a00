//! The bytes of a file, or of parts of it, on their way to one client.
//!
//! Made piece by piece, in the task of the connection where that never waits for a disk, else on a blocking
//! thread; each piece leaves when the connection's bandwidth allows.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::connection::Connection;
use crate::datastore::file::{Source, StoredFile};
use crate::datastore::tree;
use crate::pace;
use crate::world::World;

/// Bytes that are made at once, as large as what goes out with one system call.
const PIECE_BYTES: u64 = 256 << 10;

/// A part of a reply.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// What stands between ranges.
    Bytes(Bytes),
    /// Bytes of the file; the end is exclusive.
    File(Range<u64>),
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => len_u64(bytes),
            Self::File(range) => range.end - range.start,
        }
    }
}

/// Where a file was when its reply began. A VM whose files move takes them away from whoever reads them.
#[derive(Debug)]
struct Origin {
    datastore: usize,
    path: String,
    /// How often files had moved when this one was last looked for.
    moves: u64,
}

impl Origin {
    /// Looks for the file again when anything has moved; returns whether it is still there.
    fn is_there(&mut self, world: &World) -> bool {
        let moves = world.datastores.moves();
        if moves == self.moves {
            return true;
        }
        self.moves = moves;
        tree::find(world, self.datastore, &self.path, &|vm| world.soap.vm_now(vm)).is_some()
    }
}

/// The body of a reply.
#[derive(Debug)]
pub(super) struct FileBody {
    connection: Arc<Connection>,
    origin: Origin,
    source: Source,
    parts: VecDeque<Part>,
    making: Option<JoinHandle<io::Result<Bytes>>>,
    /// A piece that waits for its time.
    waiting: Option<(Pin<Box<Sleep>>, Bytes)>,
    left: u64,
}

impl FileBody {
    /// Sends parts of `file`, which was found when files had moved `moves` times.
    pub(super) fn new(connection: Arc<Connection>, file: &StoredFile, moves: u64, parts: Vec<Part>) -> Self {
        let left = parts.iter().map(Part::len).sum();
        let origin = Origin { datastore: file.datastore, path: file.path(), moves };
        let source = file.source.clone();
        Self { connection, origin, source, parts: parts.into(), making: None, waiting: None, left }
    }

    /// Makes the next piece of at most `len_max` bytes; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>, len_max: u64) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(task) = &mut self.making {
            let joined = ready!(Pin::new(task).poll(cx));
            self.making = None;
            return Poll::Ready(Some(joined.unwrap_or_else(|error| Err(io::Error::other(error)))));
        }
        let range = match self.parts.front_mut() {
            None => return Poll::Ready(None),
            Some(Part::Bytes(bytes)) => {
                let bytes = std::mem::take(bytes);
                self.parts.pop_front();
                return Poll::Ready(Some(Ok(bytes)));
            }
            Some(Part::File(range)) => {
                let start = range.start;
                range.start = range.end.min(start + len_max);
                start..range.start
            }
        };
        if matches!(self.parts.front(), Some(Part::File(rest)) if rest.is_empty()) {
            self.parts.pop_front();
        }
        if self.source.is_in_memory() {
            return Poll::Ready(Some(make(&self.source, &range)));
        }
        let source = self.source.clone();
        self.making = Some(tokio::task::spawn_blocking(move || make(&source, &range)));
        self.poll_piece(cx, len_max)
    }

    fn frame(&mut self, bytes: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.left -= len_u64(&bytes);
        self.connection.stats().folder.bytes.add(len_u64(&bytes));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some((sleep, _)) = &mut self.waiting {
                ready!(sleep.as_mut().poll(cx));
                if let Some((_, bytes)) = self.waiting.take() {
                    return self.frame(bytes);
                }
            }
            let world = Arc::clone(&self.connection.world);
            if !self.origin.is_there(&world) {
                return Poll::Ready(Some(Err(io::Error::other("the file has moved to another datastore"))));
            }
            let rate = world.faults.now().bytes_per_second;
            let len_max = rate.map_or(PIECE_BYTES, pace::piece_bytes);
            let bytes = match ready!(self.poll_piece(cx, len_max)) {
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot go on with a file");
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            };
            let Some(rate) = rate else { return self.frame(bytes) };
            world.stats.files.piece_shaped(pace::duration(len_u64(&bytes), rate));
            let arrives = self.connection.pace(len_u64(&bytes), rate);
            self.waiting = Some((Box::pin(tokio::time::sleep_until(arrives)), bytes));
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

fn make(source: &Source, range: &Range<u64>) -> io::Result<Bytes> {
    let len = usize::try_from(range.end - range.start).expect("a piece is small");
    let mut bytes = vec![0; len];
    source.read_range(range.start, &mut bytes)?;
    Ok(Bytes::from(bytes))
}

fn len_u64(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("usize has at most 64 bits")
}
