//! The one table of exit codes.
//!
//! | code | meaning |
//! |--:|---|
//! | 0 | done, accepted or answered |
//! | 1 | refused or ended badly: a job failed for a reason without a code of its own |
//! | 2 | the command line is wrong, or the source's settings are |
//! | 3 | no daemon there, the private one did not start, no answer in time |
//! | 4 | no such VM or job; a name that fits several VMs |
//! | 5 | not allowed |
//! | 6 | the job was cancelled, and not by a signal to this program |
//! | 7 | the source refused the login |
//! | 8 | the source is unreachable |
//! | 9 | the source's certificate is not trusted |
//! | 10 | the target is full, not writable or holds files that are not ours |
//! | 11 | verification failed |
//! | 128+n | ended by signal n |
//!
//! Callers rely on zero against non-zero; the rest is for people and for our own wrappers.

use hyper_api::ProblemKind;
use hyper_api::client::ErrorKind;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, accepted or answered.
    Done,
    /// Refused or ended badly.
    Refused,
    /// The command line or the configuration is wrong.
    Usage,
    /// No daemon.
    NoDaemon,
    /// No such VM or job.
    NotFound,
    /// Not allowed.
    Denied,
    /// The job was cancelled by somebody else.
    Cancelled,
    /// Login refused.
    Login,
    /// Source unreachable.
    Unreachable,
    /// Certificate not trusted.
    Certificate,
    /// Target not usable.
    Target,
    /// Verification failed.
    Verification,
    /// Ended by a signal.
    Signal(u8),
}

/// What a shell adds to the number of the signal that ended a program.
const SIGNAL_BASE: u8 = 128;

impl Exit {
    /// Returns the number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NoDaemon => 3,
            Self::NotFound => 4,
            Self::Denied => 5,
            Self::Cancelled => 6,
            Self::Login => 7,
            Self::Unreachable => 8,
            Self::Certificate => 9,
            Self::Target => 10,
            Self::Verification => 11,
            Self::Signal(number) => SIGNAL_BASE.saturating_add(number),
        }
    }

    /// Returns the exit for a problem, of a request or of a failed job.
    pub const fn of_problem(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::Usage => Self::Usage,
            ProblemKind::NotFound => Self::NotFound,
            ProblemKind::Login => Self::Login,
            ProblemKind::Unreachable => Self::Unreachable,
            ProblemKind::Certificate => Self::Certificate,
            ProblemKind::Permission | ProblemKind::Unauthorized | ProblemKind::Forbidden => Self::Denied,
            ProblemKind::Target => Self::Target,
            ProblemKind::Verification => Self::Verification,
            ProblemKind::Cancelled => Self::Cancelled,
            // State, server, busy, too large, too many, internal, method, and what a newer daemon may say.
            _ => Self::Refused,
        }
    }

    /// Returns the exit for a call that failed without a problem from the daemon.
    pub const fn of_call(kind: ErrorKind, status: Option<u16>) -> Self {
        match (kind, status) {
            (ErrorKind::Usage, _) => Self::Usage,
            (ErrorKind::Refused, Some(401 | 403)) => Self::Denied,
            (ErrorKind::Refused, Some(404)) => Self::NotFound,
            (ErrorKind::Refused, _) => Self::Refused,
            // Nobody there, no answer, a broken answer.
            _ => Self::NoDaemon,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_ends_with_the_code_of_the_table() {
        for (kind, code) in [
            (ProblemKind::Usage, 2),
            (ProblemKind::NotFound, 4),
            (ProblemKind::Method, 1),
            (ProblemKind::Login, 7),
            (ProblemKind::Unreachable, 8),
            (ProblemKind::Certificate, 9),
            (ProblemKind::Permission, 5),
            (ProblemKind::State, 1),
            (ProblemKind::Image, 1),
            (ProblemKind::Target, 10),
            (ProblemKind::Verification, 11),
            (ProblemKind::Server, 1),
            (ProblemKind::Cancelled, 6),
            (ProblemKind::Busy, 1),
            (ProblemKind::Unauthorized, 5),
            (ProblemKind::Forbidden, 5),
            (ProblemKind::TooLarge, 1),
            (ProblemKind::TooMany, 1),
            (ProblemKind::Internal, 1),
            (ProblemKind::Unknown, 1),
        ] {
            assert_eq!(Exit::of_problem(kind).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn calls_and_signals_end_with_the_code_of_the_table() {
        for (kind, status, code) in [
            (ErrorKind::Usage, None, 2),
            (ErrorKind::Connect, None, 3),
            (ErrorKind::Timeout, None, 3),
            (ErrorKind::Protocol, None, 3),
            (ErrorKind::Refused, Some(401), 5),
            (ErrorKind::Refused, Some(403), 5),
            (ErrorKind::Refused, Some(404), 4),
            (ErrorKind::Refused, Some(500), 1),
        ] {
            assert_eq!(Exit::of_call(kind, status).code(), code, "{kind:?} {status:?}");
        }
        assert_eq!((Exit::Signal(2).code(), Exit::Signal(15).code()), (130, 143));
        assert_eq!((Exit::Done.code(), Exit::NoDaemon.code()), (0, 3));
    }
}
