//! Which vCenter a request means.
//!
//! The daemon has one source and one login for it. A request that names this source is welcome; one that names
//! another must not get the configured login, and one that brings a login of its own would have to be done with
//! that login, which is not built.

/// What a request says about its vCenter.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Addresses in any form, without users; empty ones mean nothing.
    pub addresses: Vec<&'a str>,
    /// True when a user or a password came with the request.
    pub has_login: bool,
}

impl Wanted<'_> {
    /// Checks that the `configured` source (scheme, host and port) is meant.
    ///
    /// # Errors
    /// A text that says why it is not.
    pub fn check(&self, configured: &str) -> Result<(), String> {
        if self.has_login {
            return Err("a user or a password of its own for vCenter is not built yet; leave them out to use the \
                        login that the daemon is configured with"
                .to_owned());
        }
        let is_foreign = |address: &&&str| !address.is_empty() && authority(address) != authority(configured);
        match self.addresses.iter().find(is_foreign) {
            Some(address) => Err(format!(
                "it names the server {address}, but brings no login for it; the daemon's own is for {configured} alone"
            )),
            None => Ok(()),
        }
    }
}

/// Returns host and port of an address in any of its forms, so that two can be compared.
fn authority(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest).to_ascii_lowercase();
    let behind_brackets = rest.rfind(']').map_or(0, |at| at + 1);
    if rest[behind_brackets..].contains(':') {
        return rest;
    }
    let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
    format!("{rest}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_one_address_are_the_same() {
        for address in ["vc", "VC:443", "https://vc", "HTTPS://vc/sdk", "https://vc:443/"] {
            assert_eq!(authority(address), "vc:443", "{address}");
        }
        assert_eq!(authority("http://vc"), "vc:80");
        assert_eq!(authority("[::1]"), "[::1]:443");
        assert_eq!(authority("[::1]:8989"), "[::1]:8989");
    }
}
