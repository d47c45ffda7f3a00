//! `ExportVm`, `ExportSnapshot`, and what their leases understand.

use std::time::Duration;

use vsphere::wire::generated::{
    ExportSnapshot, ExportVm, HttpNfcLeaseAbort, HttpNfcLeaseComplete, HttpNfcLeaseDeviceUrl, HttpNfcLeaseGetManifest,
    HttpNfcLeaseInfo, HttpNfcLeaseManifestEntry, HttpNfcLeaseProgress, HttpNfcLeaseSetManifestChecksumType,
    VirtualMachinePowerState,
};
use vsphere::wire::{Any, Fault, MoRef};

use super::call::Call;
use super::configured::Configured;
use super::fault::{self, Outcome};
use super::lease::{Event, Lease, Meddled, Phase, Refusal, Seen};
use super::model::NodeId;
use super::property;
use super::state::{Ending, State};
use super::task::Subject;
use crate::content::Delta;
use crate::export::{Offer, SentFile};
use crate::faults::{FileNames, HashName, ManifestLieKind};
use crate::inventory::{Disk, Vm};
use crate::world::LeaseEndpoint;

/// `ExportVm`.
pub(crate) fn export(call: &Call<'_>, request: ExportVm) -> Outcome<MoRef> {
    let mut state = call.lock();
    let subject = call.subject(&state, &request.this)?;
    check_connected(call, &subject)?;
    let physical = call.world.inventory.vms[subject.vm].disks.iter().position(Disk::is_physical);
    if let Some(index) = physical {
        return Err(fault::invalid_state(&format!("hard disk {} is a raw device in physical mode", index + 1)));
    }
    let power = state.vms[subject.vm].power.clone();
    if power != VirtualMachinePowerState::PoweredOff {
        return Err(fault::invalid_power_state(VirtualMachinePowerState::PoweredOff, power));
    }
    let vm = &state.vms[subject.vm];
    let (deltas, configured) = (vm.deltas.clone(), vm.configured.clone());
    open(call, &mut state, subject, "ExportVm", &deltas, &configured)
}

/// `ExportSnapshot`: the state that the snapshot keeps, also while the VM runs. The lease holds the whole VM.
pub(crate) fn export_snapshot(call: &Call<'_>, request: ExportSnapshot) -> Outcome<MoRef> {
    let mut state = call.lock();
    let (vm, snapshot) = state.snapshot(&request.this)?;
    let (frozen, configured) = (snapshot.frozen, snapshot.configured.clone());
    let subject = call.subject_at(&state, vm)?;
    check_connected(call, &subject)?;
    let deltas = state.vms[vm].deltas[..frozen].to_vec();
    open(call, &mut state, subject, "ExportSnapshot", &deltas, &configured)
}

fn check_connected(call: &Call<'_>, subject: &Subject) -> Outcome<()> {
    match call.world.inventory.vms[subject.vm].connection.as_str() {
        "connected" => Ok(()),
        connection => Err(fault::invalid_state(&format!("the virtual machine is {connection}"))),
    }
}

/// Opens a lease of a VM's disks with the links that are given, and holds the VM.
fn open(
    call: &Call<'_>,
    state: &mut State,
    subject: Subject,
    method: &'static str,
    deltas: &[Delta],
    configured: &Configured,
) -> Outcome<MoRef> {
    let settings = call.world.faults.now();
    let id = call.session_id(&subject.moref)?;
    let session = call.session(&subject.moref)?.to_owned();
    if !settings.several_leases_per_vm {
        state.check_free(subject.vm)?;
    }
    let images = configured.images().map(|(place, iso)| (place.clone(), iso.to_owned())).collect();
    let vm = &call.world.inventory.vms[subject.vm];
    check_exportable(vm, configured)?;
    let of_snapshot = method == "ExportSnapshot";
    let nvram = !settings.lease_without_nvram;
    let offer = Offer { vm, vm_moref: &subject.moref.id, images, deltas, nvram, of_snapshot };
    let items = call.world.exports.open_offer(&id, &offer);
    let index = subject.vm;
    let task = state.tasks.add_export(subject, method);
    state.note_task(index, &task);
    state.vms[index].leases.push(id.clone());
    let created = call.now.saturating_duration_since(state.started);
    let lease = Lease {
        id: id.clone(),
        session,
        vm: index,
        task,
        phase: Phase::Initializing { ready_at: call.now + Duration::from_millis(settings.initializing_ms) },
        timeout: Duration::from_secs(settings.lease_timeout_s),
        items,
        checksums: Default::default(),
        created_ms: u64::try_from(created.as_millis()).unwrap_or(u64::MAX),
        seen: Seen::default(),
        meddled: Meddled::default(),
    };
    state.leases.insert(id.clone(), lease);
    call.soap.tell();
    Ok(MoRef::new("HttpNfcLease", id))
}

/// Refuses what no host puts into a lease.
fn check_exportable(vm: &Vm, configured: &Configured) -> Outcome<()> {
    if vm.encrypted {
        return Err(fault::invalid_state("the virtual machine is encrypted"));
    }
    match configured.images().find(|(_, image)| vm.missing_isos.iter().any(|missing| missing == image)) {
        Some((_, image)) => Err(fault::file_not_found(image)),
        None => Ok(()),
    }
}

/// `HttpNfcLeaseProgress`.
pub(crate) fn progress(call: &Call<'_>, request: HttpNfcLeaseProgress) -> Outcome<()> {
    if call.world.faults.take_progress_failure() {
        return Err(fault::system_error("HttpNfcLeaseProgress was told to fail"));
    }
    let mut state = call.lock();
    apply(call, &mut state, &request.this, Event::Progress(request.percent))?;
    if let Some(lease) = state.leases.get(&request.this.id) {
        let task = lease.task.clone();
        state.tasks.set_progress(&task, request.percent);
    }
    call.soap.tell();
    Ok(())
}

/// `HttpNfcLeaseComplete`.
pub(crate) fn complete(call: &Call<'_>, request: HttpNfcLeaseComplete) -> Outcome<()> {
    if call.world.faults.now().complete_fault {
        call.world.faults.note("complete_fault");
        return Err(fault::system_error("HttpNfcLeaseComplete was told to fail"));
    }
    let mut state = call.lock();
    apply(call, &mut state, &request.this, Event::Complete)?;
    end(call, &mut state, &request.this, Ending::Completed);
    Ok(())
}

/// `HttpNfcLeaseAbort`.
pub(crate) fn abort(call: &Call<'_>, request: HttpNfcLeaseAbort) -> Outcome<()> {
    let mut state = call.lock();
    apply(call, &mut state, &request.this, Event::Abort)?;
    if let Some(lease) = state.leases.get_mut(&request.this.id) {
        lease.seen.abort_reason = request.fault.and_then(|fault| fault.localized_message);
    }
    end(call, &mut state, &request.this, Ending::Aborted);
    Ok(())
}

/// `HttpNfcLeaseSetManifestChecksumType`.
pub(crate) fn set_checksums(call: &Call<'_>, request: HttpNfcLeaseSetManifestChecksumType) -> Outcome<()> {
    let mut state = call.lock();
    let lease = own(call, &mut state, &request.this)?;
    if !matches!(lease.phase, Phase::Ready { .. }) {
        return Err(fault::invalid_state("the lease is not ready"));
    }
    for wish in request.device_urls_to_checksum_types {
        let hash = match wish.value.as_str() {
            "sha1" => HashName::Sha1,
            "sha256" => HashName::Sha256,
            other => return Err(fault::invalid_argument("deviceUrlsToChecksumTypes", other)),
        };
        if !lease.items.iter().any(|item| item.key == wish.key) {
            return Err(fault::invalid_argument("deviceUrlsToChecksumTypes", &wish.key));
        }
        lease.checksums.insert(wish.key, hash);
    }
    Ok(())
}

/// `HttpNfcLeaseGetManifest`.
pub(crate) fn manifest(call: &Call<'_>, request: HttpNfcLeaseGetManifest) -> Outcome<Vec<HttpNfcLeaseManifestEntry>> {
    if call.world.faults.now().manifest_unsupported {
        call.world.faults.note("manifest_unsupported");
        return Err(fault::not_supported("HttpNfcLease"));
    }
    let mut state = call.lock();
    let lease = own(call, &mut state, &request.this)?;
    if !matches!(lease.phase, Phase::Ready { .. }) {
        return Err(fault::invalid_state("the lease is not ready"));
    }
    lease.seen.manifest_calls += 1;
    let vm_path = &call.world.inventory.vms[lease.vm].path;
    let sent = call.world.exports.sent(&lease.id);
    Ok(sent.into_iter().filter_map(|file| entry(call, lease, vm_path, file)).collect())
}

/// Returns the manifest's entry of a file, with the lie that it was told to tell.
fn entry(call: &Call<'_>, lease: &Lease, vm_path: &str, file: SentFile) -> Option<HttpNfcLeaseManifestEntry> {
    let item = lease.items.iter().find(|item| item.key == file.key)?;
    let names = FileNames { vm_path, key: &file.key, target_id: &item.target_id };
    let lie = call.world.faults.manifest_lie(names).or_else(|| call.world.faults.manifest_rule(names));
    if lie == Some(ManifestLieKind::Missing) {
        return None;
    }
    let hash = |right: String| if lie == Some(ManifestLieKind::Hash) { right.chars().rev().collect() } else { right };
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (checksum, checksum_type) = match lease.checksums.get(&file.key) {
        Some(HashName::Sha256) => (Some(hash(file.sha256)), Some("sha256".to_owned())),
        _ => (Some(hash(file.sha1.clone())), Some("sha1".to_owned())),
    };
    Some(HttpNfcLeaseManifestEntry {
        key: file.key,
        sha1: hash(file.sha1),
        checksum,
        checksum_type,
        size: signed(file.size) + i64::from(lie == Some(ManifestLieKind::Size)),
        disk: file.disk,
        capacity: file.capacity.map(signed),
        populated_size: file.populated.map(signed),
    })
}

/// Returns a property of a lease.
pub(crate) fn property(call: &Call<'_>, state: &State, lease: &Lease, name: &str) -> Option<Any> {
    let encode = call.encode();
    let ready = matches!(lease.phase, Phase::Ready { .. } | Phase::Done);
    match name {
        "state" => Some(Any::new(&lease.phase.state(), encode)),
        "initializeProgress" => Some(Any::new(&if ready { 100i32 } else { 0 }, encode)),
        "transferProgress" => Some(Any::new(&lease.seen.percent, encode)),
        "mode" => Some(Any::new(&"pushOrGet".to_owned(), encode)),
        "capabilities" => Some(Any::new(&property::lease_capabilities(), encode)),
        "info" if ready => Some(Any::new(&info(call, state, lease), encode)),
        "error" if lease.phase == Phase::TimedOut => Some(Any::new(&fault::localized(fault::timed_out()), encode)),
        "error" => lease.meddled.error.clone().map(|error| Any::new(&fault::localized(error), encode)),
        _ => None,
    }
}

fn info(call: &Call<'_>, state: &State, lease: &Lease) -> HttpNfcLeaseInfo {
    let vm = &call.world.inventory.vms[lease.vm];
    let model = call.model();
    let node = model.vms().get(lease.vm).copied().unwrap_or_else(|| model.root());
    let endpoint = endpoint(call, state, lease, node);
    let device_url = lease.items.iter().filter_map(|item| {
        let endpoint = endpoint.as_ref()?;
        Some(HttpNfcLeaseDeviceUrl {
            key: item.key.clone(),
            url: format!("https://{}{}", endpoint.authority, item.path),
            ssl_thumbprint: endpoint.ssl_thumbprint.clone(),
            disk: Some(item.disk),
            target_id: Some(item.target_id.clone()),
            file_size: item.file_size.and_then(|size| i64::try_from(size).ok()),
            ..HttpNfcLeaseDeviceUrl::default()
        })
    });
    let capacity: u64 = vm.disks.iter().map(|disk| disk.size.0).sum();
    HttpNfcLeaseInfo {
        lease: MoRef::new("HttpNfcLease", &lease.id),
        entity: model.moref(node),
        device_url: device_url.collect(),
        total_disk_capacity_in_kb: i64::try_from(capacity / 1024).unwrap_or(i64::MAX),
        lease_timeout: i32::try_from(lease.timeout.as_secs()).unwrap_or(i32::MAX),
        ..HttpNfcLeaseInfo::default()
    }
}

/// Returns where a lease sends its owner: the VM's host, unless a rule wants it elsewhere.
fn endpoint(call: &Call<'_>, state: &State, lease: &Lease, vm: NodeId) -> Option<LeaseEndpoint> {
    let mut settings = (*call.world.faults.now()).clone();
    let url = lease.meddled.url.clone().unwrap_or_default();
    settings.host_thumbprint = url.thumbprint.unwrap_or(settings.host_thumbprint);
    let host = call.model().place(vm).map(|place| &call.model().node(state.host_of(place)).name)?;
    let endpoint = call.world.addresses.lease_endpoint(host, &settings)?;
    let Some(host) = url.host else { return Some(endpoint) };
    let port = endpoint.authority.rsplit_once(':').filter(|_| !host.contains(':'));
    let authority = port.map_or_else(|| host.clone(), |(_, port)| format!("{host}:{port}"));
    Some(LeaseEndpoint { authority, ..endpoint })
}

/// Returns a lease of the caller's session; those of others do not exist for it.
fn own<'a>(call: &Call<'_>, state: &'a mut State, this: &MoRef) -> Outcome<&'a mut Lease> {
    let lease = state.leases.get_mut(&this.id).filter(|lease| call.owns(&lease.session));
    lease.ok_or_else(|| fault::not_found(this))
}

fn apply(call: &Call<'_>, state: &mut State, this: &MoRef, event: Event) -> Outcome<()> {
    own(call, state, this)?.apply(event, call.now).map_err(|refusal| refused(this, refusal))
}

fn refused(this: &MoRef, refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Percent(percent) => fault::invalid_argument("percent", &format!("{percent} is not 0 to 100")),
        Refusal::NotReady => fault::invalid_state("the lease is not ready"),
        Refusal::TimedOut => fault::timed_out(),
        Refusal::Failed => fault::invalid_state("the lease has failed"),
        Refusal::Over => fault::not_found(this),
    }
}

fn end(call: &Call<'_>, state: &mut State, this: &MoRef, ending: Ending) {
    state.end_lease(&this.id, ending);
    call.world.exports.close(&this.id);
    call.soap.tell();
}
