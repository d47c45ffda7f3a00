//! Accepts connections and speaks HTTP/1.1 on them until the simulator stops.
//!
//! ```text
//!  accept ─► TLS ─► requests, one after the other ─► closed by the client, a fault, or the stop
//! ```
//!
//! Everything is bounded: connections, the time for a handshake and a request's head, the sizes of
//! heads and bodies. What a request means is not known here; [`crate::router`] knows.

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
use tokio_rustls::TlsAcceptor;

use crate::connection::{Connection, ListenerId, Wire};
use crate::error::{Error, ErrorKind, Result};
use crate::reply::Reply;
use crate::router;
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
    accept_until_stop(listener, stop.clone(), |tcp, peer| {
        let connection = Connection::accepted(Arc::clone(&world), id);
        serve_tls(tcp, peer, tls.clone(), connection, stop.clone())
    })
    .await;
}

/// Accepts connections and runs `serve` for each until the stop; then gives them a moment to end.
pub(crate) async fn accept_until_stop<F>(
    listener: TcpListener,
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
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve_tls(tcp: TcpStream, peer: SocketAddr, tls: TlsAcceptor, connection: Arc<Connection>, stop: StopSignal) {
    // Replies are written whole; waiting for more would only delay them.
    tcp.set_nodelay(true).ok();
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
        async move { router::answer(connection, peer, request).await }
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
