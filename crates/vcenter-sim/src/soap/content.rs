//! What a server says about itself, and logging in and out.

use vsphere::wire::DateTime;
use vsphere::wire::generated::{
    AboutInfo, CurrentTime, Logout, RetrieveServiceContent, ServiceContent, SessionIsActive, TerminateSession,
};

use super::call::Call;
use super::clock::civil_now;
use super::fault::{self, Outcome};
use super::service;
use crate::inventory::Personality;

/// `RetrieveServiceContent`.
pub(crate) fn retrieve(call: &Call<'_>, _request: RetrieveServiceContent) -> Outcome<ServiceContent> {
    Ok(content(call))
}

/// Returns the well-known objects and what the server says of itself.
pub(crate) fn content(call: &Call<'_>) -> ServiceContent {
    let personality = call.model().personality();
    let service = |kind: &str| Some(service::moref(personality, kind));
    ServiceContent {
        root_folder: call.model().moref(call.model().root()),
        property_collector: service::moref(personality, "PropertyCollector"),
        view_manager: service("ViewManager"),
        about: about(call),
        setting: service("OptionManager"),
        session_manager: service("SessionManager"),
        authorization_manager: service("AuthorizationManager"),
        task_manager: service("TaskManager"),
        search_index: service("SearchIndex"),
        ovf_manager: service("OvfManager"),
        ..ServiceContent::default()
    }
}

/// Returns what the server is. Wherever a product names itself, this one says that it is simulated.
pub(crate) fn about(call: &Call<'_>) -> AboutInfo {
    let version = call.soap.versions.newest().to_string();
    let (what, os_type, product_line, api_type) = match call.model().personality() {
        Personality::VCenter => ("simulated vCenter Server", "linux-x64", "vpx", "VirtualCenter"),
        Personality::Esxi => ("simulated ESXi host", "vmnix-x86", "embeddedEsx", "HostAgent"),
    };
    let is_vcenter = call.model().personality() == Personality::VCenter;
    AboutInfo {
        name: "vcenter-sim".to_owned(),
        full_name: format!("vcenter-sim {} ({what})", env!("CARGO_PKG_VERSION")),
        vendor: "hyper2kvm".to_owned(),
        version: version.split('.').take(3).collect::<Vec<_>>().join("."),
        build: "0".to_owned(),
        os_type: os_type.to_owned(),
        product_line_id: product_line.to_owned(),
        api_type: api_type.to_owned(),
        api_version: version,
        instance_uuid: is_vcenter.then(|| call.world.inventory.vcenter.instance_uuid.clone()),
        ..AboutInfo::default()
    }
}

/// `CurrentTime`.
pub(crate) fn current_time(_call: &Call<'_>, _request: CurrentTime) -> Outcome<DateTime> {
    Ok(civil_now())
}

/// `SessionIsActive`, which only a vCenter has.
pub(crate) fn is_active(call: &Call<'_>, request: SessionIsActive) -> Outcome<bool> {
    if call.model().personality() == Personality::Esxi {
        return Err(fault::not_supported("a host tells nobody about sessions"));
    }
    Ok(call.lock().sessions.is_open(&request.session_id))
}

/// `TerminateSession`: ends the sessions of others, all or, when one is not there, none.
pub(crate) fn terminate(call: &Call<'_>, request: TerminateSession) -> Outcome<()> {
    let own = call.session(&request.this)?;
    let mut dead = Vec::new();
    {
        let mut state = call.lock();
        for session in &request.session_id {
            if session == own {
                return Err(fault::invalid_argument("sessionId", "it is the caller's own session"));
            }
            if !state.sessions.is_open(session) {
                return Err(fault::not_found_here(&format!("session {session}")));
            }
        }
        for session in &request.session_id {
            state.sessions.close(session);
            dead.extend(state.end_session(session));
        }
    }
    dead.iter().for_each(|lease| call.world.exports.close(lease));
    call.soap.tell();
    Ok(())
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
