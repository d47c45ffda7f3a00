//! What can go wrong between us and a server.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::tls::UntrustedCertificate;
use crate::wire::generated::{AnyMethodFault, LocalizedMethodFault};
use crate::wire::{Fault, ResponseError};

/// Longest time that a server is left alone because it says so; it may ask for more than anybody waits.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration makes no sense. Not retryable.
    Config,
    /// No connection, no answer in time, or the connection broke. Retryable.
    Unreachable,
    /// The certificate is not trusted. Not retryable.
    Certificate,
    /// The server refused the login. Never retried: accounts lock.
    Login,
    /// The session, and with it every object that belonged to it, is gone. Not retryable as such.
    SessionLost,
    /// The account lacks a privilege. Not retryable.
    Permission,
    /// No such object. Not retryable.
    NotFound,
    /// A name fits several objects. Not retryable.
    Ambiguous,
    /// The object is in a state that forbids the call. Retryable later.
    State,
    /// VMware Tools do not run in the guest, so nobody there hears. Not retryable as such.
    NoTools,
    /// What the server or a guest has begun was not done in the time that it was given; it may go on.
    Late,
    /// The server does not know the call, or not in this version. Not retryable.
    Unsupported,
    /// Any other fault of the server.
    Fault,
    /// The server's answer makes no sense.
    Protocol,
    /// Somebody asked us to stop.
    Cancelled,
}

/// A failed conversation with a server.
///
/// `Display` says what was being done and to what; it never repeats its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    /// How long a server that has too much to do wants to be left alone.
    busy: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), busy: None, source: None }
    }

    /// Adds the reason.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts what was being done in front of this error, which becomes the reason.
    #[must_use]
    pub fn context(self, context: impl Into<String>) -> Self {
        Self { kind: self.kind, context: context.into(), busy: self.busy, source: Some(Box::new(self)) }
    }

    /// Notes that the server has too much to do, and how long it wants to be left alone.
    #[must_use]
    pub(crate) fn with_busy(mut self, pause: Duration) -> Self {
        self.busy = Some(pause);
        self
    }

    /// Returns how long to leave the server alone when it has too much to do; zero when it did not say.
    /// `None` for every other error.
    pub fn busy(&self) -> Option<Duration> {
        self.busy
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns true when the same call may succeed later without anybody changing something.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::State)
    }

    /// Gives up the reason, for a caller that has taken over kind and text.
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }

    /// Returns the server's fault, where one is the reason.
    pub fn fault(&self) -> Option<&Fault> {
        let mut next = self.source();
        while let Some(reason) = next {
            if let Some(fault) = reason.downcast_ref::<Fault>() {
                return Some(fault);
            }
            next = reason.source();
        }
        None
    }

    /// Makes an error from what came in place of a reply.
    pub(crate) fn from_response(context: String, error: ResponseError) -> Self {
        match error {
            ResponseError::Fault(fault) => {
                let context = format!("{context}{}", wanting(fault.detail.as_ref()));
                Self::new(fault_kind(fault.detail.as_ref()), context).with_source(*fault)
            }
            other => Self::new(ErrorKind::Protocol, context).with_source(other),
        }
    }

    /// Makes an error from a fault that stands in data: of a task, a lease, a property.
    pub(crate) fn from_fault(context: impl Into<String>, fault: &LocalizedMethodFault) -> Self {
        let text = fault.localized_message.clone().unwrap_or_default();
        let fault = Fault::new(text, fault.fault.clone());
        Self::new(fault_kind(fault.detail.as_ref()), context).with_source(fault)
    }

    /// Makes an error from a broken or refused connection; an untrusted certificate is told apart.
    pub(crate) fn from_transport(context: String, error: impl StdError + Send + Sync + 'static) -> Self {
        match untrusted(&error) {
            Some(certificate) => Self::new(ErrorKind::Certificate, context).with_source(certificate),
            None => Self::new(ErrorKind::Unreachable, context).with_source(innermost(&error)),
        }
    }
}

/// Returns which privilege a call lacks and where, as the end of a sentence: the fault's own text has
/// neither.
fn wanting(fault: Option<&AnyMethodFault>) -> String {
    let Some(AnyMethodFault::NoPermission(fault)) = fault else { return String::new() };
    let Some(privilege) = &fault.privilege_id else { return String::new() };
    let object = fault.object.as_ref().map(|object| format!(" on {object}")).unwrap_or_default();
    format!(", which needs the privilege {privilege}{object}")
}

/// Returns how long an answer asks to be left alone, for one that says that it has too much to do.
pub(crate) fn pause_of(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status != StatusCode::SERVICE_UNAVAILABLE && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Some(Duration::from_secs(seconds.unwrap_or(0)).min(PAUSE_MAX))
}

/// Returns what a fault means for the caller.
pub(crate) fn fault_kind(fault: Option<&AnyMethodFault>) -> ErrorKind {
    let Some(fault) = fault else { return ErrorKind::Fault };
    match fault.type_name() {
        "NotAuthenticated" => ErrorKind::SessionLost,
        "InvalidLogin" | "InvalidLocale" => ErrorKind::Login,
        "NoPermission" | "RestrictedVersion" => ErrorKind::Permission,
        "ManagedObjectNotFound" => ErrorKind::NotFound,
        "MethodNotFound" | "NotSupported" | "NotImplemented" | "InvalidProperty" => ErrorKind::Unsupported,
        "InvalidState" | "InvalidPowerState" | "TaskInProgress" | "MethodDisabled" | "QuestionPending"
        | "ConcurrentAccess" | "Timedout" => ErrorKind::State,
        "ToolsUnavailable" => ErrorKind::NoTools,
        "HostCommunication" | "HostNotConnected" | "HostNotReachable" => ErrorKind::Unreachable,
        _ => ErrorKind::Fault,
    }
}

/// Finds our verifier's verdict at the bottom of a transport error.
fn untrusted(error: &(dyn StdError + 'static)) -> Option<UntrustedCertificate> {
    let mut next = Some(error);
    while let Some(reason) = next {
        if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
            reason.downcast_ref::<rustls::Error>()
        {
            return other.0.downcast_ref::<UntrustedCertificate>().cloned();
        }
        // An I/O error hides what it wraps from `source`.
        next = match reason.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => reason.source(),
        };
    }
    None
}

/// Returns the last reason of a chain as text: what the system or the peer said, without the layers
/// of the HTTP client (which repeat the URL).
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(reason) = last.source() {
        last = reason;
    }
    last.to_string()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
