//! What the errors of the leaves are to whoever asked for a conversion.

use std::error::Error as StdError;
use std::io;

use diskimage::ErrorKind as Broken;

use crate::{Error, ErrorKind};

/// Translates a failure of reading an image; `doing` names the image.
pub(super) fn of_source(doing: impl Into<String>, reason: diskimage::Error) -> Error {
    let system = StdError::source(&reason).and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let kind = match (reason.kind(), system) {
        (Broken::Io, Some(io::ErrorKind::NotFound)) => ErrorKind::NotFound,
        (Broken::Io, Some(io::ErrorKind::PermissionDenied)) => ErrorKind::Permission,
        (Broken::Misuse, _) => ErrorKind::Internal,
        _ => ErrorKind::Image,
    };
    Error::new(kind, doing).with_source(reason)
}

/// Translates a failure of the system at the target.
pub(super) fn of_target(doing: &str, reason: io::Error) -> Error {
    of_copy(doing, transfer::Error::sink_io(doing, reason))
}

/// Translates a failure of a copy; what the source said keeps its own kind.
pub(super) fn of_copy(doing: impl Into<String>, reason: transfer::Error) -> Error {
    let cause = StdError::source(&reason)
        .and_then(|cause| cause.downcast_ref::<diskimage::Error>())
        .map(diskimage::Error::kind);
    let system = StdError::source(&reason).and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let kind = match reason.kind() {
        transfer::ErrorKind::SourceGone if cause.is_some() => ErrorKind::Image,
        transfer::ErrorKind::Cancelled => ErrorKind::Cancelled,
        transfer::ErrorKind::Full | transfer::ErrorKind::Sink | transfer::ErrorKind::Checkpoint => ErrorKind::Target,
        // Nothing but options that no image can have leads there before a byte moves.
        transfer::ErrorKind::Bounds if cause.is_some() => ErrorKind::Usage,
        _ => ErrorKind::Internal,
    };
    let hint = match (reason.kind(), system) {
        (transfer::ErrorKind::Full, _) => Some("make room and run the same command again: it goes on"),
        (_, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)) => {
            Some("choose a directory that you may write to")
        }
        _ => None,
    };
    let error = Error::new(kind, doing).with_source(reason);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
