//! One file on its way to one client.
//!
//! ```text
//!  FileStream ─► piece ─► cut by faults ─► damaged by faults ─► paced ─► frame
//! ```
//!
//! Hashing happens in [`FileStream`], before any fault: a manifest tells what should have arrived.
//! Made in the task of the connection, because handing pieces over to other threads costs more than
//! making them; but for disks whose content is a file, which are made on blocking threads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::connection::Connection;
use crate::export::{LeaseFile, RunningStream};
use crate::faults::StreamDamage;
use crate::pace;
use crate::stream::{FileStream, Made};

/// Time between the last bytes and a reset, in which the kernel can deliver them: what is unsent when a
/// socket is reset is lost.
const BEFORE_RESET: Duration = Duration::from_millis(50);

/// The body of a reply that is a file.
#[derive(Debug)]
pub(super) struct FileBody {
    connection: Arc<Connection>,
    file: Arc<LeaseFile>,
    /// Held so that the end of the lease finds the connection.
    _running: RunningStream,
    stage: Stage,
    damage: StreamDamage,
    /// Made and not sent yet.
    piece: Bytes,
    /// Where `piece` begins in the file.
    offset: u64,
    /// A frame that waits for its time.
    waiting: Option<(Pin<Box<Sleep>>, Waiting)>,
}

#[derive(Debug)]
enum Stage {
    Idle(Box<FileStream>),
    Busy(JoinHandle<(Box<FileStream>, io::Result<Made>)>),
    Ended,
}

#[derive(Debug)]
enum Waiting {
    Frame(Bytes),
    Reset,
}

/// What comes out of the faults.
enum Cut {
    Send(Bytes),
    Reset,
    End,
}

impl FileBody {
    pub(super) fn begin(connection: Arc<Connection>, file: Arc<LeaseFile>, running: RunningStream) -> io::Result<Self> {
        let format = connection.world.faults.vmdk_damage(file.names(), connection.line().name());
        let stream = connection.world.exports.stream(&file, format)?;
        let damage = connection.world.faults.take_stream_damage(file.names());
        Ok(Self {
            connection,
            file,
            _running: running,
            stage: Stage::Idle(Box::new(stream)),
            damage,
            piece: Bytes::new(),
            offset: 0,
            waiting: None,
        })
    }

    /// Makes the next piece, here or on a blocking thread.
    fn poll_made(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Made>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Idle(mut stream) if self.file.is_in_memory() => {
                    let made = stream.make();
                    return self.made(cx, stream, made);
                }
                Stage::Idle(mut stream) => {
                    self.stage = Stage::Busy(tokio::task::spawn_blocking(move || {
                        let made = stream.make();
                        (stream, made)
                    }));
                }
                Stage::Busy(mut task) => {
                    let Poll::Ready(joined) = Pin::new(&mut task).poll(cx) else {
                        self.stage = Stage::Busy(task);
                        return Poll::Pending;
                    };
                    let (stream, made) = joined.map_err(io::Error::other)?;
                    return self.made(cx, stream, made);
                }
                Stage::Ended => return Poll::Ready(Ok(Made::End(None))),
            }
        }
    }

    fn made(&mut self, cx: &Context<'_>, stream: Box<FileStream>, made: io::Result<Made>) -> Poll<io::Result<Made>> {
        let stats = &self.connection.world.stats.files;
        match made {
            Ok(Made::Piece(piece)) => {
                if stream.is_hashed() {
                    stats.hashed_bytes.add(len_u64(&piece));
                }
                self.stage = Stage::Idle(stream);
                Poll::Ready(Ok(Made::Piece(piece)))
            }
            Ok(Made::Nothing) => {
                self.stage = Stage::Idle(stream);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(Made::End(digests)) => {
                // Before the client can see the end: its next call may be GetManifest.
                let exports = &self.connection.world.exports;
                if stream.is_damaged() {
                    exports.complete_damaged(&self.file, digests);
                } else {
                    exports.complete(&self.file, digests);
                }
                stats.completed.increment();
                Poll::Ready(Ok(Made::End(None)))
            }
            Err(error) => {
                tracing::warn!(file = self.file.item.target_id, %error, "cannot go on with a stream");
                Poll::Ready(Err(error))
            }
        }
    }

    /// Takes from the piece what goes into the next frame, no more than `len_max` bytes.
    fn cut(&mut self, len_max: u64) -> Cut {
        let faults = &self.connection.world.faults;
        let mut len = len_u64(&self.piece).min(len_max);
        if let Some(at) = self.damage.reset_after {
            len = len.min(at.saturating_sub(self.offset));
            if len == 0 {
                faults.note("reset_after_bytes");
                return Cut::Reset;
            }
        }
        if let Some(at) = self.damage.end_after {
            len = len.min(at.saturating_sub(self.offset));
            if len == 0 {
                faults.note("clean_end_after_bytes");
                return Cut::End;
            }
        }
        let mut frame = self.piece.split_to(usize::try_from(len).expect("no longer than the piece"));
        let corrupt_at = self.damage.corrupt_at.and_then(|at| at.checked_sub(self.offset)).filter(|&at| at < len);
        if let Some(at) = corrupt_at {
            let mut damaged = BytesMut::from(frame);
            damaged[usize::try_from(at).expect("inside of the frame")] ^= 0xff;
            frame = damaged.freeze();
            faults.note("corrupt_byte");
        }
        self.offset += len;
        Cut::Send(frame)
    }

    fn frame(&mut self, cx: &mut Context<'_>, bytes: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.connection.world.stats.files.bytes.add(len_u64(&bytes));
        if self.file.item.file_size == Some(self.offset) {
            // Whoever sends a reply with a length asks no more once it is reached; such a file is made in
            // memory, so that its end is found at once.
            let Poll::Ready(Ok(Made::End(_))) = self.poll_made(cx) else {
                return Poll::Ready(Some(Err(io::Error::other("a file is not as long as was said"))));
            };
        }
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
                match self.waiting.take() {
                    Some((_, Waiting::Frame(bytes))) => return self.frame(cx, bytes),
                    _ => {
                        self.connection.cut();
                        return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                    }
                }
            }
            if self.piece.is_empty() {
                match ready!(self.poll_made(cx)) {
                    Ok(Made::Piece(piece)) => self.piece = piece,
                    Ok(_) => return Poll::Ready(None),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
                continue;
            }
            let rate = self.connection.world.faults.now().bytes_per_second;
            match self.cut(rate.map_or(u64::MAX, pace::piece_bytes)) {
                Cut::End => {
                    self.stage = Stage::Ended;
                    self.piece.clear();
                    return Poll::Ready(None);
                }
                Cut::Reset => {
                    self.waiting = Some((Box::pin(tokio::time::sleep(BEFORE_RESET)), Waiting::Reset));
                }
                Cut::Send(bytes) => {
                    let Some(rate) = rate else { return self.frame(cx, bytes) };
                    let len = len_u64(&bytes);
                    self.connection.world.stats.files.piece_shaped(pace::duration(len, rate));
                    let arrives = self.connection.pace(len, rate);
                    self.waiting = Some((Box::pin(tokio::time::sleep_until(arrives)), Waiting::Frame(bytes)));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        // Exact for what is no disk, so that it gets a Content-Length; asked before the first frame only.
        self.file.item.file_size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn len_u64(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("usize has at most 64 bits")
}
