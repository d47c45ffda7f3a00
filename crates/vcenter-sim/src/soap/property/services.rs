//! Properties of the well-known objects, of views and of collectors.

use vsphere::wire::generated::{Capability, LocalizableMessage, OvfOptionInfo, UserSession};
use vsphere::wire::{Any, MoRef};

use super::super::call::Call;
use super::super::clock::civil_now;
use super::super::session::LOCALE;
use super::super::state::State;
use super::super::view::{Members, View};
use super::super::{content, option, service};
use super::{exists, morefs, one};
use crate::inventory::Personality;

/// Options that descriptors may carry.
const EXPORT_OPTIONS: [(&str, &str); 3] =
    [("mac", "MAC addresses"), ("uuid", "UUIDs"), ("nodevicesubtypes", "no device subtypes")];

/// Collectors of tasks that a session may have; there are none to be had.
const TASK_COLLECTORS_MAX: i32 = 32;

/// Returns a property of a well-known object.
pub(super) fn property(call: &Call<'_>, state: &State, kind: &str, name: &str) -> Option<Any> {
    match (kind, name) {
        ("ServiceInstance", "content") => one(call, &content::content(call)),
        ("ServiceInstance", "serverClock") => one(call, &civil_now()),
        ("ServiceInstance", "capability") => one(call, &capability(call)),
        ("OvfManager", "ovfExportOption") => Some(Any::list(&EXPORT_OPTIONS.map(export_option), call.encode())),
        ("OptionManager", "setting") => Some(Any::list(&option::settings(call), call.encode())),
        ("SessionManager", name) => sessions(call, state, name),
        ("TaskManager", "recentTask") => morefs(call, &state.tasks.recent()),
        ("TaskManager", "maxCollector") => one(call, &TASK_COLLECTORS_MAX),
        ("ViewManager", "viewList") => {
            let own = state.views.iter().filter(|(_, view)| call.owns(&view.session));
            morefs(call, &own.map(|(id, view)| MoRef::new(view.kind(), id)).collect::<Vec<_>>())
        }
        _ => None,
    }
}

/// Returns a property of a view.
pub(super) fn view(call: &Call<'_>, state: &State, view: &View, name: &str) -> Option<Any> {
    match (&view.members, name) {
        (Members::Below(below), "view") => morefs(call, &below.members(call.model())),
        (Members::Below(below), "container") => one(call, &below.container),
        (Members::Below(below), "type") => Some(Any::list(&below.types, call.encode())),
        (Members::Below(below), "recursive") => one(call, &below.recursive),
        (Members::Listed(list), "view") => {
            morefs(call, &list.iter().filter(|object| exists(call, state, object)).cloned().collect::<Vec<_>>())
        }
        (Members::Listed(_), _) | (Members::Below(_), _) => None,
    }
}

/// Returns a property of a collector, or `None` when the caller has no such collector.
pub(super) fn collector(call: &Call<'_>, state: &State, object: &MoRef, name: &str) -> Option<Option<Any>> {
    let session = &call.caller.as_ref()?.session;
    let made = state.collectors.get(&(session.clone(), object.id.clone()));
    if made.is_none() && !service::is_service(call.model().personality(), object) {
        return None;
    }
    let filters = made.map(|collector| collector.filters.as_slice()).unwrap_or_default();
    let filters: Vec<MoRef> = filters.iter().map(|id| MoRef::new("PropertyFilter", id)).collect();
    Some((name == "filter").then(|| morefs(call, &filters)).flatten())
}

fn sessions(call: &Call<'_>, state: &State, name: &str) -> Option<Any> {
    let locales = || Any::list(&[LOCALE.to_owned()], call.encode());
    match name {
        "currentSession" => one(call, &state.sessions.find(call.request.cookie)?.describe()),
        "sessionList" => {
            let all: Vec<UserSession> = state.sessions.all().map(|session| session.describe()).collect();
            Some(Any::list(&all, call.encode()))
        }
        "message" => one(call, &String::new()),
        "messageLocaleList" | "supportedLocaleList" => Some(locales()),
        "defaultLocale" => one(call, &LOCALE.to_owned()),
        _ => None,
    }
}

fn export_option((option, text): (&str, &str)) -> OvfOptionInfo {
    OvfOptionInfo {
        option: option.to_owned(),
        description: LocalizableMessage {
            key: format!("sim.ovf.{option}"),
            message: Some(text.to_owned()),
            ..LocalizableMessage::default()
        },
    }
}

fn capability(call: &Call<'_>) -> Capability {
    Capability {
        provisioning_supported: false,
        multi_host_supported: call.model().personality() == Personality::VCenter,
        user_shell_access_supported: false,
        ..Capability::default()
    }
}
