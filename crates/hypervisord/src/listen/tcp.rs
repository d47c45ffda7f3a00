//! TCP addresses as people write them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;

/// Listens on every address of `written`.
///
/// # Errors
/// When one makes no sense, or is taken. Only the second family of `localhost` may be missing on a machine.
pub(crate) async fn bind(written: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for text in written {
        let addresses = parse(text)?;
        let first = listeners.len();
        for address in addresses {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if listeners.len() > first && is_missing(&error) => {
                    tracing::info!(%address, "not listening: this machine has no such address family");
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("listen on {address} (listen.tcp or -addr; [] in the configuration for none)")
                    });
                }
            }
        }
    }
    Ok(listeners)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

/// Returns the addresses of `HOST:PORT`. `localhost` is both loopbacks; no host at all is every address.
fn parse(text: &str) -> anyhow::Result<Vec<SocketAddr>> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        bail!("read the address {text:?}: it has no port, such as in 127.0.0.1:8080");
    };
    let port: u16 = port.parse().with_context(|| format!("read the port of {text:?}"))?;
    let hosts: [IpAddr; 2] = match host {
        "localhost" => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        // A socket for all of IPv6 takes IPv4 as well on most machines; one of its own would be refused there.
        "" | "*" => return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]),
        _ => bail!("read the address {text:?}: its host is neither an IP address nor localhost"),
    };
    Ok(hosts.map(|host| SocketAddr::from((host, port))).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_and_older_files_write_them() {
        for (text, expected) in [
            ("127.0.0.1:8080", &["127.0.0.1:8080"][..]),
            ("[::1]:8080", &["[::1]:8080"]),
            ("localhost:8080", &["127.0.0.1:8080", "[::1]:8080"]),
            (":8080", &["0.0.0.0:8080"]),
            ("0.0.0.0:1", &["0.0.0.0:1"]),
        ] {
            let expected: Vec<SocketAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "8080", "localhost", "localhost:", "localhost:99999", "example.org:80", "::1:8080"] {
            parse(text).unwrap_err();
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = held.local_addr().unwrap().to_string();
        let error = bind(std::slice::from_ref(&address)).await.unwrap_err();
        assert!(format!("{error:#}").contains(&address), "{error:#}");
    }
}
