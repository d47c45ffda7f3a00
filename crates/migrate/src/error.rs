//! What can go wrong with a job, in words that a caller can act on.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use vsphere::wire::generated::AnyMethodFault;

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The kinds of failure that callers tell apart; `hyperctl` gives most an exit code of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or the configuration makes no sense. Not retryable.
    Usage,
    /// No such VM, or the name fits several. Not retryable.
    NotFound,
    /// The server refused the login. Never retried: accounts lock.
    Login,
    /// The server, or the host it points at, cannot be reached. Retryable.
    Unreachable,
    /// A certificate is not trusted. Not retryable.
    Certificate,
    /// The account lacks a privilege. Not retryable.
    Permission,
    /// The VM is in a state in which it cannot be exported (powered on, busy). Retryable later.
    State,
    /// What a guest or the server has begun was not done in the time that it was given. Retryable later.
    Late,
    /// The target is full, not writable, or holds files that are not ours. Not retryable.
    Target,
    /// What arrived is not what was sent, or is no complete disk. Retryable.
    Verification,
    /// A disk image or a package is damaged, encrypted, or of a kind that is not read. Not retryable.
    Image,
    /// The server answered with a fault, or in a form that makes no sense.
    Server,
    /// Somebody asked us to stop.
    Cancelled,
    /// A bug of ours.
    Internal,
}

/// A failed job, or a failed question to a server.
///
/// `Display` says what was being done, to what, and what to do next; it never repeats its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    /// How long a server that has too much to do wants to be left alone.
    busy: Option<Duration>,
    /// True when the server is at work on the VM for somebody, so that it takes no other work.
    held: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`; `context` completes the sentence "failed: …".
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), hint: None, busy: None, held: false, source: None }
    }

    /// Makes the error of a file here that cannot be looked at or read.
    pub(crate) fn from_io(context: impl Into<String>, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Image,
        };
        Self::new(kind, context).with_source(error)
    }

    /// Adds the next step that a person can take.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says it is of another kind, where more is known than the server's words.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds a next step where there is none yet.
    fn with_default_hint(mut self, hint: Option<&str>) -> Self {
        self.hint = self.hint.or_else(|| hint.map(str::to_owned));
        self
    }

    /// Adds the reason.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts in front what the error is about.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.context = format!("{what}: {}", self.context);
        self
    }

    /// Says `to` wherever the error and its reasons say `from`.
    pub(crate) fn renamed(mut self, from: &str, to: &str) -> Self {
        self.context = self.context.replace(from, to);
        let reason = self.source.as_deref().map(|source| chain(source.to_string(), source.source()));
        if let Some(reason) = reason.filter(|reason| reason.contains(from)) {
            self.source = Some(reason.replace(from, to).into());
        }
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns how long to leave the server alone when it has too much to do; zero when it did not say.
    pub(crate) fn busy(&self) -> Option<Duration> {
        self.busy
    }

    /// Returns true when the server is at work on the VM for somebody (a lease, a backup, a snapshot) and takes no
    /// other work until that ends.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Returns the next step for a person, where there is one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns true when the same request may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::State | ErrorKind::Late | ErrorKind::Verification)
    }

    /// Returns the whole chain as one line: `context: reason: reason`.
    pub fn chain(&self) -> String {
        chain(self.context.clone(), self.source())
    }
}

/// Adds all reasons to a line.
fn chain(mut line: String, mut next: Option<&(dyn StdError + 'static)>) -> String {
    while let Some(reason) = next {
        line.push_str(": ");
        line.push_str(&reason.to_string());
        next = reason.source();
    }
    line
}

/// What a person can do about a certificate that is not trusted.
const CERTIFICATE_HINT: &str = "if the thumbprint is the server's (compare it there), put a line `HOST:PORT THUMBPRINT` \
     into a file and name that in GOVC_TLS_KNOWN_HOSTS; or name the CA's file in GOVC_TLS_CA_CERTS";

impl From<vsphere::Error> for Error {
    /// Keeps the whole chain; the kind says what the job makes of it.
    fn from(error: vsphere::Error) -> Self {
        use vsphere::ErrorKind as From;
        let (kind, hint) = match error.kind() {
            From::Config => (ErrorKind::Usage, Some("set GOVC_URL, GOVC_USERNAME and GOVC_PASSWORD as for govc")),
            From::Unreachable => (ErrorKind::Unreachable, None),
            From::Certificate => (ErrorKind::Certificate, Some(CERTIFICATE_HINT)),
            From::Login => {
                (ErrorKind::Login, Some("check GOVC_USERNAME and GOVC_PASSWORD; trying again may lock the account"))
            }
            From::Permission => (ErrorKind::Permission, None),
            From::NotFound => (ErrorKind::NotFound, Some("`hyperctl list` shows every VM with its path")),
            From::Ambiguous => (ErrorKind::NotFound, Some("give the whole path of one of them")),
            From::State | From::NoTools => (ErrorKind::State, None),
            From::Late => (ErrorKind::Late, None),
            From::Cancelled => (ErrorKind::Cancelled, None),
            From::SessionLost => {
                (ErrorKind::Server, Some("the server has ended the session; run the same command again"))
            }
            _ => (ErrorKind::Server, None),
        };
        let (context, busy) = (error.to_string(), error.busy());
        let held = error.fault().is_some_and(|fault| matches!(fault.detail, Some(AnyMethodFault::TaskInProgress(_))));
        // The outer text moves up; what lies below stays as it is.
        Self { kind, context, hint: hint.map(str::to_owned), busy, held, source: error.into_source() }
    }
}

impl From<transfer::Error> for Error {
    /// An error of the server that came through a stream keeps its own kind and hint.
    fn from(error: transfer::Error) -> Self {
        use transfer::ErrorKind as From;
        let kind = match error.kind() {
            From::Source => ErrorKind::Unreachable,
            From::Short | From::Corrupt => ErrorKind::Verification,
            From::SourceGone => ErrorKind::Server,
            From::Sink | From::Full => ErrorKind::Target,
            From::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Internal,
        };
        let full = error.kind() == From::Full;
        let mut ours = Self::new(kind, error.to_string());
        ours.source = error.into_source();
        match ours.source.take().map(|source| source.downcast::<vsphere::Error>()) {
            Some(Ok(server)) => Self::from(*server),
            Some(Err(source)) => ours.with_source(source),
            None => ours,
        }
        .with_default_hint(full.then_some("make room, or export into another directory"))
    }
}

impl From<diskimage::Error> for Error {
    /// What reading a disk or a package gives. A writer's errors come as those of a sink.
    fn from(error: diskimage::Error) -> Self {
        use diskimage::ErrorKind as From;
        let (kind, hint) = match (error.kind(), reason(&error)) {
            (From::Io, Some(io::ErrorKind::NotFound)) => (ErrorKind::NotFound, None),
            (From::Io, Some(io::ErrorKind::PermissionDenied)) => (ErrorKind::Permission, None),
            (From::Io, Some(io::ErrorKind::Interrupted)) => (ErrorKind::Cancelled, None),
            (From::Full, _) => (ErrorKind::Target, Some("make room, or write to another place")),
            (From::Checkpoint | From::Misuse, _) => (ErrorKind::Internal, None),
            _ => (ErrorKind::Image, None),
        };
        let mut ours = Self::new(kind, error.to_string()).with_default_hint(hint);
        ours.source = error.into_source();
        ours
    }
}

/// Returns what the operating system said.
fn reason(error: &diskimage::Error) -> Option<io::ErrorKind> {
    error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind)
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
