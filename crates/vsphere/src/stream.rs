//! The bytes behind a URL of a lease or a datastore, read by a thread that does nothing else.
//!
//! A connection carries one stream. Each stream has its own small runtime and is read with blocking
//! calls: hashing and writing happen on the same thread, so no byte is handed from core to core, and a
//! slow disk slows its own connection only. A lease's URL has its ticket inside, which is the credential:
//! no cookie and no password of the server goes to the host. A file of a datastore comes with a cookie that
//! [`crate::datastore`] has chosen for that host. Redirects are errors.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_RANGE, COOKIE, HeaderValue, RANGE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::config::{Patience, ServerUrl};
use crate::error::{Error, ErrorKind, Result, pause_of};
use crate::tls::{Thumbprint, TlsPolicy, client_config};

/// What to read and whom to trust.
#[derive(Clone)]
pub struct StreamRequest {
    url: String,
    thumbprint: Option<Thumbprint>,
    tls: TlsPolicy,
    cancel: CancellationToken,
    cookie: Option<HeaderValue>,
    range: Option<Range<u64>>,
    /// Longest silence on the connection. Never a bound on the whole: streams take hours.
    idle_limit: Duration,
}

impl StreamRequest {
    /// Asks for a whole file. The `url` has its ticket inside; `thumbprint` is a pin for it alone, `tls`
    /// the policy where that is missing or does not fit; `cancel` ends the reading from outside.
    pub fn new(url: String, thumbprint: Option<Thumbprint>, tls: TlsPolicy, cancel: CancellationToken) -> Self {
        let idle_limit = Patience::default().idle;
        Self { url, thumbprint, tls, cancel, cookie: None, range: None, idle_limit }
    }

    /// Bears a silence of up to `limit` on the connection.
    #[must_use]
    pub fn with_idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// Adds the credential for this URL, which is a secret.
    pub(crate) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// Asks for a part of the file, end exclusive.
    pub(crate) fn with_range(mut self, range: Option<Range<u64>>) -> Self {
        self.range = range;
        self
    }
}

impl fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRequest").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// A response body being read.
pub struct HostStream {
    runtime: Runtime,
    body: Incoming,
    /// For messages: the host without the ticket.
    host: String,
    received: u64,
    length: Option<u64>,
    /// Bytes of the part that was asked for: no more and no less may come.
    part: Option<u64>,
    idle_limit: Duration,
    cancel: CancellationToken,
}

impl fmt::Debug for HostStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostStream").field("host", &self.host).field("received", &self.received).finish_non_exhaustive()
    }
}

impl HostStream {
    /// Connects and sends the request. Blocks; not to be called on a runtime's own thread.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`], [`ErrorKind::Certificate`], [`ErrorKind::Cancelled`], or
    /// [`ErrorKind::Protocol`] for an answer that is not the file from its beginning, or not the part of it
    /// that was asked for; [`ErrorKind::SessionLost`] when the cookie or the lease does not count any more.
    pub fn open(request: &StreamRequest) -> Result<Self> {
        let parsed = ServerUrl::parse(&request.url)
            .map_err(|reason| Error::new(ErrorKind::Protocol, format!("read the URL of a file: {reason}")))?;
        let url = parsed.url;
        if !url.tls {
            let context = format!("fetch from {}: the file's URL is not https", url.authority());
            return Err(Error::new(ErrorKind::Protocol, context));
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Config, "start a reader").with_source(error))?;
        let path = path_of(&request.url);
        let (body, part) = runtime.block_on(async {
            tokio::select! {
                body = connect(request, &url, path) => body,
                () = request.cancel.cancelled() => Err(stopped(&url.authority())),
            }
        })?;
        let length = body.size_hint().exact();
        Ok(Self {
            runtime,
            body,
            host: url.authority(),
            received: 0,
            length,
            part,
            idle_limit: request.idle_limit,
            cancel: request.cancel.clone(),
        })
    }

    /// Returns the number of bytes that the host announced, where it did.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns the next bytes; `None` when the host says that there are no more, which proves
    /// nothing about the file inside.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] when the connection breaks or is silent too long,
    /// [`ErrorKind::Protocol`] when other than the part that was asked for comes, [`ErrorKind::Cancelled`].
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        let Self { runtime, body, host, received, part, idle_limit, cancel, .. } = self;
        let part = *part;
        let wrong = |host: &str, received: u64| {
            let context =
                format!("fetch from {host}: {received} bytes came, the part has {}", part.unwrap_or_default());
            Err(Error::new(ErrorKind::Protocol, context))
        };
        runtime.block_on(async {
            loop {
                let frame = tokio::select! {
                    frame = timeout(*idle_limit, body.frame()) => frame,
                    () = cancel.cancelled() => return Err(stopped(host)),
                };
                let Ok(frame) = frame else {
                    let context = format!("fetch from {host}: nothing came for {} s", idle_limit.as_secs());
                    return Err(Error::new(ErrorKind::Unreachable, context));
                };
                match frame {
                    None if part.is_some_and(|part| part != *received) => return wrong(host, *received),
                    None => return Ok(None),
                    Some(Err(error)) => {
                        let context = format!("fetch from {host}: the connection broke after {received} bytes");
                        return Err(Error::from_transport(context, error));
                    }
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            *received += u64::try_from(data.len()).unwrap_or(u64::MAX);
                            if part.is_some_and(|part| part < *received) {
                                return wrong(host, *received);
                            }
                            return Ok(Some(data));
                        }
                    }
                }
            }
        })
    }
}

async fn connect(request: &StreamRequest, url: &ServerUrl, path: &str) -> Result<(Incoming, Option<u64>)> {
    let authority = url.authority();
    let limit = request.tls.handshake_timeout;
    let slow = || Error::new(ErrorKind::Unreachable, format!("connect to {authority}: no answer in time"));
    let failed = |error: std::io::Error| Error::from_transport(format!("connect to {authority}"), error);
    let tcp = timeout(limit, TcpStream::connect((url.host.as_str(), url.port)));
    let tcp = tcp.await.map_err(|_| slow())?.map_err(failed)?;
    let config = client_config(&request.tls, &authority, request.thumbprint.clone())?;
    let name = ServerName::try_from(url.host.clone()).map_err(|error| {
        Error::new(ErrorKind::Protocol, format!("connect to {authority}: not a host name")).with_source(error)
    })?;
    let tls = timeout(limit, TlsConnector::from(std::sync::Arc::new(config)).connect(name, tcp));
    let tls = tls.await.map_err(|_| slow())?.map_err(failed)?;
    let context = || format!("fetch from {authority}");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(tls)).await.map_err(|error| Error::from_transport(context(), error))?;
    // Its errors reach the body; the task ends with the runtime.
    tokio::spawn(connection);
    let get = get(request, &authority, path)
        .map_err(|error| Error::new(ErrorKind::Protocol, context()).with_source(error))?;
    let response = timeout(request.idle_limit, sender.send_request(get)).await.map_err(|_| slow())?;
    let response = response.map_err(|error| Error::from_transport(context(), error))?;
    match (response.status(), &request.range) {
        // Only this answer means "from the beginning", and only to a request for the whole.
        (StatusCode::OK, None) => Ok((response.into_body(), None)),
        (StatusCode::PARTIAL_CONTENT, Some(range)) => {
            let said = response.headers().get(CONTENT_RANGE).and_then(|said| said.to_str().ok()).unwrap_or_default();
            if let Some(len) = part_len(said, range) {
                return Ok((response.into_body(), Some(len)));
            }
            let context = format!("{}: asked for bytes {}-{}, it sends `{said}`", context(), range.start, range.end);
            Err(Error::new(ErrorKind::Protocol, context))
        }
        (status, _) => {
            let kind = status_kind(status, request.cookie.is_some());
            let error = Error::new(kind, format!("{}: HTTP status {status}", context()));
            match pause_of(status, response.headers()) {
                Some(pause) => Err(error.with_busy(pause)),
                None => Err(error),
            }
        }
    }
}

fn get(request: &StreamRequest, authority: &str, path: &str) -> hyper::http::Result<Request<Empty<Bytes>>> {
    let mut builder = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header("Host", authority)
        .header("User-Agent", concat!("hyper2kvm/", env!("CARGO_PKG_VERSION")))
        .header("Connection", "close");
    if let Some(cookie) = &request.cookie {
        builder = builder.header(COOKIE, cookie);
    }
    if let Some(range) = &request.range {
        // The end of a range on the wire is inclusive.
        builder = builder.header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
    }
    builder.body(Empty::new())
}

/// Returns how many bytes follow if `Content-Range: bytes A-B/TOTAL` is what was asked for; a server cuts a
/// range short at the end of the file only.
fn part_len(said: &str, asked: &Range<u64>) -> Option<u64> {
    let (part, total) = said.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let end = asked.end.min(total.parse().ok()?);
    let right = first == asked.start && last.checked_add(1) == Some(end) && asked.start < end;
    right.then(|| end - first)
}

fn status_kind(status: StatusCode, with_cookie: bool) -> ErrorKind {
    match status.as_u16() {
        401 if with_cookie => ErrorKind::SessionLost,
        // A lease's URL is right as long as there is the lease.
        404 | 410 if !with_cookie => ErrorKind::SessionLost,
        401 | 403 => ErrorKind::Permission,
        404 | 410 => ErrorKind::NotFound,
        // Hosts answer 500 for a read that failed and works the next time.
        429 | 500 | 502..=504 => ErrorKind::Unreachable,
        _ => ErrorKind::Protocol,
    }
}

fn stopped(host: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("fetch from {host}: stopped"))
}

/// Returns path and query, as they go into the request.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    path.split('#').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_that_was_asked_for_is_taken() {
        for (said, right) in [
            ("bytes 10-19/100", Some(10)),
            ("bytes 10-14/15", Some(5)),
            ("bytes 10-18/100", None),
            ("bytes 0-19/100", None),
            ("bytes 10-20/100", None),
            ("bytes 10-19/*", None),
            ("", None),
        ] {
            assert_eq!(part_len(said, &(10..20)), right, "{said}");
        }
    }

    #[test]
    fn the_path_keeps_its_query_and_loses_its_fragment() {
        assert_eq!(path_of("https://h:1/nfc/t/disk-0.vmdk?x=1#f"), "/nfc/t/disk-0.vmdk?x=1");
        assert_eq!(path_of("https://h"), "/");
    }
}
