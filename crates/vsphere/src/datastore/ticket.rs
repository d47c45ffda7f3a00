//! Tickets: one lets one request through at one host, without that host's password.

use reqwest::header::HeaderValue;

use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::tls::Thumbprint;
use crate::wire::MoRef;
use crate::wire::generated::{
    AcquireGenericServiceTicket, SessionManagerGenericServiceTicket, SessionManagerHttpServiceRequestSpec,
};

/// The only method that we ever ask for.
const METHOD: &str = "httpGet";

/// A request that is allowed once.
pub(super) struct Ticket {
    pub(super) url: String,
    /// Pin for that URL; it came over the authenticated channel.
    pub(super) thumbprint: Option<Thumbprint>,
    pub(super) cookie: HeaderValue,
}

/// Asks for a ticket for a GET of `path` (with its query) at `host`.
///
/// # Errors
/// What the server says.
pub(super) async fn acquire(session: &Session, host: &MoRef, path: &str) -> Result<Ticket> {
    let name: String = properties::read(session, host, &["name"]).await?.require("name")?;
    let name = bracketed(&name);
    let spec = SessionManagerHttpServiceRequestSpec {
        method: Some(METHOD.to_owned()),
        url: format!("https://{name}{path}"),
        ..SessionManagerHttpServiceRequestSpec::default()
    };
    let this = session.session_manager()?;
    let call = AcquireGenericServiceTicket { this: this.clone(), spec: spec.into() };
    let reply = session.read(&this, &call).await?;
    ticket(&reply, &name, path)
}

fn ticket(reply: &SessionManagerGenericServiceTicket, name: &str, path: &str) -> Result<Ticket> {
    let mut cookie = HeaderValue::from_str(&format!("vmware_cgi_ticket={}", reply.id.0))
        .map_err(|_| Error::new(ErrorKind::Protocol, "use a service ticket: it is no text of a header"))?;
    cookie.set_sensitive(true);
    // The server knows best under which name (and port) the host answers.
    let authority =
        reply.host_name.as_deref().filter(|name| !name.is_empty()).map_or_else(|| name.to_owned(), bracketed);
    let listed = reply.cert_thumbprint_list.iter().map(|certificate| certificate.thumbprint.as_str());
    let thumbprint = reply.ssl_thumbprint.as_deref().into_iter().chain(listed).find_map(Thumbprint::parse);
    Ok(Ticket { url: format!("https://{authority}{path}"), thumbprint, cookie })
}

/// An IPv6 address needs brackets in a URL.
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Secret;
    use crate::wire::generated::VirtualMachineCertThumbprint;

    #[test]
    fn a_ticket_names_the_host_that_the_server_names_and_pins_its_certificate() {
        let sha1 = ["AB"; 20].join(":");
        let mut reply = SessionManagerGenericServiceTicket {
            id: Secret("52c7-secret".into()),
            host_name: Some("esx7.lab:8443".into()),
            ssl_thumbprint: Some(sha1.clone()),
            ..SessionManagerGenericServiceTicket::default()
        };
        let made = ticket(&reply, "esx7", "/folder/x?dsName=d").unwrap();
        assert_eq!(made.url, "https://esx7.lab:8443/folder/x?dsName=d");
        assert_eq!(made.thumbprint, Thumbprint::parse(&sha1));
        assert_eq!(made.cookie, "vmware_cgi_ticket=52c7-secret");
        assert!(!format!("{:?} {reply:?}", made.cookie).contains("52c7-secret"));
        let sha256 = ["CD"; 32].join(":");
        (reply.host_name, reply.ssl_thumbprint) = (None, Some(String::new()));
        reply.cert_thumbprint_list = vec![VirtualMachineCertThumbprint {
            thumbprint: sha256.clone(),
            ..VirtualMachineCertThumbprint::default()
        }];
        let made = ticket(&reply, "esx7", "/folder/x").unwrap();
        assert_eq!((made.url.as_str(), made.thumbprint), ("https://esx7/folder/x", Thumbprint::parse(&sha256)));
    }

    #[test]
    fn an_ipv6_address_gets_brackets_and_a_name_with_a_port_does_not() {
        assert_eq!((bracketed("fe80::1"), bracketed("esx7:443")), ("[fe80::1]".to_owned(), "esx7:443".to_owned()));
    }
}
