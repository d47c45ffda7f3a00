//! `AcquireGenericServiceTicket`: lets whoever is logged in here read one file from a host.

use http::Method;
use vsphere::wire::Secret;
use vsphere::wire::generated::{
    AcquireGenericServiceTicket, AnySessionManagerServiceRequestSpec, SessionManagerGenericServiceTicket,
    VirtualMachineCertThumbprint,
};

use super::call::Call;
use super::fault::{self, Outcome};
use crate::faults::Settings;
use crate::folder::{self, Ticket};
use crate::world::HostAddress;

/// The methods of the API and of HTTP.
const METHODS: [(&str, Method); 8] = [
    ("httpGet", Method::GET),
    ("httpHead", Method::HEAD),
    ("httpOptions", Method::OPTIONS),
    ("httpPost", Method::POST),
    ("httpPut", Method::PUT),
    ("httpDelete", Method::DELETE),
    ("httpTrace", Method::TRACE),
    ("httpConnect", Method::CONNECT),
];

/// `AcquireGenericServiceTicket`.
pub(crate) fn acquire(
    call: &Call<'_>,
    request: AcquireGenericServiceTicket,
) -> Outcome<SessionManagerGenericServiceTicket> {
    use AnySessionManagerServiceRequestSpec as Spec;
    let Spec::SessionManagerHttpServiceRequestSpec(spec) = &request.spec else {
        return Err(fault::invalid_argument("spec", "it is no request of HTTP"));
    };
    let named = spec.method.as_deref().unwrap_or("httpGet");
    let method = METHODS.into_iter().find(|(name, _)| *name == named).map(|(_, method)| method);
    let method = method.ok_or_else(|| fault::invalid_argument("spec.method", named))?;
    let wrong = |why: &str| fault::invalid_argument("spec.url", why);
    let rest = spec.url.strip_prefix("https://").ok_or_else(|| wrong("it does not begin with https://"))?;
    let (authority, target) = rest.split_at(rest.find('/').ok_or_else(|| wrong("it has no path"))?);
    if !folder::is_here(target.split('?').next().unwrap_or_default()) {
        return Err(wrong("it is not below /folder"));
    }
    let world = call.world;
    let hosts = &world.addresses.hosts;
    let host = hosts.iter().position(|host| is_named(host, authority)).ok_or_else(|| wrong("it names no host"))?;
    let ticket = world.tickets.issue(Ticket { method, host, target: target.to_owned() });
    world.stats.tickets_issued.increment();
    let settings = Settings { star_host: false, ..(*world.faults.now()).clone() };
    let host = &hosts[host];
    let endpoint = world.addresses.lease_endpoint(&host.name, &settings);
    let thumbprint = |hash: &str, thumbprint: &str| VirtualMachineCertThumbprint {
        thumbprint: thumbprint.to_owned(),
        hash_algorithm: Some(hash.to_owned()),
    };
    Ok(SessionManagerGenericServiceTicket {
        id: Secret(ticket),
        // A host without a vCenter is where the caller is already.
        host_name: Some(if host.url_name == "*" { host.addr.to_string() } else { host.url_name.clone() }),
        ssl_thumbprint: endpoint.map(|endpoint| endpoint.ssl_thumbprint),
        cert_thumbprint_list: vec![
            thumbprint("sha1", &host.sha1_thumbprint),
            thumbprint("sha256", &host.sha256_thumbprint),
        ],
        ticket_type: Some("HostServiceTicket".to_owned()),
        ..SessionManagerGenericServiceTicket::default()
    })
}

/// Returns whether the authority of a URL means a host: by its name in the inventory, or by where it listens.
fn is_named(host: &HostAddress, authority: &str) -> bool {
    let name = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(authority, |(n, _)| n);
    name == host.name || authority == host.url_name || authority == host.addr.to_string()
}
