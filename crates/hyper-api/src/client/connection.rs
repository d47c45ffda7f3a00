//! One request over one new connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, request};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::endpoint::Endpoint;
use super::error::{Error, ErrorKind};

/// Time to get a connection (contract A.2).
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Sends a request and returns the head of the reply; `doing` begins every error.
pub(super) async fn send(
    endpoint: &Endpoint,
    request: request::Builder,
    body: Bytes,
    doing: &str,
) -> Result<Response<Incoming>, Error> {
    let connected = async {
        match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            // Every address of the name is tried in turn, of both families.
            Endpoint::Http { host, port } => TcpStream::connect((host.as_str(), *port)).await.map(Stream::Tcp),
        }
    };
    match tokio::time::timeout(CONNECT_TIME_MAX, connected).await {
        Ok(Ok(Stream::Unix(stream))) => exchange(stream, request, body, doing).await,
        Ok(Ok(Stream::Tcp(stream))) => exchange(stream, request, body, doing).await,
        Ok(Err(reason)) => Err(Error::new(ErrorKind::Connect, format!("{doing}: connect")).with_source(reason)),
        Err(_) => {
            let context = format!("{doing}: no connection within {} s", CONNECT_TIME_MAX.as_secs());
            Err(Error::new(ErrorKind::Connect, context))
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: request::Builder,
    body: Bytes,
    doing: &str,
) -> Result<Response<Incoming>, Error> {
    let broken = |reason| Error::new(ErrorKind::Protocol, format!("{doing}: speak HTTP")).with_source(reason);
    let request = request
        .body(Full::new(body))
        .map_err(|reason| Error::new(ErrorKind::Usage, format!("{doing}: build the request")).with_source(reason))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends by itself: with the reply's body read or dropped, and the sender dropped, hyper closes. Its
    // errors reach the caller through the reply.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}
