//! SOAP's HTTP: one endpoint, one cookie, bounded replies.
//!
//! The cookie goes back byte for byte (real servers put quotes around its value) and to no other
//! host. Redirects are errors: a redirected call would carry the password elsewhere.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE, USER_AGENT};
use reqwest::{Client, Response, StatusCode, redirect};

use crate::config::ServerUrl;
use crate::error::{Error, ErrorKind, Result, pause_of};
use crate::tls::{TlsPolicy, client_config};
use crate::wire::{ApiVersion, Limits};

/// How servers see us in their session list.
const AGENT: &str = concat!("hyper2kvm/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    url: ServerUrl,
    cookie: Mutex<Option<HeaderValue>>,
    operation_prefix: String,
}

impl Http {
    pub(super) fn new(url: &ServerUrl, tls: &TlsPolicy) -> Result<Self> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(client_config(tls, &url.authority(), None)?)
            .redirect(redirect::Policy::none())
            .connect_timeout(tls.handshake_timeout)
            .http1_only();
        if url.is_loopback() {
            builder = builder.no_proxy();
        }
        let client =
            builder.build().map_err(|error| Error::new(ErrorKind::Config, "set up HTTP").with_source(error))?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let operation_prefix = format!("hyper2kvm-{}", &id[..8]);
        Ok(Self { client, url: url.clone(), cookie: Mutex::new(None), operation_prefix })
    }

    /// Returns the text that starts every operation id of this connection.
    pub(super) fn operation_prefix(&self) -> &str {
        &self.operation_prefix
    }

    pub(super) fn forget_cookie(&self) {
        self.set_cookie(None);
    }

    /// Posts an envelope and returns the reply's text, a result (200) or a fault (500).
    ///
    /// Only a login brings the cookie: a late reply to another call may carry one that is no session's.
    pub(super) async fn post(&self, xml: &str, version: ApiVersion, timeout: Duration, login: bool) -> Result<String> {
        let mut request = self
            .client
            .post(self.url.join(&self.url.path))
            .timeout(timeout)
            .header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")
            .header(USER_AGENT, AGENT)
            .header("SOAPAction", format!("\"urn:vim25/{version}\""))
            .body(xml.to_owned());
        if let Some(cookie) = self.cookie() {
            request = request.header(COOKIE, cookie);
        }
        let response = request.send().await.map_err(|error| self.transport(error))?;
        if login {
            self.keep_cookie(response.headers());
        }
        match response.status() {
            StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR => self.text(response).await,
            StatusCode::UNAUTHORIZED => Err(Error::new(ErrorKind::SessionLost, format!("{} answered 401", self.url))),
            status => Err(self.status(status, response.headers())),
        }
    }

    /// Gets a document that needs no login; `None` when the server does not have it.
    pub(super) async fn get(&self, path: &str) -> Result<Option<String>> {
        let request = self.client.get(self.url.join(path)).header(USER_AGENT, AGENT).timeout(Duration::from_secs(60));
        let response = request.send().await.map_err(|error| self.transport(error))?;
        match response.status() {
            StatusCode::OK => self.text(response).await.map(Some),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            status => Err(self.status(status, response.headers())),
        }
    }

    async fn text(&self, mut response: Response) -> Result<String> {
        let limit = Limits::default().bytes_max;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            if bytes.len() + chunk.len() > limit {
                let context = format!("{} answered with more than {limit} bytes", self.url);
                return Err(Error::new(ErrorKind::Protocol, context));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| {
            Error::new(ErrorKind::Protocol, format!("{} answered in another encoding than UTF-8", self.url))
        })
    }

    fn transport(&self, error: reqwest::Error) -> Error {
        let timed_out = error.is_timeout();
        let error = Error::from_transport(format!("talk to {}", self.url), error.without_url());
        if timed_out { error.context(format!("{} did not answer in time", self.url)) } else { error }
    }

    fn status(&self, status: StatusCode, headers: &HeaderMap) -> Error {
        let kind = match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                ErrorKind::Unreachable
            }
            StatusCode::FORBIDDEN => ErrorKind::Permission,
            _ => ErrorKind::Protocol,
        };
        let context = format!("{} answered with HTTP status {status}, which holds no SOAP reply", self.url);
        let error = Error::new(kind, context);
        match pause_of(status, headers) {
            Some(pause) => error.with_busy(pause),
            None => error,
        }
    }

    /// Returns the session's cookie, marked as a secret.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        self.cookie.lock().ok().and_then(|cookie| cookie.clone())
    }

    fn set_cookie(&self, value: Option<HeaderValue>) {
        if let Ok(mut cookie) = self.cookie.lock() {
            *cookie = value;
        }
    }

    fn keep_cookie(&self, headers: &HeaderMap) {
        let session = |value: &HeaderValue| {
            let pair = value.as_bytes().split(|byte| *byte == b';').next()?;
            let ours = pair.starts_with(b"vmware_soap_session=");
            HeaderValue::from_bytes(pair).ok().filter(|_| ours)
        };
        if let Some(mut cookie) = headers.get_all(SET_COOKIE).iter().find_map(session) {
            cookie.set_sensitive(true);
            self.set_cookie(Some(cookie));
        }
    }
}
