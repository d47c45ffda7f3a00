//! What an error of a writer is to whoever drives a sink.
//!
//! | the writer says | a sink says | because |
//! |---|---|---|
//! | full | full | |
//! | checkpoint | checkpoint | |
//! | truncated, corrupt, while it reads back | checkpoint | what a checkpoint covers is not there |
//! | truncated, while it is finished | short | bytes of the disk were never written |
//! | misuse, limit, while it is opened | bounds | no disk has this size or this cluster |
//! | anything else | sink | |
//!
//! Ranges outside of the disk never reach a writer: its refusal of them could not be told from that
//! of a writer which has failed before, and one leaves the sink usable while the other does not.

use diskimage::ErrorKind as From;
use transfer::{Error, ErrorKind};

/// Translates the failure of `doing` something to the open target `name`.
pub(super) fn of_writing(doing: &str, name: &str, error: diskimage::Error) -> Error {
    let kind = match error.kind() {
        From::Full => ErrorKind::Full,
        From::Checkpoint | From::Truncated | From::Corrupt => ErrorKind::Checkpoint,
        _ => ErrorKind::Sink,
    };
    Error::new(kind, format!("{doing} {name}")).with_source(error)
}

/// Translates the failure to finish the target `name`.
pub(super) fn of_finishing(name: &str, error: diskimage::Error) -> Error {
    match error.kind() {
        From::Truncated => Error::new(ErrorKind::Short, format!("finish {name}")).with_source(error),
        _ => of_writing("finish", name, error),
    }
}

/// Translates the failure to create or to reopen the target `name`.
pub(super) fn of_opening(name: &str, error: diskimage::Error) -> Error {
    let kind = match error.kind() {
        From::Misuse | From::Limit => ErrorKind::Bounds,
        From::Full => ErrorKind::Full,
        From::Checkpoint | From::Truncated | From::Corrupt => ErrorKind::Checkpoint,
        _ => ErrorKind::Sink,
    };
    Error::new(kind, format!("begin to write {name}")).with_source(error)
}
