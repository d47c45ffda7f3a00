//! `Host` and `Origin`: whether the client means this daemon, and whether a foreign web page sends it.
//!
//! A page whose name is made to point at this machine carries its own name in `Host`; a page of
//! another site that posts here carries its own in `Origin`. Neither can be helped by the browser's user.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, Uri, header};
use hyper_api::{Problem, ProblemKind};

use crate::listen::Way;
use crate::problems::refusal;

/// The names that a daemon goes by, in lower case, addresses without brackets.
#[derive(Debug)]
pub(super) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Adds `names` to what every daemon is called.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let always = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let names = always.into_iter().chain([own]).chain(names).filter(|name| !name.is_empty());
        Self(names.map(|name| bare(&name.to_ascii_lowercase()).to_owned()).collect())
    }

    /// Refuses a request that is for somebody else or from a foreign page.
    pub(super) fn check(&self, headers: &HeaderMap, uri: &Uri, way: &Way) -> Result<(), Box<Problem>> {
        let refuse = |kind, why: &str| Err(refusal(kind, format!("take the request: {why}")));
        let Some(host) = single(headers, &header::HOST)? else {
            return refuse(ProblemKind::Usage, "it has no Host");
        };
        // No browser opens a Unix socket, and what clients call it is up to them.
        if matches!(way, Way::Tcp(_)) && !self.knows(host) {
            return refuse(ProblemKind::Forbidden, "its Host is no name of this daemon (listen.hosts adds names)");
        }
        if uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
            return refuse(ProblemKind::Forbidden, "its address and its Host differ");
        }
        match single(headers, &header::ORIGIN)? {
            None => Ok(()),
            // With the port: another server on this machine is another site.
            Some(origin) if site(origin).is_some_and(|site| site.eq_ignore_ascii_case(host)) => Ok(()),
            Some(_) => refuse(ProblemKind::Forbidden, "a page of another site sends it"),
        }
    }

    /// Compares by name, without the port: a forwarded port keeps the name and not the number.
    fn knows(&self, host: &str) -> bool {
        let lower = host.to_ascii_lowercase();
        let name = match lower.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                if port.parse::<u16>().is_err() {
                    return false;
                }
                name
            }
            _ => &lower,
        };
        self.0.contains(bare(name))
    }
}

/// Cuts the brackets of an IPv6 address and the dot behind a full name.
fn bare(name: &str) -> &str {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.strip_suffix('.').unwrap_or(name)
}

/// Returns what stands behind the scheme of an origin.
fn site(origin: &str) -> Option<&str> {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
}

/// Returns the value of a header that stands at most once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Box<Problem>> {
    let wrong = || refusal(ProblemKind::Usage, format!("read the header {name}: it is no text, or stands twice"));
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(|_| wrong())).transpose()?;
    if values.next().is_some() { Err(wrong()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::listen::Peer;

    fn verdict(way: &Way, uri: &str, pairs: &[(HeaderName, &'static str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        let hosts = Hosts::new(["daemon.example.org".to_owned(), "192.0.2.7".to_owned()]);
        hosts.check(&headers, &uri.parse().unwrap(), way).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn the_table_of_hosts_and_origins_holds() {
        use header::{HOST, ORIGIN};
        let tcp = Way::Tcp(([127, 0, 0, 1], 5).into());
        for (uri, pairs, expected) in [
            ("/", &[(HOST, "localhost:8080")][..], 200),
            ("/", &[(HOST, "localhost")], 200),
            ("/", &[(HOST, "LocalHost:1")], 200),
            ("/", &[(HOST, "[::1]:8080")], 200),
            ("/", &[(HOST, "127.0.0.1")], 200),
            ("/", &[(HOST, "192.0.2.7:8080")], 200),
            ("/", &[(HOST, "daemon.example.org.")], 200),
            ("/", &[(HOST, "evil.example.org")], 403),
            ("/", &[(HOST, "localhost.evil.org")], 403),
            ("/", &[(HOST, "evil.org:localhost")], 403),
            ("/", &[(HOST, "localhost:x")], 403),
            ("/", &[(HOST, "")], 403),
            ("/", &[], 400),
            ("/", &[(HOST, "localhost"), (HOST, "localhost")], 400),
            ("http://localhost/", &[(HOST, "localhost")], 200),
            ("http://evil.org/", &[(HOST, "localhost")], 403),
            ("/", &[(HOST, "localhost:8080"), (ORIGIN, "http://localhost:8080")], 200),
            ("/", &[(HOST, "localhost:8080"), (ORIGIN, "http://localhost:3000")], 403),
            ("/", &[(HOST, "localhost:8080"), (ORIGIN, "http://evil.org")], 403),
            ("/", &[(HOST, "localhost:8080"), (ORIGIN, "null")], 403),
            ("/", &[(HOST, "localhost:8080"), (ORIGIN, "")], 403),
        ] {
            assert_eq!(verdict(&tcp, uri, pairs), expected, "{uri} {pairs:?}");
        }
    }

    #[test]
    fn over_the_socket_the_name_is_free_and_a_page_is_not() {
        let unix = Way::Unix(Peer { uid: 1, gid: 1, groups: Vec::new() });
        assert_eq!(verdict(&unix, "/", &[(header::HOST, "whatever")]), 200);
        assert_eq!(verdict(&unix, "/", &[(header::HOST, "x"), (header::ORIGIN, "http://evil.org")]), 403);
    }
}
