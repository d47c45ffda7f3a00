//! One TCP connection to a listener: counted, shaped, and cut when a fault or a lease says so.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::line::Line;
use crate::pace::Pacer;
use crate::pace::profile::Lane;
use crate::stats::ListenerStats;
use crate::world::World;

/// Which listener a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerId {
    /// The vCenter's.
    VCenter,
    /// A host's, by its index in the world's addresses.
    Host(usize),
}

impl ListenerId {
    /// Returns the counters of the listener.
    pub(crate) fn stats(self, world: &World) -> &ListenerStats {
        match self {
            Self::VCenter => &world.stats.vcenter,
            Self::Host(index) => &world.stats.hosts[index],
        }
    }
}

/// What the requests on one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) world: Arc<World>,
    pub(crate) listener: ListenerId,
    pacer: Mutex<Pacer>,
    /// The line as the profile shapes it, beside the setting `bytes_per_second`.
    shaped: Mutex<Pacer>,
    cut: AtomicBool,
    cut_requested: Notify,
}

impl Connection {
    /// Counts a connection that was just accepted.
    pub(crate) fn accepted(world: Arc<World>, listener: ListenerId) -> Arc<Self> {
        listener.stats(&world).connection_opened();
        let connection = Self {
            world,
            listener,
            pacer: Mutex::default(),
            shaped: Mutex::default(),
            cut: AtomicBool::new(false),
            cut_requested: Notify::new(),
        };
        Arc::new(connection)
    }

    /// Returns the counters of the listener.
    pub(crate) fn stats(&self) -> &ListenerStats {
        self.listener.stats(&self.world)
    }

    /// Returns when a piece of `bytes` will have passed at this bandwidth.
    pub(crate) fn pace(&self, bytes: u64, bytes_per_second: u64) -> Instant {
        let mut pacer = self.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        pacer.pass(bytes, bytes_per_second, Instant::now())
    }

    /// Returns when a piece of `bytes` will have passed on the connection and below the ceiling of its
    /// listener, as a lane of the profile says.
    pub(crate) fn pace_shaped(&self, bytes: u64, lane: Lane) -> Instant {
        let now = Instant::now();
        let alone = lane.bytes_per_second.map(|rate| {
            let mut shaped = self.shaped.lock().unwrap_or_else(PoisonError::into_inner);
            shaped.pass(bytes, rate, now)
        });
        let together = lane.host_bytes_per_second.map(|rate| self.line().pace(bytes, rate, now));
        alone.into_iter().chain(together).max().unwrap_or(now)
    }

    /// Returns what the connection shares with others of its listener.
    pub(crate) fn line(&self) -> &Arc<Line> {
        self.world.lines.of(self.listener)
    }

    /// Closes the connection, whatever it is doing, without the reset of [`Self::cut`].
    pub(crate) fn hang_up(&self) {
        self.cut_requested.notify_one();
    }

    /// Ends the connection with a TCP reset, whatever it is doing.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.cut_requested.notify_one();
    }

    /// Waits until somebody cuts the connection.
    pub(crate) async fn cut_requested(&self) {
        self.cut_requested.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stats().connection_closed();
    }
}

/// The TCP stream of a connection: counts the bytes on the wire, and resets when it was cut.
#[derive(Debug)]
pub(crate) struct Wire {
    tcp: TcpStream,
    connection: Arc<Connection>,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream, connection: Arc<Connection>) -> Self {
        Self { tcp, connection }
    }

    fn count_sent(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &sent {
            self.connection.stats().wire_bytes_out.add(u64::try_from(*bytes).unwrap_or(u64::MAX));
        }
        sent
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.connection.cut.load(Ordering::Acquire) {
            // Closing a socket that lingers for no time sends RST instead of FIN. When this fails the
            // socket is dead already.
            self.tcp.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        self.connection.stats().wire_bytes_in.add(u64::try_from(bytes).unwrap_or(u64::MAX));
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.count_sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.count_sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
