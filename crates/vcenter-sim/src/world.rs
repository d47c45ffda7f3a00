//! All that the parts of one simulated vCenter share.
//!
//! A [`World`] is built once, before the first connection is accepted, and lives in an `Arc`. Its
//! parts do their own locking and none of them holds a lock while it waits.

use std::net::SocketAddr;

use crate::datastore::Datastores;
use crate::export::Exports;
use crate::faults::{Faults, HashName, Options, Settings, ThumbprintKind};
use crate::folder::Tickets;
use crate::inventory::Inventory;
use crate::line::Lines;
use crate::soap::Soap;
use crate::stats::Stats;

/// One simulated vCenter with its hosts.
#[derive(Debug)]
pub struct World {
    /// What exists.
    pub inventory: Inventory,
    /// What was fixed at the start.
    pub options: Options,
    /// What was seen so far.
    pub stats: Stats,
    /// What goes wrong on purpose; may change while the simulator runs.
    pub faults: Faults,
    /// The files of all leases.
    pub exports: Exports,
    /// The files of all datastores.
    pub(crate) datastores: Datastores,
    /// Tickets for one of these files each.
    pub(crate) tickets: Tickets,
    /// Where everything listens.
    pub addresses: Addresses,
    /// Everything behind `/sdk`.
    pub soap: Soap,
    /// What the connections of each listener share.
    pub lines: Lines,
}

/// Where the simulator listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The vCenter's listener.
    pub vcenter: SocketAddr,
    /// SHA-1 of the vCenter's certificate: upper-case pairs joined by colons.
    pub vcenter_sha1_thumbprint: String,
    /// SHA-256 of the vCenter's certificate.
    pub vcenter_sha256_thumbprint: String,
    /// One for each host of the inventory, in the order of datacenters and of hosts within them.
    pub hosts: Vec<HostAddress>,
}

/// One ESXi host's listener and certificate.
#[derive(Clone, Debug)]
pub struct HostAddress {
    /// Name of the host in the inventory.
    pub name: String,
    /// Its listener.
    pub addr: SocketAddr,
    /// SHA-1 of its certificate: upper-case pairs joined by colons.
    pub sha1_thumbprint: String,
    /// SHA-256 of its certificate.
    pub sha256_thumbprint: String,
    /// `NAME:PORT` to be used in URLs; `*` on a host without a vCenter.
    pub url_name: String,
}

/// Where a lease sends its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseEndpoint {
    /// What stands between `https://` and the path: `NAME:PORT`, or `*` for "where you called me".
    pub authority: String,
    /// `sslThumbprint`: the truth, a lie, or nothing.
    pub ssl_thumbprint: String,
}

impl Addresses {
    /// Returns the listener of a host of the inventory, by its name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&HostAddress> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// Returns where a lease of a VM on this host sends its client, as the settings have it.
    #[must_use]
    pub fn lease_endpoint(&self, host: &str, settings: &Settings) -> Option<LeaseEndpoint> {
        let (authority, sha1, sha256) = if settings.star_host {
            ("*", &self.vcenter_sha1_thumbprint, &self.vcenter_sha256_thumbprint)
        } else {
            let host = self.host(host)?;
            (host.url_name.as_str(), &host.sha1_thumbprint, &host.sha256_thumbprint)
        };
        let right = match settings.thumbprint_hash {
            HashName::Sha1 => sha1,
            HashName::Sha256 => sha256,
        };
        let ssl_thumbprint = match settings.host_thumbprint {
            ThumbprintKind::Right => right.clone(),
            ThumbprintKind::Empty => String::new(),
            ThumbprintKind::Wrong => right.chars().map(opposite).collect(),
        };
        Some(LeaseEndpoint { authority: authority.to_owned(), ssl_thumbprint })
    }
}

/// Exchanges a hexadecimal digit for its opposite, so that a thumbprint keeps its form.
fn opposite(c: char) -> char {
    let digit = c.to_digit(16).and_then(|digit| char::from_digit(15 - digit, 16));
    digit.map_or(c, |digit| digit.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_tells_where_to_go_and_whom_to_trust_as_it_is_told() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 443));
        let host = HostAddress {
            name: "esx1".to_owned(),
            addr,
            sha1_thumbprint: "0A:F5:99".to_owned(),
            sha256_thumbprint: "FF".to_owned(),
            url_name: "localhost:443".to_owned(),
        };
        let addresses = Addresses {
            vcenter: addr,
            vcenter_sha1_thumbprint: "AA".to_owned(),
            vcenter_sha256_thumbprint: "BB".to_owned(),
            hosts: vec![host],
        };
        let mut settings = Settings::default();
        let mut told = |change: &dyn Fn(&mut Settings)| {
            change(&mut settings);
            let endpoint = addresses.lease_endpoint("esx1", &settings).unwrap();
            (endpoint.authority, endpoint.ssl_thumbprint)
        };
        let pair = |authority: &str, thumbprint: &str| (authority.to_owned(), thumbprint.to_owned());
        assert_eq!(told(&|_| {}), pair("localhost:443", "0A:F5:99"));
        assert_eq!(told(&|s| s.host_thumbprint = ThumbprintKind::Wrong), pair("localhost:443", "F5:0A:66"));
        assert_eq!(told(&|s| s.host_thumbprint = ThumbprintKind::Empty), pair("localhost:443", ""));
        assert_eq!(told(&|s| s.host_thumbprint = ThumbprintKind::Right), pair("localhost:443", "0A:F5:99"));
        assert_eq!(told(&|s| s.thumbprint_hash = HashName::Sha256), pair("localhost:443", "FF"));
        assert_eq!(told(&|s| s.star_host = true), pair("*", "BB"));
        assert_eq!(addresses.lease_endpoint("esx9", &Settings::default()), None);
    }
}
