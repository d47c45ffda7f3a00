//! A daemon in this process, behind doors of its own, and clients that are not always polite.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use hypervisord::config::Config;
use hypervisord::engine::{Configured, Engine, LocalImages};
use hypervisord::listen::Given;
use hypervisord::serve;
use hypervisord::workers::Workers;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::twin::Twin;

/// A daemon over the twin of the engine.
pub(crate) struct Guarded {
    pub(crate) daemon: serve::Daemon,
    pub(crate) config: Config,
    pub(crate) folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn configured() -> Configured {
    let engine: Arc<dyn Engine> = Twin::new() as Arc<dyn Engine>;
    Configured {
        engine: Ok(("https://twin:443".into(), engine)),
        images: Arc::new(LocalImages),
        workers: Workers::process(),
    }
}

impl Guarded {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { state_dir: folder.path().join("state"), ..Config::default() };
        config.listen.socket = folder.path().join("run/socket");
        config.listen.tcp = vec!["127.0.0.1:0".to_owned()];
        config.auth.start_token = folder.path().join("run/token");
        // Tests are refused more often than people.
        config.limits.refusals_per_minute = 100_000;
        change(&mut config);
        let daemon = serve::Daemon::start(config.clone(), configured(), Given::default()).await.unwrap();
        Self { daemon, config, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon.addresses()[0]
    }

    /// Returns the token of this start.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(&self.config.auth.start_token).unwrap().trim().to_owned()
    }

    /// Sends over TCP with a proper `Host`, and `headers` beside it.
    pub(crate) async fn tcp(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let stream = tokio::net::TcpStream::connect(self.address()).await.unwrap();
        send(stream, method, path, headers, body).await
    }

    /// Sends over the Unix socket.
    pub(crate) async fn unix(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let stream = tokio::net::UnixStream::connect(&self.config.listen.socket).await.unwrap();
        send(stream, method, path, headers, body).await
    }

    /// Makes a token over the socket, where this user may.
    pub(crate) async fn make_token(&self, role: &str) -> String {
        let body = format!(r#"{{"name":"a test","role":"{role}"}}"#);
        let reply = self.unix("POST", "/api/v1/tokens", &[], body.as_bytes()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["secret"].as_str().unwrap().to_owned()
    }
}

/// Sends one request; a `host` among the headers replaces the proper one.
pub(crate) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    // The stream of all jobs does not end by itself.
    let is_endless = path == "/api/v1/events" && parts.status == 200;
    let body = if is_endless { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
    Reply { status: parts.status, headers: parts.headers, body }
}

/// Returns the header that carries a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
