//! Reads a server's URL the way govc does.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Where a server listens, without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// True for `https`.
    pub tls: bool,
    /// Name or address, lower case; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path of the SOAP endpoint, usually `/sdk`.
    pub path: String,
}

/// A URL with the credentials that stood in it.
pub(crate) struct Parsed {
    pub(crate) url: ServerUrl,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl ServerUrl {
    /// Reads `[scheme://][user[:password]@]host[:port][/path]`; the scheme is https unless given.
    ///
    /// The error says what is wrong without repeating the text.
    pub(crate) fn parse(text: &str) -> Result<Parsed, &'static str> {
        if text.contains(|c: char| c.is_control() || matches!(c, ' ' | '\\' | '^')) {
            return Err("it holds a blank or a character that no URL has");
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && scheme.chars().all(is_word) => (scheme, rest),
            _ => ("https", text),
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("its scheme is neither https nor http"),
        };
        // Credentials may hold slashes only percent-encoded, so the first one ends the authority.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let (username, password) = account(credentials)?;
        let (host, port) = address_of(address, if tls { 443 } else { 80 })?;
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = if path.is_empty() { "/sdk" } else { path }.to_owned();
        Ok(Parsed { url: Self { tls, host, port, path }, username, password })
    }

    /// Returns `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns the URL of `path` on this server.
    pub fn join(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// Returns true for `localhost` and loopback addresses, which no proxy is asked for.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.join(""))
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn account(credentials: Option<&str>) -> Result<(Option<String>, Option<String>), &'static str> {
    let Some(credentials) = credentials else { return Ok((None, None)) };
    let (username, password) = match credentials.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (credentials, None),
    };
    Ok((Some(decode(username)?), password.map(decode).transpose()?))
}

fn decode(text: &str) -> Result<String, &'static str> {
    let bad = "its user or password has a percent sign that starts no escape";
    let escapes_are_whole = text
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !escapes_are_whole {
        return Err(bad);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "its user or password is not UTF-8")?;
    Ok(decoded.into_owned())
}

fn address_of(address: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("its address has no closing bracket")?;
            (
                host,
                rest.strip_prefix(':')
                    .or_else(|| rest.is_empty().then_some(""))
                    .ok_or("something follows its bracket")?,
            )
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    let port = match port {
        "" => default_port,
        digits => digits.parse().map_err(|_| "its port is no number (an IPv6 address needs brackets)")?,
    };
    Ok((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let parsed = ServerUrl::parse(text).map_err(str::to_owned).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        let url = &parsed.url;
        let part = |part: Option<String>| part.unwrap_or_else(|| "-".into());
        format!("{} {} {}", url.join(&url.path), part(parsed.username), part(parsed.password))
    }

    #[test]
    fn every_form_that_govc_takes_is_taken() {
        let cases = [
            ("vc", "https://vc:443/sdk - -"),
            ("vc/", "https://vc:443/sdk - -"),
            ("vc:8443", "https://vc:8443/sdk - -"),
            ("https://vc", "https://vc:443/sdk - -"),
            ("https://vc/sdk/", "https://vc:443/sdk - -"),
            ("https://vc/other", "https://vc:443/other - -"),
            ("http://vc:8989", "http://vc:8989/sdk - -"),
            ("HTTPS://vc", "https://vc:443/sdk - -"),
            ("[::1]:8989", "https://[::1]:8989/sdk - -"),
            ("user:pass@vc", "https://vc:443/sdk user pass"),
            ("administrator@vsphere.local:pw@vc", "https://vc:443/sdk administrator@vsphere.local pw"),
            ("u:p%40%2f@vc/sdk?x=1#y", "https://vc:443/sdk u p@/"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_govc_refuses_is_refused() {
        for text in ["\\", "^", " ", "#", "/", "?", "u:%zz@vc", "u:%4@vc", "vc:port", " vc", "::1", "ftp://vc", "[::1"]
        {
            assert!(ServerUrl::parse(text).is_err(), "{text}");
        }
    }
}
