//! The one table from errors to what a caller sees over HTTP.
//!
//! | `migrate` says | problem kind | status | why this status |
//! |---|---|--:|---|
//! | usage | usage | 400 | the caller can fix the request |
//! | not found | not_found | 404 | |
//! | permission | permission | 403 | the configured account may not |
//! | state | state | 409 | the VM or job is not in the state for it |
//! | image | image | 422 | understood, but the disk image is damaged or of a kind that is not read |
//! | late | timeout | 504 | a guest or the server behind us took too long |
//! | target | target | 422 | understood, but the directory does not do |
//! | login, unreachable, certificate, server, verification | the same | 502 | the server behind us is at fault |
//! | cancelled | cancelled | 409 | the job was stopped |
//! | internal, anything newer | internal | 500 | a bug of ours |
//!
//! And from the daemon itself: unauthorized 401, forbidden 403, method 405, too large 413, too many 429,
//! busy 503, storage 507. `hyperctl` turns the kinds, never the statuses, into exit codes.

use hyper_api::{Problem, ProblemKind};

use crate::store;

/// Returns the problem kind of an error kind.
pub fn kind_of(kind: migrate::ErrorKind) -> ProblemKind {
    match kind {
        migrate::ErrorKind::Usage => ProblemKind::Usage,
        migrate::ErrorKind::NotFound => ProblemKind::NotFound,
        migrate::ErrorKind::Login => ProblemKind::Login,
        migrate::ErrorKind::Unreachable => ProblemKind::Unreachable,
        migrate::ErrorKind::Certificate => ProblemKind::Certificate,
        migrate::ErrorKind::Permission => ProblemKind::Permission,
        migrate::ErrorKind::State => ProblemKind::State,
        migrate::ErrorKind::Image => ProblemKind::Image,
        migrate::ErrorKind::Late => ProblemKind::Timeout,
        migrate::ErrorKind::Target => ProblemKind::Target,
        migrate::ErrorKind::Verification => ProblemKind::Verification,
        migrate::ErrorKind::Server => ProblemKind::Server,
        migrate::ErrorKind::Cancelled => ProblemKind::Cancelled,
        // `Internal`, and whatever is newer than this table.
        _ => ProblemKind::Internal,
    }
}

/// Returns the HTTP status of a problem kind.
pub const fn status_of(kind: ProblemKind) -> u16 {
    match kind {
        ProblemKind::Usage => 400,
        ProblemKind::Unauthorized => 401,
        ProblemKind::Permission | ProblemKind::Forbidden => 403,
        ProblemKind::NotFound => 404,
        ProblemKind::Method => 405,
        ProblemKind::State | ProblemKind::Cancelled => 409,
        ProblemKind::TooLarge => 413,
        ProblemKind::Image | ProblemKind::Target => 422,
        ProblemKind::TooMany => 429,
        ProblemKind::Login
        | ProblemKind::Unreachable
        | ProblemKind::Certificate
        | ProblemKind::Verification
        | ProblemKind::Server => 502,
        ProblemKind::Busy => 503,
        ProblemKind::Timeout => 504,
        ProblemKind::Storage => 507,
        // `Internal`, and whatever is newer than this table.
        _ => 500,
    }
}

/// Makes a problem of the daemon's own.
pub fn problem(kind: ProblemKind, detail: impl Into<String>) -> Problem {
    Problem::new(kind, status_of(kind), detail)
}

/// Makes a problem of the daemon's own as the error of a function.
pub fn refusal(kind: ProblemKind, detail: impl Into<String>) -> Box<Problem> {
    Box::new(problem(kind, detail))
}

/// Makes the problem that an error of `migrate` is to a caller: the whole chain, once.
pub fn from_migrate(error: &migrate::Error) -> Problem {
    let problem = problem(kind_of(error.kind()), error.chain());
    match error.hint() {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

/// Makes the problem that an error of the job store is to a caller.
pub fn from_store(doing: &str, error: &store::Error) -> Box<Problem> {
    use store::ErrorKind as From;
    let (kind, hint) = match error.kind() {
        From::Full => (ProblemKind::Storage, Some("make room where the daemon keeps its job store")),
        From::Io | From::Locked | From::Damaged | From::Newer => (ProblemKind::Storage, None),
        From::Stale | From::TargetTaken | From::KeyReused => (ProblemKind::State, None),
        From::Closed => (ProblemKind::Busy, None),
        // `Internal`, and whatever is newer than this table.
        _ => (ProblemKind::Internal, None),
    };
    let problem = problem(kind, format!("{doing}: {}", error.chain()));
    Box::new(match hint {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    })
}

#[cfg(test)]
mod tests {
    use migrate::ErrorKind as E;

    use super::*;

    #[test]
    fn the_table_is_as_documented() {
        for (error, kind, status) in [
            (E::Usage, ProblemKind::Usage, 400),
            (E::NotFound, ProblemKind::NotFound, 404),
            (E::Permission, ProblemKind::Permission, 403),
            (E::State, ProblemKind::State, 409),
            (E::Image, ProblemKind::Image, 422),
            (E::Late, ProblemKind::Timeout, 504),
            (E::Target, ProblemKind::Target, 422),
            (E::Login, ProblemKind::Login, 502),
            (E::Unreachable, ProblemKind::Unreachable, 502),
            (E::Certificate, ProblemKind::Certificate, 502),
            (E::Server, ProblemKind::Server, 502),
            (E::Verification, ProblemKind::Verification, 502),
            (E::Cancelled, ProblemKind::Cancelled, 409),
            (E::Internal, ProblemKind::Internal, 500),
        ] {
            assert_eq!((kind_of(error), status_of(kind_of(error))), (kind, status), "{error:?}");
        }
        for (kind, status) in [
            (ProblemKind::Unauthorized, 401),
            (ProblemKind::Forbidden, 403),
            (ProblemKind::Method, 405),
            (ProblemKind::TooLarge, 413),
            (ProblemKind::TooMany, 429),
            (ProblemKind::Busy, 503),
            (ProblemKind::Storage, 507),
        ] {
            assert_eq!(status_of(kind), status, "{kind:?}");
        }
    }

    #[test]
    fn a_problem_carries_the_whole_chain_once_and_the_hint() {
        let error = migrate::Error::new(E::Unreachable, "log in to https://vc:443")
            .with_source(std::io::Error::other("connection refused"))
            .with_hint("check the address");
        let problem = from_migrate(&error);
        assert_eq!(problem.error, "log in to https://vc:443: connection refused");
        assert_eq!(problem.hint.as_deref(), Some("check the address"));
    }
}
