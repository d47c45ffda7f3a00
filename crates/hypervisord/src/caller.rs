//! Who asks, and what they may do.
//!
//! Whoever serves a connection puts a [`Caller`] into each request: the private child one that may
//! everything (its socket lies in a directory that only its starter can enter), the daemon whom its
//! guard has recognised. Handlers take it as an argument.
//!
//! **Invariant:** a request without one is refused. A way to the routes that nobody guards is a bug
//! of ours, and not a way in.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyper_api::{ProblemKind, Role};

use crate::http::Refusal;
use crate::problems::problem;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The one who started this private child.
    Private,
    /// A process at the other end of the Unix socket, as the kernel names it.
    Peer {
        /// Effective user.
        uid: u32,
        /// Effective group.
        gid: u32,
        /// Supplementary groups, at the time of connecting.
        groups: Vec<u32>,
    },
    /// The holder of a token.
    Token {
        /// The token's public id; never the token.
        id: String,
        /// What a person called it.
        name: String,
    },
    /// Anybody on this machine who came without a token, where the configuration lets them.
    Loopback,
}

impl std::fmt::Display for Who {
    /// Writes the caller for log lines: `uid 1000`, `token 3f2a (backup)`. What a person chose is escaped.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Peer { uid, .. } => write!(f, "uid {uid}"),
            Self::Token { id, name } => write!(f, "token {id} ({})", name.escape_debug()),
            Self::Loopback => f.write_str("loopback"),
        }
    }
}

/// Who asks and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What they may do.
    pub role: Role,
    /// Who they are.
    pub who: Who,
}

impl Caller {
    /// Returns the caller of a private child, who may do everything that the child can.
    pub const fn private() -> Self {
        Self { role: Role::Admin, who: Who::Private }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let unguarded = || problem(ProblemKind::Internal, "learn who asks: nothing guards this way in");
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unguarded().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_a_log_line_of_its_own() {
        let who = Who::Token { id: "3f2a".into(), name: "a\nb\u{1b}[2J".into() };
        assert_eq!(who.to_string(), r"token 3f2a (a\nb\u{1b}[2J)");
    }

    #[tokio::test]
    async fn a_request_that_nobody_guards_is_refused() {
        let (mut parts, ()) = axum::http::Request::new(()).into_parts();
        Caller::from_request_parts(&mut parts, &()).await.unwrap_err();
        parts.extensions.insert(Caller::private());
        assert_eq!(Caller::from_request_parts(&mut parts, &()).await.unwrap(), Caller::private());
    }
}
