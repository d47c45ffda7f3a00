//! From the name of a method to the function that answers it.

use vsphere::wire::generated as api;
use vsphere::wire::{Decode, Element, Fault, Method, MoRef, method, response_xml};

use super::call::Call;
use super::fault::{self, Outcome};
use super::kinds::is_a;
use super::{
    browser, content, descriptor, export, filter, list_view, option, power, privilege, property, reconfig, relocate,
    retrieve, search, service, snapshot, task, ticket, view,
};

/// Methods that need no session.
const OPEN: [&str; 2] = ["RetrieveServiceContent", "Login"];

/// pyvmomi's way to read one property; it is in no documentation.
const FETCH: &str = "Fetch";

/// Answers a call other than `Login`.
pub(crate) async fn dispatch(call: &Call<'_>, element: &Element) -> Outcome<String> {
    let this = receiver(element)?;
    let name = element.name.as_str();
    if call.caller.is_none() && !OPEN.contains(&name) {
        return Err(fault::not_authenticated(&this));
    }
    if name == FETCH {
        return fetch(call, &this, element);
    }
    let unknown = || fault::method_not_found(&this, name);
    let info = method(name).filter(|info| info.since <= call.version).ok_or_else(unknown)?;
    if !is_a(&this.kind, info.on) {
        return Err(unknown());
    }
    if service::is_single(&this.kind) && !service::is_service(call.model().personality(), &this) {
        return Err(fault::not_found(&this));
    }
    privilege::check(call, &this, name)?;
    match name {
        api::WaitForUpdatesEx::NAME => {
            let reply = filter::wait_ex(call, read(call, element)?).await?;
            Ok(response_xml(name, &reply, call.version))
        }
        api::WaitForUpdates::NAME => {
            let reply = filter::wait(call, read(call, element)?).await?;
            Ok(response_xml(name, &reply, call.version))
        }
        _ => route(call, element).unwrap_or_else(|| Err(unknown())),
    }
}

macro_rules! routes {
    ($($method:ident => $handler:path,)*) => {
        /// Calls the function of a method; `None` when no function answers it.
        fn route(call: &Call<'_>, element: &Element) -> Option<Outcome<String>> {
            match element.name.as_str() {
                $(<api::$method as Method>::NAME => Some(answer::<api::$method>(call, element, $handler)),)*
                _ => None,
            }
        }
    };
}

routes! {
    AcquireGenericServiceTicket => ticket::acquire,
    CancelRetrievePropertiesEx => retrieve::cancel,
    CancelTask => task::cancel,
    CancelWaitForUpdates => filter::cancel,
    CheckForUpdates => filter::check,
    ConsolidateVMDisksTask => snapshot::consolidate,
    ContinueRetrievePropertiesEx => retrieve::next,
    CreateContainerView => view::create,
    CreateDescriptor => descriptor::create,
    CreateFilter => filter::create_filter,
    CreateListView => list_view::create,
    CreatePropertyCollector => filter::create_collector,
    CreateSnapshotExTask => snapshot::create_ex,
    CreateSnapshotTask => snapshot::create,
    CurrentTime => content::current_time,
    DestroyPropertyCollector => filter::destroy_collector,
    DestroyPropertyFilter => filter::destroy_filter,
    DestroyTask => reconfig::destroy,
    DestroyView => view::destroy,
    ExportSnapshot => export::export_snapshot,
    ExportVm => export::export,
    FindAllByUuid => search::all_by_uuid,
    FindByDatastorePath => search::by_datastore_path,
    FindByDnsName => search::by_dns_name,
    FindByInventoryPath => search::by_path,
    FindByUuid => search::by_uuid,
    FindChild => search::child,
    HasPrivilegeOnEntities => privilege::has_on_entities,
    HttpNfcLeaseAbort => export::abort,
    HttpNfcLeaseComplete => export::complete,
    HttpNfcLeaseGetManifest => export::manifest,
    HttpNfcLeaseProgress => export::progress,
    HttpNfcLeaseSetManifestChecksumType => export::set_checksums,
    Logout => content::logout,
    ModifyListView => list_view::modify,
    PowerOffVMTask => power::power_off,
    PowerOnVMTask => power::power_on,
    QueryOptions => option::query,
    RebootGuest => power::reboot_guest,
    ReconfigVMTask => reconfig::reconfigure,
    RelocateVMTask => relocate::relocate,
    RemoveAllSnapshotsTask => snapshot::remove_all,
    RemoveSnapshotTask => snapshot::remove,
    ResetListView => list_view::reset,
    ResetVMTask => power::reset,
    RetrieveProperties => retrieve::all,
    RetrievePropertiesEx => retrieve::first,
    RetrieveServiceContent => content::retrieve,
    SearchDatastoreSubFoldersTask => browser::search_below,
    SearchDatastoreTask => browser::search,
    SessionIsActive => content::is_active,
    ShutdownGuest => power::shutdown_guest,
    StandbyGuest => power::standby_guest,
    SuspendVMTask => power::suspend,
    TerminateSession => content::terminate,
}

fn answer<M: Method>(
    call: &Call<'_>,
    element: &Element,
    handler: fn(&Call<'_>, M) -> Outcome<M::Reply>,
) -> Outcome<String> {
    let reply = handler(call, read(call, element)?)?;
    Ok(response_xml(M::NAME, &reply, call.version))
}

/// Reads a request as strictly as the simulator was told to.
pub(crate) fn read<M: Method>(call: &Call<'_>, element: &Element) -> Outcome<M> {
    let mut decode = Decode { strict: call.soap.strict, ..Decode::default() };
    M::from_element(element, &mut decode).map_err(|error| fault::invalid_request(&error.to_string()))
}

/// Returns the object that a request is for.
pub(crate) fn receiver(element: &Element) -> Outcome<MoRef> {
    let this = element.children.first().filter(|child| child.name == "_this");
    let this = this.ok_or_else(|| fault::invalid_request("its first parameter is not _this"))?;
    Ok(MoRef::new(this.managed_type.clone().unwrap_or_default(), this.text.trim()))
}

fn fetch(call: &Call<'_>, this: &MoRef, element: &Element) -> Outcome<String> {
    let path = element.child("prop").map(|child| child.text.clone());
    let path = path.ok_or_else(|| fault::invalid_request("Fetch names no property"))?;
    let value: Result<_, Fault> = property::value(call, &call.lock(), this, &path);
    Ok(response_xml(FETCH, &value?, call.version))
}
