//! Why a call to the daemon did not bring what was asked for.

use std::error::Error as StdError;
use std::fmt;

use crate::Problem;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address or an argument makes no sense; nothing was sent.
    Usage,
    /// Nobody is listening there. Retryable.
    Connect,
    /// No answer in time. Retryable.
    Timeout,
    /// The connection broke, or what came is not what a daemon of ours sends.
    Protocol,
    /// The daemon said no; [`Error::problem`] says why.
    Refused,
}

/// A failed call.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    status: Option<u16>,
    problem: Option<Box<Problem>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), status: None, problem: None, source: None }
    }

    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub(super) fn with_problem(mut self, problem: Problem) -> Self {
        self.problem = Some(Box::new(problem));
        self
    }

    pub(super) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.with_boxed_source(Box::new(source))
    }

    pub(super) fn with_boxed_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns what the daemon said, when it refused in the form of ours.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_deref()
    }

    /// Returns what the system said, when a connection could not be made.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        Some(self.source.as_ref()?.downcast_ref::<std::io::Error>()?.kind())
    }

    /// Returns the whole chain as one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(reason) = next {
            line.push_str(": ");
            line.push_str(&reason.to_string());
            next = reason.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Some(problem) => f.write_str(&problem.error),
            None => f.write_str(&self.context),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
