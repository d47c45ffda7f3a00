//! Recognises who asks.

use axum::http::{HeaderMap, header};
use hyper_api::{Problem, ProblemKind, Role};
use jiff::Timestamp;

use super::Guard;
use crate::caller::{Caller, Who};
use crate::config::Access;
use crate::listen::{Peer, Way};
use crate::problems::{problem, refusal};

/// Where older clients put a token.
const API_KEY: &str = "x-api-key";

impl Guard {
    /// Returns who asks. Over the Unix socket that is who the kernel says; what they send does not change it.
    pub(super) fn recognise(&self, way: &Way, headers: &HeaderMap, compat: bool) -> Result<Caller, Box<Problem>> {
        let address = match way {
            Way::Unix(peer) => return Ok(self.peer(peer)),
            Way::Tcp(address) => address,
        };
        match token(headers)? {
            Some(token) => self.tokens.recognise(token, Timestamp::now()).ok_or_else(|| {
                refusal(ProblemKind::Unauthorized, "let you in: the token is not known here, or has expired")
            }),
            None if compat && self.loopback == Access::Open && address.ip().to_canonical().is_loopback() => {
                Ok(Caller { role: Role::Operate, who: Who::Loopback })
            }
            None => {
                Err(Box::new(problem(ProblemKind::Unauthorized, "let you in: the request has no token").with_hint(
                    "send `Authorization: Bearer TOKEN`; hyperctl does by itself for the users of the group",
                )))
            }
        }
    }

    /// Root and the daemon's own user could do all of it without asking; others could open the socket.
    fn peer(&self, peer: &Peer) -> Caller {
        let role = if peer.uid == 0 || peer.uid == self.own_uid { Role::Admin } else { Role::Operate };
        Caller { role, who: Who::Peer { uid: peer.uid, gid: peer.gid, groups: peer.groups.clone() } }
    }
}

/// Returns the one token of a request.
fn token(headers: &HeaderMap) -> Result<Option<&str>, Box<Problem>> {
    let unreadable = || refusal(ProblemKind::Unauthorized, "let you in: the token has characters that none has");
    let mut tokens = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| unreadable())?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refusal(ProblemKind::Unauthorized, "let you in: the scheme is not Bearer"));
        }
        tokens.push(token.trim());
    }
    for value in headers.get_all(API_KEY) {
        tokens.push(value.to_str().map_err(|_| unreadable())?.trim());
    }
    tokens.dedup();
    match tokens[..] {
        [] => Ok(None),
        [token] => Ok(Some(token)),
        _ => Err(refusal(ProblemKind::Unauthorized, "let you in: the request has several tokens")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_token_is_read_from_either_header_and_only_one_is_taken() {
        for (pairs, expected) in [
            (&[][..], Ok(None)),
            (&[("authorization", "Bearer t")], Ok(Some("t"))),
            (&[("authorization", "bearer  t ")], Ok(Some("t"))),
            (&[("x-api-key", "t")], Ok(Some("t"))),
            (&[("authorization", "Bearer t"), ("x-api-key", "t")], Ok(Some("t"))),
            (&[("authorization", "Bearer t"), ("x-api-key", "u")], Err(())),
            (&[("authorization", "Bearer t"), ("authorization", "Bearer u")], Err(())),
            (&[("authorization", "Basic dTpw")], Err(())),
            (&[("authorization", "t")], Err(())),
            (&[("authorization", "Bearer")], Ok(Some(""))),
        ] {
            let headers = headers(pairs);
            assert_eq!(token(&headers).map_err(|_| ()), expected, "{pairs:?}");
        }
    }
}
