//! Starts and stops one simulated vCenter.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::connection::ListenerId;
use crate::control;
use crate::datastore::Datastores;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Exports;
use crate::faults::rule::Names;
use crate::faults::{Faults, Options, Settings};
use crate::folder::Tickets;
use crate::inventory::{Inventory, Personality};
use crate::line::{Lines, VCENTER};
use crate::server::{self, bind};
use crate::soap::Soap;
use crate::stats::Stats;
use crate::tls::Identity;
use crate::world::{Addresses, HostAddress, World};

/// A running simulator. It stops when it is dropped, told to, or asked to at its control endpoint.
#[derive(Debug)]
pub struct Simulator {
    world: Arc<World>,
    identity: Identity,
    control: SocketAddr,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Simulator {
    /// Listens, and serves an inventory on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// `Inventory` when a disk's content is missing, `Listen` when an address is not loopback without
    /// [`Options::allow_remote`] or is taken, `Certificate`.
    pub async fn start(inventory: Inventory, options: Options) -> Result<Self> {
        check_address(options.listen, options.allow_remote)?;
        check_address(options.control, options.allow_remote)?;
        inventory.validate()?;
        let exports = Exports::new(&inventory)?;
        let (control_listener, control) = bind(options.control, "the control endpoint").await?;
        let (vcenter_listener, vcenter) = bind(options.listen, "the vCenter").await?;
        let identity = Identity::self_signed(&vcenter_names(&options))?;
        let (hosts, host_listeners) = match inventory.vcenter.personality {
            Personality::VCenter => bind_hosts(&inventory, &options).await?,
            Personality::Esxi => (vec![lone_host(&inventory, &options, vcenter, &identity)], Vec::new()),
        };
        let settings = options.settings.clone().unwrap_or_else(|| inventory.faults.clone());
        let soap = Soap::new(&inventory, &options);
        let world = Arc::new(World {
            datastores: Datastores::new(&inventory, &soap.homes()),
            tickets: Tickets::default(),
            stats: Stats::new(hosts.iter().map(|host| host.name.as_str())),
            faults: faults(&inventory, &options, settings)?,
            lines: Lines::new(hosts.iter().map(|host| host.name.as_str())),
            exports,
            addresses: Addresses {
                vcenter,
                vcenter_sha1_thumbprint: identity.sha1_thumbprint(),
                vcenter_sha256_thumbprint: identity.sha256_thumbprint(),
                hosts,
            },
            soap,
            inventory,
            options,
        });
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        listeners.spawn(control::serve(control_listener, Arc::clone(&world), stop.clone()));
        let tls = TlsAcceptor::from(identity.server_config()?);
        let id = ListenerId::VCenter;
        listeners.spawn(server::serve(vcenter_listener, tls, Arc::clone(&world), id, stopped.clone()));
        for (index, (listener, tls)) in host_listeners.into_iter().enumerate() {
            let id = ListenerId::Host(index);
            listeners.spawn(server::serve(listener, tls, Arc::clone(&world), id, stopped.clone()));
        }
        Ok(Self { world, identity, control, stop, listeners })
    }

    /// Returns the URL of the vCenter's API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/sdk", self.world.addresses.vcenter)
    }

    /// Returns the URL of the control endpoint, without a slash at its end.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Returns everything behind the listeners, to look at it and to change faults.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Returns the vCenter's certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        self.identity.pem()
    }

    /// Returns the SHA-1 thumbprint of the vCenter's certificate.
    #[must_use]
    pub fn sha1_thumbprint(&self) -> String {
        self.identity.sha1_thumbprint()
    }

    /// Returns the SHA-256 thumbprint of the vCenter's certificate.
    #[must_use]
    pub fn sha256_thumbprint(&self) -> String {
        self.identity.sha256_thumbprint()
    }

    /// Stops: requests have half a second to end, then their connections are closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
    }

    /// Waits until somebody asks for the stop at the control endpoint, and stops.
    pub async fn stopped(&mut self) {
        while self.listeners.join_next().await.is_some() {}
    }
}

/// Starts the faults with the rules of the inventory and those of the options.
fn faults(inventory: &Inventory, options: &Options, settings: Settings) -> Result<Faults> {
    let all = || inventory.datacenters.iter();
    let hosts = all().flat_map(|datacenter| datacenter.hosts.iter().cloned());
    let names = Names {
        listeners: std::iter::once(VCENTER.to_owned()).chain(hosts).collect(),
        datastores: all().flat_map(|datacenter| datacenter.datastores.iter().cloned()).collect(),
    };
    let faults = Faults::with_names(settings, names);
    let rules = inventory.rules.iter().chain(&options.rules).cloned().collect();
    faults.add_rules(rules).map_err(|why| Error::new(ErrorKind::Inventory, why))?;
    Ok(faults)
}

fn check_address(addr: SocketAddr, allow_remote: bool) -> Result<()> {
    if addr.ip().is_loopback() || allow_remote {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Listen, format!("{addr} is not a loopback address, and remote clients are not allowed")))
}

async fn bind_hosts(
    inventory: &Inventory,
    options: &Options,
) -> Result<(Vec<HostAddress>, Vec<(TcpListener, TlsAcceptor)>)> {
    let mut addresses = Vec::new();
    let mut listeners = Vec::new();
    for name in inventory.datacenters.iter().flat_map(|datacenter| &datacenter.hosts) {
        let any_port = SocketAddr::new(options.listen.ip(), 0);
        let (listener, addr) = bind(any_port, &format!("host {name}")).await?;
        let identity = Identity::self_signed(&host_names(name, options))?;
        let url_name = match &options.url_name {
            Some(url_name) => format!("{url_name}:{}", addr.port()),
            None => addr.to_string(),
        };
        listeners.push((listener, TlsAcceptor::from(identity.server_config()?)));
        addresses.push(HostAddress {
            name: name.clone(),
            addr,
            sha1_thumbprint: identity.sha1_thumbprint(),
            sha256_thumbprint: identity.sha256_thumbprint(),
            url_name,
        });
    }
    Ok((addresses, listeners))
}

/// A host without a vCenter has one listener, for everything; its leases say `*` for "where you called me".
fn lone_host(inventory: &Inventory, options: &Options, addr: SocketAddr, identity: &Identity) -> HostAddress {
    let mut names = inventory.datacenters.iter().flat_map(|datacenter| &datacenter.hosts);
    HostAddress {
        name: names.next().cloned().unwrap_or_default(),
        addr,
        sha1_thumbprint: identity.sha1_thumbprint(),
        sha256_thumbprint: identity.sha256_thumbprint(),
        url_name: options.url_name.as_ref().map_or_else(|| "*".to_owned(), |name| format!("{name}:{}", addr.port())),
    }
}

impl World {
    /// Returns the names in the certificate of a listener.
    pub(crate) fn certificate_names(&self, listener: ListenerId) -> Vec<String> {
        match listener {
            ListenerId::VCenter => vcenter_names(&self.options),
            ListenerId::Host(index) => host_names(&self.addresses.hosts[index].name, &self.options),
        }
    }
}

fn vcenter_names(options: &Options) -> Vec<String> {
    options.vcenter_certificate_names.clone().unwrap_or_else(|| local_names(options))
}

fn host_names(host: &str, options: &Options) -> Vec<String> {
    options.host_certificate_names.clone().unwrap_or_else(|| {
        let mut names = vec![host.to_owned()];
        names.extend(local_names(options));
        names
    })
}

/// The names by which a client on this machine, or at the address that was chosen, finds a listener.
fn local_names(options: &Options) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let ip = options.listen.ip().to_string();
    names.extend(options.url_name.clone());
    names.push(ip);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}
