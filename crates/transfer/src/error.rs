//! What can go wrong between a source and a sink.
//!
//! The kinds say who has to act: the network (try again), the user (make room), or the programmer
//! (order, bounds). What was being done, and to what, stands in the context; the reason below it
//! is the error's source and is printed by whoever prints the chain.

use std::error::Error as StdError;
use std::io;

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The source failed in a way that may pass: reset, timeout, busy. Retryable.
    Source,
    /// The source ended before its content did. Retryable.
    Short,
    /// The source gave bytes that are not what they must be. Retryable: fetched again they may be.
    Corrupt,
    /// The source refuses, or is no longer there; asking again does not help.
    SourceGone,
    /// The target failed. The sink is lost, what its checkpoints cover is not.
    Sink,
    /// The target has no room left, or the user's share of it is used up.
    Full,
    /// A write to an ascending sink at another offset than the next one: a caller's mistake.
    Order,
    /// A range that lies outside of the source or the sink: a caller's mistake.
    Bounds,
    /// A sink cannot go on from these checkpoints: they are not its own, or what they cover is not there.
    Checkpoint,
    /// This source or sink cannot do that at all.
    Unsupported,
    /// Somebody asked us to stop.
    Cancelled,
}

impl ErrorKind {
    /// Returns true when the same bytes, asked for again, may come.
    ///
    /// Again means: the range read again, or the stream restarted. Failures of a sink never
    /// qualify, because a sink that has failed must be reopened first (see [`crate::sink`]).
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Source | Self::Short | Self::Corrupt)
    }
}

/// A failed call of a seam.
///
/// `Display` says what was being done and to what, as a lower-case fragment; it never repeats its
/// source.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error; `context` is a lower-case fragment that fits after "failed to".
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Makes the error of a sink whose system call failed, so that "disk full" is recognised in
    /// one place: [`ErrorKind::Full`] for a lack of room, else [`ErrorKind::Sink`].
    pub fn sink_io(context: impl Into<String>, reason: io::Error) -> Self {
        let kind = match reason.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Full,
            _ => ErrorKind::Sink,
        };
        Self::new(kind, context).with_source(reason)
    }

    /// Adds the reason.
    #[must_use]
    pub fn with_source(mut self, reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(reason.into());
        self
    }

    /// Gives up the reason, for a caller that has taken over kind and context.
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns true when the same bytes, asked for again, may come; see [`ErrorKind::is_retryable`].
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_does_not_repeat_the_source() {
        let error = Error::sink_io("write disk.vmdk", io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.to_string(), "write disk.vmdk");
        assert_eq!(error.source().map(ToString::to_string), Some("broken pipe".to_owned()));
    }

    #[test]
    fn lack_of_room_is_told_apart_from_other_failures_of_a_target() {
        let kind = |reason| Error::sink_io("write", io::Error::from(reason)).kind();
        assert_eq!(kind(io::ErrorKind::StorageFull), ErrorKind::Full);
        assert_eq!(kind(io::ErrorKind::QuotaExceeded), ErrorKind::Full);
        assert_eq!(kind(io::ErrorKind::FileTooLarge), ErrorKind::Full);
        assert_eq!(kind(io::ErrorKind::PermissionDenied), ErrorKind::Sink);
    }

    #[test]
    fn only_failures_of_the_way_are_retryable() {
        let retryable = [ErrorKind::Source, ErrorKind::Short, ErrorKind::Corrupt];
        let final_ones = [
            ErrorKind::SourceGone,
            ErrorKind::Sink,
            ErrorKind::Full,
            ErrorKind::Order,
            ErrorKind::Bounds,
            ErrorKind::Checkpoint,
            ErrorKind::Unsupported,
            ErrorKind::Cancelled,
        ];
        assert!(retryable.iter().all(|kind| kind.is_retryable()));
        assert!(!final_ones.iter().any(|kind| kind.is_retryable()));
    }
}
