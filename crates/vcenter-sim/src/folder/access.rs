//! Who may read: sessions and accounts at the server that has them, tickets at hosts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use super::ticket::{Refusal, Ticket};
use crate::connection::{Connection, ListenerId};
use crate::faults::rule::privilege::needed_by_path;
use crate::inventory::Account;
use crate::reply::{Reply, text};

/// Name of the cookie that carries a ticket.
const TICKET_COOKIE: &str = "vmware_cgi_ticket";

const REALM: HeaderValue = HeaderValue::from_static("Basic realm=\"VMware HTTP server\"");

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied<'a> {
    /// It brings nothing, or nothing that is known here.
    Unknown,
    /// Its ticket is for another request.
    Elsewhere,
    /// The account lacks this privilege.
    Lacks(&'a str),
}

impl Denied<'_> {
    /// Returns the answer.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Unknown => {
                let mut reply = text(StatusCode::UNAUTHORIZED, "log in, or bring a ticket\n");
                reply.headers_mut().insert(WWW_AUTHENTICATE, REALM);
                reply
            }
            Self::Elsewhere => text(StatusCode::FORBIDDEN, "the ticket is for another request\n"),
            Self::Lacks(privilege) => text(StatusCode::FORBIDDEN, format!("permission denied: {privilege}\n")),
        }
    }
}

/// Lets a request pass or says why not.
pub(super) fn check<'a>(
    connection: &'a Connection,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Denied<'a>> {
    match connection.listener {
        ListenerId::VCenter => check_server(connection, uri.path(), headers),
        ListenerId::Host(host) => check_host(connection, host, method, uri, headers),
    }
}

fn check_server<'a>(connection: &'a Connection, path: &str, headers: &HeaderMap) -> Result<(), Denied<'a>> {
    let world = &connection.world;
    let cookie = headers.get(COOKIE).and_then(|cookie| cookie.to_str().ok());
    let account = &world.inventory.vcenter;
    if world.soap.session_valid(cookie) || is_account(headers, &account.username, &account.password) {
        return check_privileges(connection, path);
    }
    Err(Denied::Unknown)
}

/// Refuses what needs a privilege that the server's account lacks.
fn check_privileges<'a>(connection: &'a Connection, path: &str) -> Result<(), Denied<'a>> {
    let denied = &connection.world.inventory.vcenter.denied_privileges;
    match denied.iter().find(|privilege| needed_by_path(privilege, path)) {
        Some(privilege) => Err(Denied::Lacks(privilege)),
        None => Ok(()),
    }
}

fn check_host<'a>(
    connection: &'a Connection,
    host: usize,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Denied<'a>> {
    let world = &connection.world;
    if is_own_account(world.inventory.host_account.as_ref(), headers) {
        return Ok(());
    }
    let Some(ticket) = pairs(headers).find(|(name, _)| *name == TICKET_COOKIE).map(|(_, value)| value) else {
        return Err(Denied::Unknown);
    };
    let target = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    match world.tickets.redeem(ticket, &Ticket { method: method.clone(), host, target }) {
        Ok(()) => {
            world.stats.tickets_used.increment();
            // Whoever brings a ticket stands for the server's account, which has asked for it.
            check_privileges(connection, uri.path())
        }
        Err(Refusal::Unknown) => Err(Denied::Unknown),
        Err(Refusal::Elsewhere) => Err(Denied::Elsewhere),
    }
}

/// Counts a request that brought credentials to a host which the host has not given out: all but tickets
/// and the host's own account.
pub(crate) fn note_leaked_credentials(connection: &Connection, headers: &HeaderMap) {
    if connection.listener == ListenerId::VCenter {
        return;
    }
    let cookie = pairs(headers).any(|(name, _)| name != TICKET_COOKIE);
    let own = is_own_account(connection.world.inventory.host_account.as_ref(), headers);
    if cookie || headers.contains_key(AUTHORIZATION) && !own {
        connection.world.stats.credentials_leaked_to_host.increment();
    }
}

fn is_own_account(account: Option<&Account>, headers: &HeaderMap) -> bool {
    account.is_some_and(|account| is_account(headers, &account.username, &account.password))
}

/// Returns whether the `Authorization` header names an account.
fn is_account(headers: &HeaderMap, username: &str, password: &str) -> bool {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, given)) = header.split_once(' ') else { return false };
    let given = BASE64.decode(given.trim()).unwrap_or_default();
    scheme.eq_ignore_ascii_case("basic") && given == format!("{username}:{password}").into_bytes()
}

/// Returns the pairs of all cookies, values without quotes.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let texts = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (name, value.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_taken_apart_with_and_without_quotes() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=\"1\"; vmware_cgi_ticket=52-x;b"));
        headers.append(COOKIE, HeaderValue::from_static("c=3"));
        assert_eq!(pairs(&headers).collect::<Vec<_>>(), [("a", "1"), (TICKET_COOKIE, "52-x"), ("b", ""), ("c", "3")]);
    }

    #[test]
    fn an_account_is_its_name_and_its_password() {
        let header = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            headers
        };
        // root:a:b
        assert!(is_account(&header("Basic cm9vdDphOmI="), "root", "a:b"));
        assert!(is_account(&header("basic cm9vdDphOmI="), "root", "a:b"));
        for wrong in ["Basic cm9vdDph", "Bearer cm9vdDphOmI=", "cm9vdDphOmI=", "Basic ***"] {
            assert!(!is_account(&header(wrong), "root", "a:b"), "{wrong}");
        }
        assert!(!is_account(&HeaderMap::new(), "", ""));
    }
}
