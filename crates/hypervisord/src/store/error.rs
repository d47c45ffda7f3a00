//! What can go wrong with the store.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

/// The kinds that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another process has the store.
    Locked,
    /// The file is no database of ours, or its content is broken.
    Damaged,
    /// A newer version has written it.
    Newer,
    /// No room on its file system; goes away when there is.
    Full,
    /// Reading or writing failed otherwise.
    Io,
    /// The job has moved on: it is at another attempt, has ended, or is gone.
    Stale,
    /// Another job works on the same target.
    TargetTaken,
    /// The key of a request came with another request before.
    KeyReused,
    /// The store has been closed.
    Closed,
    /// A bug of ours.
    Internal,
}

/// A failed call of the store. `Display` never repeats its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    pub(super) fn io(context: impl Into<String>, error: io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let kind = if full { ErrorKind::Full } else { ErrorKind::Io };
        Self { kind, context: context.into(), source: Some(error.into()) }
    }

    /// Makes the error of a file that must not be touched, saying which and what to do.
    pub(super) fn damaged(path: &Path, what: impl fmt::Display) -> Self {
        let shown = path.display();
        Self::new(
            ErrorKind::Damaged,
            format!(
                "open the job store {shown}: it is damaged: {what}; move {shown} away, with {shown}-wal and \
                 {shown}-shm where they exist, and start again with an empty one (exported files are not in it)"
            ),
        )
    }

    /// Makes the same error once more, for each of those whose writes failed together.
    pub(super) fn again(&self) -> Self {
        let mut context = self.context.clone();
        if let Some(source) = &self.source {
            context = format!("{context}: {source}");
        }
        Self { kind: self.kind, context, source: None }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the whole chain as one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(reason) = next {
            line = format!("{line}: {reason}");
            next = reason.source();
        }
        line
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Damaged,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked,
            ) => ErrorKind::Io,
            _ => ErrorKind::Internal,
        };
        Self { kind, context: "use the job store".to_owned(), source: Some(error.into()) }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self {
            kind: ErrorKind::Internal,
            context: "write an entry of the job store".to_owned(),
            source: Some(error.into()),
        }
    }
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
