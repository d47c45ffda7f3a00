//! Where a daemon listens.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{Method, Uri, header, request};

use super::error::{Error, ErrorKind};

/// The port of an `http` address that names none.
const HTTP_PORT: u16 = 80;

/// The `Host` of a request over a Unix socket: the daemon compares it by name (contract B.1).
const SOCKET_HOST: &str = "localhost";

/// An address of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// Host and port, spoken to without TLS.
    Http {
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl Endpoint {
    /// Makes the endpoint of a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(path.into())
    }

    /// Reads `http://host:port` or `unix:///path`; trailing slashes are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for every other form. The address is not repeated: it may hold credentials
    /// that somebody put there by mistake.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::Usage, format!("read the daemon's address: {why}")));
        if let Some(path) = address.strip_prefix("unix://") {
            let path = Path::new(path.trim_end_matches('/'));
            return if path.is_absolute() { Ok(Self::unix(path)) } else { refuse("the socket's path is not absolute") };
        }
        let Ok(uri) = address.trim_end_matches('/').parse::<Uri>() else {
            return refuse("it is neither http://host:port nor unix:///path");
        };
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return refuse("https is not built yet"),
            Some(_) | None => return refuse("it is neither http://host:port nor unix:///path"),
        }
        if uri.path_and_query().is_some_and(|tail| tail.as_str() != "/") {
            return refuse("it has a path or a query");
        }
        let Some(authority) = uri.authority() else { return refuse("it names no host") };
        if authority.as_str().contains('@') {
            return refuse("it holds credentials");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return refuse("it names no host");
        }
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, digits)) if !digits.ends_with(']') => match digits.parse() {
                Ok(port) => port,
                Err(_) => return refuse("its port is no number up to 65535"),
            },
            Some(_) | None => HTTP_PORT,
        };
        Ok(Self::Http { host: host.to_owned(), port })
    }

    /// Begins a request for `path` with the right `Host`.
    pub(super) fn request(&self, method: Method, path: &str) -> request::Builder {
        let host = match self {
            Self::Unix(_) => SOCKET_HOST.to_owned(),
            Self::Http { host, port } => authority(host, *port),
        };
        http::Request::builder().method(method).uri(path).header(header::HOST, host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Http { host, port } => write!(f, "http://{}", authority(host, *port)),
        }
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_contract_are_read() {
        let http = |host: &str, port| Endpoint::Http { host: host.to_owned(), port };
        for (address, expected) in [
            ("http://localhost:8080", http("localhost", 8080)),
            ("http://localhost:8080/", http("localhost", 8080)),
            ("http://daemon", http("daemon", 80)),
            ("http://[::1]:8080", http("::1", 8080)),
            ("http://[::1]", http("::1", 80)),
            ("unix:///run/hypervisord/socket", Endpoint::unix("/run/hypervisord/socket")),
            ("unix:///run/hypervisord/socket/", Endpoint::unix("/run/hypervisord/socket")),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap(), expected, "{address}");
        }
    }

    #[test]
    fn other_forms_are_refused_without_repeating_them() {
        for address in [
            "",
            "localhost:8080",
            "ftp://x",
            "https://x",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:99999",
            "http://u:secret@a",
            "http://a/path",
            "http://a?q=secret",
            "unix://relative",
            "unix:///",
        ] {
            let error = Endpoint::parse(address).expect_err(address);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn display_is_the_form_that_parse_reads() {
        for address in ["http://localhost:8080", "http://[::1]:8080", "unix:///run/x"] {
            assert_eq!(Endpoint::parse(address).unwrap().to_string(), address);
        }
    }
}
