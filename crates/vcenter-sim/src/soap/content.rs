//! What a server says about itself, and logging in and out.

use vsphere::wire::generated::{
    AboutInfo, CurrentTime, Logout, RetrieveServiceContent, ServiceContent, SessionIsActive,
};
use vsphere::wire::{DateTime, MoRef};

use super::call::Call;
use super::clock::civil_now;
use super::fault::{self, Outcome};

/// The collector that every session has from the start.
pub(crate) const COLLECTOR: &str = "propertyCollector";

/// Objects that are there without an inventory: type and id.
pub(crate) const SERVICES: [(&str, &str); 6] = [
    ("ServiceInstance", "ServiceInstance"),
    ("PropertyCollector", COLLECTOR),
    ("ViewManager", "ViewManager"),
    ("SessionManager", "SessionManager"),
    ("SearchIndex", "SearchIndex"),
    ("OvfManager", "OvfManager"),
];

/// `RetrieveServiceContent`.
pub(crate) fn retrieve(call: &Call<'_>, _request: RetrieveServiceContent) -> Outcome<ServiceContent> {
    Ok(content(call))
}

/// Returns the well-known objects.
pub(crate) fn content(call: &Call<'_>) -> ServiceContent {
    let service = |kind: &str, id: &str| MoRef::new(kind, id);
    let version = call.soap.versions.newest().to_string();
    ServiceContent {
        root_folder: call.model().moref(call.model().root()),
        property_collector: service("PropertyCollector", COLLECTOR),
        view_manager: Some(service("ViewManager", "ViewManager")),
        session_manager: Some(service("SessionManager", "SessionManager")),
        search_index: Some(service("SearchIndex", "SearchIndex")),
        ovf_manager: Some(service("OvfManager", "OvfManager")),
        about: AboutInfo {
            name: "vcenter-sim".to_owned(),
            full_name: format!("vcenter-sim {} (simulated vCenter Server)", env!("CARGO_PKG_VERSION")),
            vendor: "hyper2kvm".to_owned(),
            version: version.split('.').take(3).collect::<Vec<_>>().join("."),
            build: "0".to_owned(),
            os_type: "linux-x64".to_owned(),
            product_line_id: "vpx".to_owned(),
            api_type: "VirtualCenter".to_owned(),
            api_version: version,
            instance_uuid: Some(call.world.inventory.vcenter.instance_uuid.clone()),
            ..AboutInfo::default()
        },
        ..ServiceContent::default()
    }
}

/// `CurrentTime`.
pub(crate) fn current_time(_call: &Call<'_>, _request: CurrentTime) -> Outcome<DateTime> {
    Ok(civil_now())
}

/// `SessionIsActive`.
pub(crate) fn is_active(call: &Call<'_>, request: SessionIsActive) -> Outcome<bool> {
    Ok(call.lock().sessions.is_open(&request.session_id))
}

/// `Logout`.
pub(crate) fn logout(call: &Call<'_>, request: Logout) -> Outcome<()> {
    let session = call.session(&request.this)?;
    let dead = {
        let mut state = call.lock();
        if !state.sessions.close(session) {
            return Err(fault::not_authenticated(&request.this));
        }
        state.end_session(session)
    };
    dead.iter().for_each(|lease| call.world.exports.close(lease));
    call.soap.tell();
    Ok(())
}
