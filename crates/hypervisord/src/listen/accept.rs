//! Accepts connections and speaks HTTP on them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Listener, Peer, Way};

/// The largest head of a request; those of browsers with many cookies have 16 KiB.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// The room for a head and what is read ahead of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// The most headers of a request; a browser sends some twenty.
const HEADERS_MAX: usize = 64;

/// Wait after a failure to accept: most are for want of descriptors, which come back only with time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all doors share.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// The router of the moment: a reload replaces it.
    pub(crate) router: watch::Receiver<Router>,
    /// The certificate of the moment; `None` when no door needs one.
    pub(crate) tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
    /// One permit per connection.
    pub(crate) connections: Arc<Semaphore>,
    /// How long a client may take for the head of a request, and for a TLS handshake.
    pub(crate) head_time_max: Duration,
    /// Counts the connections.
    pub(crate) tracker: TaskTracker,
    /// Ends everything: no new connections, old ones after the reply under way.
    pub(crate) closing: CancellationToken,
}

/// Accepts on `listener` until the door is closing.
pub(crate) async fn serve(listener: Listener, door: Door) {
    let exposed = listener.is_exposed();
    loop {
        let next = async {
            // The permit first: who cannot be served stays in the kernel's queue.
            let permit = Arc::clone(&door.connections).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, accept(&listener).await?))
        };
        let accepted = tokio::select! {
            biased;
            () = door.closing.cancelled() => return,
            accepted = next => accepted,
        };
        match accepted {
            Ok((permit, stream)) => {
                let served = connection(stream, exposed, door.clone());
                door.tracker.spawn(async move {
                    if let Err(reason) = served.await {
                        tracing::debug!(%reason, "a connection broke");
                    }
                    drop(permit);
                });
            }
            Err(reason) => {
                tracing::warn!(%reason, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream, std::net::SocketAddr),
}

async fn accept(listener: &Listener) -> io::Result<Stream> {
    match listener {
        Listener::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream, address))
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn connection(stream: Stream, exposed: bool, door: Door) -> Result<(), Broken> {
    match stream {
        Stream::Unix(stream) => {
            let peer = Peer::of(&stream)?;
            speak(stream, Way::Unix(peer), door).await
        }
        Stream::Tcp(stream, address) if exposed => {
            let tls = door.tls.borrow().clone().ok_or("no certificate for an address that others reach")?;
            let stream = timeout(door.head_time_max, TlsAcceptor::from(tls).accept(stream)).await??;
            speak(stream, Way::Tcp(address), door).await
        }
        Stream::Tcp(stream, address) => speak(stream, Way::Tcp(address), door).await,
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    way: Way,
    door: Door,
) -> Result<(), Broken> {
    let router = door.router.clone();
    let service = service_fn(move |request| answer(router.borrow().clone(), way.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.head_time_max)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = door.closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

async fn answer(router: Router, way: Way, request: Request<Incoming>) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(way);
    TowerToHyperService::new(router).call(request).await
}
