//! What is fixed when a simulator starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Rule, Settings};

/// What is fixed when a simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the vCenter's listener; hosts listen on the same IP address with ports of their own.
    pub listen: SocketAddr,
    /// Address of the control endpoint.
    pub control: SocketAddr,
    /// Allows addresses that are not loopback.
    pub allow_remote: bool,
    /// Relaxes the decoder of requests: order, unknown elements and missing types are forgiven.
    pub lenient: bool,
    /// Name (without port) of hosts in URLs; their IP address by default.
    pub url_name: Option<String>,
    /// Names in the hosts' certificates; by default the host's name, `localhost` and the loopback addresses.
    pub host_certificate_names: Option<Vec<String>>,
    /// Names in the vCenter's certificate; by default `localhost` and the loopback addresses.
    pub vcenter_certificate_names: Option<Vec<String>>,
    /// Switches and faults at the start; by default those of the inventory.
    pub settings: Option<Settings>,
    /// Rules at the start, asked after those of the inventory.
    pub rules: Vec<Rule>,
}

impl Default for Options {
    fn default() -> Self {
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            listen: any_port,
            control: any_port,
            allow_remote: false,
            lenient: false,
            url_name: None,
            host_certificate_names: None,
            vcenter_certificate_names: None,
            settings: None,
            rules: Vec::new(),
        }
    }
}
