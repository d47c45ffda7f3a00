//! Accepts connections and speaks HTTP/1.1 on them until the simulator stops.
//!
//! ```text
//!  accept ─► TLS ─► requests, one after the other ─► closed by the client, a fault, or the stop
//! ```
//!
//! Everything is bounded: connections, the time for a handshake and a request's head, the sizes of
//! heads and bodies. What a request means is not known here; [`crate::router`] knows, behind
//! [`crate::interfere`], which does what rules say.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::connection::{Connection, ListenerId, Wire};
use crate::error::{Error, ErrorKind, Result};
use crate::faults::rule::action::{Action, Stage};
use crate::faults::rule::book::{Event, Load};
use crate::interfere;
use crate::line::Line;
use crate::reply::Reply;
use crate::tls::Identity;
use crate::world::World;

/// Connections of one listener at the same time; more wait in the kernel.
const CONNECTIONS_MAX: usize = 1024;

/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time from the end of one request to the end of the next one's head: longer than any client's
/// keep-alive, so that only forgotten connections meet it.
const IDLE_TIMEOUT: Duration = Duration::from_mins(20);

/// Bytes of a request's head, and of what is buffered for a reply.
const HTTP_BUFFER_BYTES: usize = 64 << 10;

/// Encrypted bytes that wait for the socket: a whole piece of a stream, so that it goes out with one
/// system call. On loopback, writes of 256 KiB were measured to cost half of what 64 KiB (the default)
/// cost.
const TLS_BUFFER_BYTES: usize = 512 << 10;

/// Time for requests to end when the simulator stops.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How long to wait when accepting fails, for example because no file descriptor is left.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Says that everything is to stop, to whoever listens.
pub(crate) type StopSignal = watch::Receiver<bool>;

/// Waits for the stop; a simulator that is gone has stopped, too.
async fn stop_requested(stop: &mut StopSignal) {
    drop(stop.wait_for(|&stop| stop).await);
}

/// Binds a listener.
pub(crate) async fn bind(addr: SocketAddr, what: &str) -> Result<(TcpListener, SocketAddr)> {
    let failed =
        |source| Error::new(ErrorKind::Listen, format!("cannot listen on {addr} for {what}")).with_source(source);
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves one TLS listener until the stop.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    world: Arc<World>,
    id: ListenerId,
    stop: StopSignal,
) {
    let line = Arc::clone(world.lines.of(id));
    accept_until_stop(listener, Some(&line), stop.clone(), |tcp, peer| {
        let connection = Connection::accepted(Arc::clone(&world), id);
        serve_tls(tcp, peer, tls.clone(), connection, stop.clone())
    })
    .await;
}

/// Accepts connections and runs `serve` for each until the stop; then gives them a moment to end. While
/// `line` is closed nobody listens, and connections are refused.
pub(crate) async fn accept_until_stop<F>(
    mut listener: TcpListener,
    line: Option<&Line>,
    mut stop: StopSignal,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            until = closing(line) => {
                let Some(reopened) = reopen(listener, until, &mut stop).await else { return end(connections).await };
                listener = reopened;
                continue;
            }
            () = stop_requested(&mut stop) => break,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let served = serve(tcp, peer);
                connections.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
        // Finished tasks are forgotten here, so that the set holds no more than the permits allow.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    end(connections).await;
}

/// Waits until the line is closed.
async fn closing(line: Option<&Line>) -> Instant {
    match line {
        Some(line) => line.closing().await,
        None => std::future::pending().await,
    }
}

/// Stops listening, and begins again at the same address when it is time; `None` when the stop comes first.
async fn reopen(listener: TcpListener, until: Instant, stop: &mut StopSignal) -> Option<TcpListener> {
    let addr = listener.local_addr().ok()?;
    drop(listener);
    tokio::select! {
        () = tokio::time::sleep_until(until) => {}
        () = stop_requested(stop) => return None,
    }
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return Some(listener),
            Err(error) => tracing::warn!(%addr, %error, "cannot listen again"),
        }
        tokio::select! {
            () = tokio::time::sleep(ACCEPT_RETRY) => {}
            () = stop_requested(stop) => return None,
        }
    }
}

/// Gives connections a moment to end.
async fn end(mut connections: JoinSet<()>) {
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// Asks the rules about a new connection: how long its handshake takes, and which certificate it sees.
async fn greet(connection: &Connection, tls: TlsAcceptor) -> Option<TlsAcceptor> {
    let load = Load { connections: connection.stats().connections_now(), ..Load::default() };
    let listener = connection.line().name();
    let event = Event { stage: Stage::Accept, listener, http: "", path: "", method: None, objects: &[], load };
    let mut tls = tls;
    for strike in connection.world.faults.strikes(&event) {
        match strike.action() {
            Action::HandshakeStallMs(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Action::Certificate(kind) => {
                let names = connection.world.certificate_names(connection.listener);
                let bad = Identity::bad(*kind, &names).and_then(|identity| identity.server_config());
                tls = TlsAcceptor::from(bad.inspect_err(|error| tracing::warn!(%error, "no bad certificate")).ok()?);
            }
            _ => {}
        }
    }
    Some(tls)
}

async fn serve_tls(tcp: TcpStream, peer: SocketAddr, tls: TlsAcceptor, connection: Arc<Connection>, stop: StopSignal) {
    // Replies are written whole; waiting for more would only delay them.
    tcp.set_nodelay(true).ok();
    let Some(tls) = greet(&connection, tls).await else { return };
    let handshake = tls.accept(Wire::new(tcp, Arc::clone(&connection)));
    let mut stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a TLS handshake failed");
            connection.stats().handshakes_failed.increment();
            return;
        }
        Err(_) => {
            connection.stats().handshakes_failed.increment();
            return;
        }
    };
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER_BYTES));
    let answer = |request: Request<Incoming>| {
        let connection = Arc::clone(&connection);
        async move { interfere::answer(connection, peer, request).await }
    };
    tokio::select! {
        () = serve_http(stream, answer, stop) => {}
        // Dropping the other branch closes the socket.
        () = connection.cut_requested() => {}
    }
}

/// Speaks HTTP/1.1 on a byte stream until one side ends it; at the stop after the current reply.
pub(crate) async fn serve_http<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<Incoming>) -> F,
    mut stop: StopSignal,
) where
    F: Future<Output = Reply>,
{
    let service = service_fn(|request| {
        let reply = answer(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop_requested(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
