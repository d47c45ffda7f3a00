//! Collectors that tell what has changed since they last told something.
//!
//! A collector has a version that grows with every answer. A caller that knows another version than
//! the last is refused; one that knows none gets everything anew.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use vsphere::wire::generated::{
    CancelWaitForUpdates, CreateFilter, CreatePropertyCollector, DestroyPropertyCollector, DestroyPropertyFilter,
    ObjectUpdate, ObjectUpdateKind, PropertyChange, PropertyChangeOp, PropertyFilterSpec, PropertyFilterUpdate,
    UpdateSet, WaitForUpdatesEx,
};
use vsphere::wire::{Any, MoRef};

use super::call::Call;
use super::clock::Instant;
use super::fault::{self, Outcome};
use super::retrieve;
use super::state::State;

/// Longest wait of one call, whatever the caller asks: as the HTTP front ends of real servers have.
const WAIT_MAX: Duration = Duration::from_secs(30 * 60);

/// A collector: what it has told so far is in its filters.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    version: u64,
    /// Counts calls of `CancelWaitForUpdates`.
    cancelled: u64,
    filters: Vec<String>,
}

/// A filter and what it has told.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) session: String,
    pub(crate) spec: PropertyFilterSpec,
    told: BTreeMap<MoRef, BTreeMap<String, Any>>,
}

/// `CreatePropertyCollector`.
pub(crate) fn create_collector(call: &Call<'_>, request: CreatePropertyCollector) -> Outcome<MoRef> {
    let id = call.session_id(&request.this)?;
    let session = call.session(&request.this)?.to_owned();
    call.lock().collectors.insert((session, id.clone()), Collector::default());
    Ok(MoRef::new("PropertyCollector", id))
}

/// `DestroyPropertyCollector`.
pub(crate) fn destroy_collector(call: &Call<'_>, request: DestroyPropertyCollector) -> Outcome<()> {
    let key = key(call, &request.this)?;
    let mut state = call.lock();
    let collector = state.collectors.remove(&key).ok_or_else(|| fault::not_found(&request.this))?;
    state.filters.retain(|id, _| !collector.filters.contains(id));
    call.soap.tell();
    Ok(())
}

/// `CreateFilter`.
pub(crate) fn create_filter(call: &Call<'_>, request: CreateFilter) -> Outcome<MoRef> {
    let key = key(call, &request.this)?;
    let id = call.session_id(&request.this)?;
    let mut state = call.lock();
    retrieve::select(call, &state, &request.spec)?;
    collector(&mut state, &key, &request.this)?.filters.push(id.clone());
    let filter = Filter { session: key.0, spec: request.spec, told: BTreeMap::new() };
    state.filters.insert(id.clone(), filter);
    call.soap.tell();
    Ok(MoRef::new("PropertyFilter", id))
}

/// `DestroyPropertyFilter`.
pub(crate) fn destroy_filter(call: &Call<'_>, request: DestroyPropertyFilter) -> Outcome<()> {
    let mut state = call.lock();
    if !state.filters.get(&request.this.id).is_some_and(|filter| call.owns(&filter.session)) {
        return Err(fault::not_found(&request.this));
    }
    state.filters.remove(&request.this.id);
    state.collectors.values_mut().for_each(|collector| collector.filters.retain(|id| *id != request.this.id));
    Ok(())
}

/// `CancelWaitForUpdates`.
pub(crate) fn cancel(call: &Call<'_>, request: CancelWaitForUpdates) -> Outcome<()> {
    let key = key(call, &request.this)?;
    collector(&mut call.lock(), &key, &request.this)?.cancelled += 1;
    call.soap.tell();
    Ok(())
}

/// `WaitForUpdatesEx`: answers at once when there is news, else when some comes or time is up.
pub(crate) async fn wait(call: &Call<'_>, request: WaitForUpdatesEx) -> Outcome<Option<UpdateSet>> {
    let key = key(call, &request.this)?;
    let options = request.options.unwrap_or_default();
    let limit = match options.max_wait_seconds {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(WAIT_MAX),
        None => WAIT_MAX,
    };
    let deadline = Instant::now() + limit;
    let most = options.max_object_updates.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    // Subscribed before the first look, so that nothing slips in between.
    let mut news = call.soap.news();
    let cancelled = begin(call, &key, &request.this, request.version.as_deref())?;
    loop {
        {
            let mut state = call.lock();
            if collector(&mut state, &key, &request.this)?.cancelled != cancelled {
                return Err(fault::request_canceled());
            }
            if let Some(updates) = look(call, &mut state, &key, &request.this, most.unwrap_or(usize::MAX))? {
                return Ok(Some(updates));
            }
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return Ok(None) },
            () = tokio::time::sleep_until(deadline) => return Ok(None),
        }
    }
}

/// Checks the version that the caller knows; none means everything anew.
fn begin(call: &Call<'_>, key: &(String, String), this: &MoRef, version: Option<&str>) -> Outcome<u64> {
    let mut state = call.lock();
    let found = collector(&mut state, key, this)?;
    let cancelled = found.cancelled;
    match version.filter(|version| !version.is_empty()) {
        Some(version) if version != found.version.to_string() => Err(fault::invalid_collector_version(version)),
        Some(_) => Ok(cancelled),
        None => {
            for id in found.filters.clone() {
                if let Some(filter) = state.filters.get_mut(&id) {
                    filter.told.clear();
                }
            }
            Ok(cancelled)
        }
    }
}

/// Returns what the filters have not told yet, at most `most` objects.
fn look(
    call: &Call<'_>,
    state: &mut State,
    key: &(String, String),
    this: &MoRef,
    most: usize,
) -> Outcome<Option<UpdateSet>> {
    let mut budget = most;
    let mut filter_set = Vec::new();
    let mut truncated = false;
    for id in collector(state, key, this)?.filters.clone() {
        let Some(filter) = state.filters.get(&id) else { continue };
        let mut object_set = differences(call, state, filter)?;
        truncated |= object_set.len() > budget;
        object_set.truncate(budget);
        budget -= object_set.len();
        if object_set.is_empty() {
            continue;
        }
        if let Some(filter) = state.filters.get_mut(&id) {
            object_set.iter().for_each(|update| filter.tell(update));
        }
        let filter = MoRef::new("PropertyFilter", id);
        filter_set.push(PropertyFilterUpdate { filter, object_set, ..PropertyFilterUpdate::default() });
    }
    if filter_set.is_empty() {
        return Ok(None);
    }
    let collector = collector(state, key, this)?;
    collector.version += 1;
    let version = collector.version.to_string();
    Ok(Some(UpdateSet { version, filter_set, truncated: truncated.then_some(true) }))
}

fn differences(call: &Call<'_>, state: &State, filter: &Filter) -> Outcome<Vec<ObjectUpdate>> {
    // An object that is named but gone leaves; the rest of the filter goes on.
    let mut spec = filter.spec.clone();
    spec.report_missing_objects_in_results = Some(true);
    let mut updates = Vec::new();
    let mut present = HashSet::new();
    for wanted in retrieve::select(call, state, &spec)? {
        let now = retrieve::values(call, state, &wanted)?;
        let update = match filter.told.get(&wanted.0) {
            None => {
                let change_set = now.into_iter().map(|(name, value)| assign(name, Some(value))).collect();
                Some((ObjectUpdateKind::Enter, change_set))
            }
            Some(told) => {
                let change_set = changes(told, &now);
                (!change_set.is_empty()).then_some((ObjectUpdateKind::Modify, change_set))
            }
        };
        if let Some((kind, change_set)) = update {
            updates.push(ObjectUpdate { kind, obj: wanted.0.clone(), change_set, ..ObjectUpdate::default() });
        }
        present.insert(wanted.0);
    }
    for gone in filter.told.keys().filter(|object| !present.contains(*object)) {
        updates.push(ObjectUpdate { kind: ObjectUpdateKind::Leave, obj: gone.clone(), ..ObjectUpdate::default() });
    }
    Ok(updates)
}

fn changes(told: &BTreeMap<String, Any>, now: &BTreeMap<String, Any>) -> Vec<PropertyChange> {
    let changed = now.iter().filter(|(name, value)| told.get(*name) != Some(*value));
    let unset = told.keys().filter(|name| !now.contains_key(*name));
    let assigned = changed.map(|(name, value)| assign(name.clone(), Some(value.clone())));
    assigned.chain(unset.map(|name| assign(name.clone(), None))).collect()
}

fn assign(name: String, val: Option<Any>) -> PropertyChange {
    PropertyChange { name, op: PropertyChangeOp::Assign, val }
}

impl Filter {
    fn tell(&mut self, update: &ObjectUpdate) {
        if update.kind == ObjectUpdateKind::Leave {
            self.told.remove(&update.obj);
            return;
        }
        let told = self.told.entry(update.obj.clone()).or_default();
        for change in &update.change_set {
            match &change.val {
                Some(value) => told.insert(change.name.clone(), value.clone()),
                None => told.remove(&change.name),
            };
        }
    }
}

fn key(call: &Call<'_>, this: &MoRef) -> Outcome<(String, String)> {
    Ok((call.session(this)?.to_owned(), this.id.clone()))
}

/// Returns a collector; the one that every session has from the start is made when it is first used.
fn collector<'a>(state: &'a mut State, key: &(String, String), this: &MoRef) -> Outcome<&'a mut Collector> {
    if key.1 == super::content::COLLECTOR {
        return Ok(state.collectors.entry(key.clone()).or_default());
    }
    state.collectors.get_mut(key).ok_or_else(|| fault::not_found(this))
}
