//! A body on its way through faults and bandwidth.
//!
//! ```text
//!  inner body ─► length ─► up to the next event ─► flipped ─► paced ─► frame
//! ```
//!
//! An event at byte `k` happens after `k` bytes of the body. It happens even when the body has exactly so
//! many, instead of the body's end. What lies beyond the end does not happen, and is not counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::deed;
use crate::connection::Connection;
use crate::faults::rule::Trickle;
use crate::faults::rule::book::Strike;
use crate::line::StreamCount;
use crate::pace::profile::{Lane, Road};
use crate::pace::{self, Pacer};
use crate::reply::ReplyBody;
use crate::soap::About;

/// Time between the last bytes and the end of a connection, in which they can be delivered: what is unsent
/// when a socket is closed may be lost.
const BEFORE_END: Duration = Duration::from_millis(50);

/// Zeros that fill a body up are sent in pieces of this size.
const FILL_BYTES: usize = 64 << 10;

/// What is to happen to a body.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Sorted by their places.
    events: Vec<Event>,
    /// Bytes that the body is to have.
    pub(super) len_bytes: Option<u64>,
    /// A header says another length than the body has.
    pub(super) length_is_a_lie: bool,
    pub(super) trickle: Option<Trickle>,
}

/// Something that happens at a byte.
#[derive(Debug)]
struct Event {
    at: u64,
    what: At,
    /// The rule that wants it.
    strike: Strike,
}

/// What happens at a byte.
#[derive(Debug)]
pub(super) enum At {
    Reset,
    Abort,
    End,
    Flip,
    Stall(Duration),
    Deed(About),
}

impl Plan {
    pub(super) fn add(&mut self, at: u64, what: At, strike: &Strike) {
        let place = self.events.partition_point(|other| other.at <= at);
        self.events.insert(place, Event { at, what, strike: strike.clone() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.len_bytes.is_none() && self.trickle.is_none() && !self.length_is_a_lie
    }
}

/// A body with its plan.
#[derive(Debug)]
pub(super) struct Passing {
    connection: Arc<Connection>,
    inner: ReplyBody,
    plan: Plan,
    road: Option<Road>,
    slow: Pacer,
    piece: Bytes,
    /// Bytes that have passed.
    offset: u64,
    /// The next byte that passes is to be flipped.
    flip: bool,
    ended: bool,
    waiting: Option<(Pin<Box<Sleep>>, Next)>,
    /// Held while the body lives.
    _count: Option<StreamCount>,
}

/// What a wait is for.
#[derive(Debug)]
enum Next {
    Frame(Bytes),
    GoOn,
    Reset,
    Abort,
}

impl Passing {
    pub(super) fn new(
        connection: Arc<Connection>,
        inner: ReplyBody,
        plan: Plan,
        road: Option<Road>,
        count: Option<StreamCount>,
    ) -> Self {
        Self {
            connection,
            inner,
            plan,
            road,
            slow: Pacer::default(),
            piece: Bytes::new(),
            offset: 0,
            flip: false,
            ended: false,
            waiting: None,
            _count: count,
        }
    }

    /// Does what is due at this place; returns true when the body goes on.
    fn pass_events(&mut self) -> bool {
        while self.plan.events.first().is_some_and(|event| event.at <= self.offset) {
            let Event { what, strike, .. } = self.plan.events.remove(0);
            let (time, next) = match what {
                At::Reset => (BEFORE_END, Next::Reset),
                At::Abort => (BEFORE_END, Next::Abort),
                At::Stall(time) => (time, Next::GoOn),
                At::End => {
                    self.end();
                    return false;
                }
                At::Flip => {
                    self.flip = true;
                    continue;
                }
                At::Deed(about) => {
                    let listener = self.connection.line().name();
                    deed::run(&self.connection.world, &strike, &about, listener);
                    continue;
                }
            };
            self.waiting = Some((Box::pin(tokio::time::sleep(time)), next));
            return false;
        }
        true
    }

    /// Lets the body end here. When the header says more the connection breaks, which it does not before all
    /// that was sent is on its way.
    fn end(&mut self) {
        self.piece.clear();
        self.ended = true;
        if self.plan.length_is_a_lie {
            self.waiting = Some((Box::pin(tokio::time::sleep(BEFORE_END)), Next::GoOn));
        }
    }

    /// Takes the next bytes from the body below, or zeros that fill it up.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    self.piece = bytes;
                }
            }
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => match self.plan.len_bytes {
                Some(all) => {
                    let more = all.saturating_sub(self.offset);
                    let len = usize::try_from(more).unwrap_or(usize::MAX).min(FILL_BYTES);
                    self.piece = Bytes::from(vec![0; len]);
                }
                None => self.end(),
            },
        }
        Poll::Ready(Ok(()))
    }

    /// Takes from the piece what may pass before the next event.
    fn cut(&mut self, rate: Option<u64>) -> Bytes {
        let mut len = len_u64(&self.piece).min(rate.map_or(u64::MAX, pace::piece_bytes));
        let next = self.plan.events.first().map(|event| event.at);
        for bound in next.into_iter().chain(self.plan.len_bytes) {
            len = len.min(bound.saturating_sub(self.offset));
        }
        let mut frame = self.piece.split_to(usize::try_from(len).expect("no longer than the piece"));
        if std::mem::take(&mut self.flip) && !frame.is_empty() {
            let mut flipped = BytesMut::from(frame);
            flipped[0] ^= 0xff;
            frame = flipped.freeze();
        }
        self.offset += len;
        frame
    }

    fn lane(&self) -> Lane {
        self.road.map(|road| self.connection.world.faults.now().shape().lane(road)).unwrap_or_default()
    }

    /// Returns how slowly the next bytes come by the rule.
    fn trickle(&self) -> Option<u64> {
        self.plan.trickle.filter(|trickle| trickle.at <= self.offset).map(|trickle| trickle.bytes_per_second)
    }

    /// Returns when bytes will have passed, or nothing when that is at once.
    fn arrival(&mut self, bytes: u64, lane: Lane, trickle: Option<u64>) -> Option<Instant> {
        let shaped = lane.slowest().map(|rate| {
            self.connection.world.stats.files.piece_shaped(pace::duration(bytes, rate));
            self.connection.pace_shaped(bytes, lane)
        });
        let slow = trickle.map(|rate| self.slow.pass(bytes, rate, Instant::now()));
        shaped.into_iter().chain(slow).max()
    }
}

impl Drop for Passing {
    /// The body has ended, or nobody reads on: what was to come does not.
    fn drop(&mut self) {
        for event in self.plan.events.drain(..) {
            self.connection.world.faults.take_back(&event.strike);
        }
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some((sleep, _)) = &mut self.waiting {
                ready!(sleep.as_mut().poll(cx));
                match self.waiting.take() {
                    Some((_, Next::Frame(bytes))) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Some((_, Next::Reset)) => {
                        self.connection.cut();
                        return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                    }
                    Some((_, Next::Abort)) => {
                        self.connection.hang_up();
                        return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                    }
                    Some((_, Next::GoOn)) | None => {}
                }
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if !self.pass_events() {
                continue;
            }
            if self.plan.len_bytes.is_some_and(|len| self.offset >= len) {
                self.end();
                continue;
            }
            if self.piece.is_empty() {
                ready!(self.poll_piece(cx))?;
                continue;
            }
            let (lane, trickle) = (self.lane(), self.trickle());
            let bytes = self.cut(lane.slowest().into_iter().chain(trickle).min());
            match self.arrival(len_u64(&bytes), lane, trickle) {
                Some(arrives) => {
                    self.waiting = Some((Box::pin(tokio::time::sleep_until(arrives)), Next::Frame(bytes)));
                }
                None => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // An event at the very end must still happen.
        self.plan.is_empty() && self.piece.is_empty() && self.waiting.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.plan.len_bytes {
            _ if self.plan.length_is_a_lie => SizeHint::default(),
            Some(len) => SizeHint::with_exact(len),
            None => self.inner.size_hint(),
        }
    }
}

fn len_u64(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("usize has at most 64 bits")
}
