//! Collectors that tell what has changed since they last told something.
//!
//! A collector has a version that grows with every answer. A caller that knows another version than
//! the last is refused; one that knows none gets everything anew.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use vsphere::wire::generated::{
    CancelWaitForUpdates, CheckForUpdates, CreateFilter, CreatePropertyCollector, DestroyPropertyCollector,
    DestroyPropertyFilter, MissingProperty, ObjectUpdate, ObjectUpdateKind, PropertyChange, PropertyChangeOp,
    PropertyFilterSpec, PropertyFilterUpdate, UpdateSet, WaitForUpdates, WaitForUpdatesEx,
};
use vsphere::wire::{Any, MoRef};

use super::call::Call;
use super::clock::Instant;
use super::fault::{self, Outcome};
use super::state::State;
use super::{partial, retrieve, service};

/// Longest wait of one call, whatever the caller asks: as the HTTP front ends of real servers have.
const WAIT_MAX: Duration = Duration::from_secs(30 * 60);

/// A collector: what it has told so far is in its filters.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    version: u64,
    /// Counts calls of `CancelWaitForUpdates`.
    cancelled: u64,
    pub(crate) filters: Vec<String>,
}

/// A filter and what it has told.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) session: String,
    pub(crate) spec: PropertyFilterSpec,
    /// Whether changes inside a property are told by themselves.
    pub(crate) partial: bool,
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
    collector(call, &mut state, &key, &request.this)?.filters.push(id.clone());
    let filter = Filter { session: key.0, spec: request.spec, partial: request.partial_updates, told: BTreeMap::new() };
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
    collector(call, &mut call.lock(), &key, &request.this)?.cancelled += 1;
    call.soap.tell();
    Ok(())
}

/// `CheckForUpdates`: what is new now.
pub(crate) fn check(call: &Call<'_>, request: CheckForUpdates) -> Outcome<Option<UpdateSet>> {
    let key = key(call, &request.this)?;
    begin(call, &key, &request.this, request.version.as_deref())?;
    look(call, &mut call.lock(), &key, &request.this, usize::MAX)
}

/// `WaitForUpdates`, which has no limit but the caller's patience.
pub(crate) async fn wait(call: &Call<'_>, request: WaitForUpdates) -> Outcome<UpdateSet> {
    loop {
        let (this, version) = (&request.this, request.version.as_deref());
        if let Some(updates) = wait_until(call, this, version, Instant::now() + WAIT_MAX, usize::MAX).await? {
            return Ok(updates);
        }
    }
}

/// `WaitForUpdatesEx`: answers at once when there is news, else when some comes or time is up.
pub(crate) async fn wait_ex(call: &Call<'_>, request: WaitForUpdatesEx) -> Outcome<Option<UpdateSet>> {
    let options = request.options.unwrap_or_default();
    let limit = match options.max_wait_seconds {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(WAIT_MAX),
        None => WAIT_MAX,
    };
    let most = options.max_object_updates.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let deadline = Instant::now() + limit;
    wait_until(call, &request.this, request.version.as_deref(), deadline, most.unwrap_or(usize::MAX)).await
}

async fn wait_until(
    call: &Call<'_>,
    this: &MoRef,
    version: Option<&str>,
    deadline: Instant,
    most: usize,
) -> Outcome<Option<UpdateSet>> {
    let key = key(call, this)?;
    // Subscribed before the first look, so that nothing slips in between.
    let mut news = call.soap.news();
    let cancelled = begin(call, &key, this, version)?;
    loop {
        {
            let mut state = call.lock();
            if collector(call, &mut state, &key, this)?.cancelled != cancelled {
                return Err(fault::request_canceled());
            }
            if let Some(updates) = look(call, &mut state, &key, this, most)? {
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
    let found = collector(call, &mut state, key, this)?;
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
    for id in collector(call, state, key, this)?.filters.clone() {
        let Some(filter) = state.filters.get(&id) else { continue };
        let mut news = differences(call, state, filter)?;
        truncated |= news.len() > budget;
        news.truncate(budget);
        budget -= news.len();
        let Some(filter) = state.filters.get_mut(&id).filter(|_| !news.is_empty()) else { continue };
        let object_set = news.into_iter().map(|news| filter.tell(news)).collect();
        let filter = MoRef::new("PropertyFilter", id);
        filter_set.push(PropertyFilterUpdate { filter, object_set, ..PropertyFilterUpdate::default() });
    }
    if filter_set.is_empty() {
        return Ok(None);
    }
    let collector = collector(call, state, key, this)?;
    collector.version += 1;
    let version = collector.version.to_string();
    Ok(Some(UpdateSet { version, filter_set, truncated: truncated.then_some(true) }))
}

/// What is new about an object, and all that is known of it then; nothing when it is gone.
#[derive(Debug)]
struct News {
    update: ObjectUpdate,
    now: Option<BTreeMap<String, Any>>,
}

fn differences(call: &Call<'_>, state: &State, filter: &Filter) -> Outcome<Vec<News>> {
    // An object that is named but gone leaves; the rest of the filter goes on.
    let mut spec = filter.spec.clone();
    spec.report_missing_objects_in_results = Some(true);
    let mut updates = Vec::new();
    let mut present = HashSet::new();
    for (obj, paths) in retrieve::select(call, state, &spec)? {
        let content = retrieve::content(call, state, obj, &paths)?;
        let (obj, missing_set) = (content.obj, content.missing_set);
        let now = content.prop_set.into_iter().map(|property| (property.name, property.val)).collect();
        let update = match filter.told.get(&obj) {
            None => Some((ObjectUpdateKind::Enter, all(&now), missing_set)),
            Some(told) => {
                let change_set = changes(told, &now, filter.partial);
                (!change_set.is_empty()).then(|| (ObjectUpdateKind::Modify, change_set, Vec::<MissingProperty>::new()))
            }
        };
        if let Some((kind, change_set, missing_set)) = update {
            let update = ObjectUpdate { kind, obj: obj.clone(), change_set, missing_set };
            updates.push(News { update, now: Some(now) });
        }
        present.insert(obj);
    }
    for gone in filter.told.keys().filter(|object| !present.contains(*object)) {
        let update = ObjectUpdate { kind: ObjectUpdateKind::Leave, obj: gone.clone(), ..ObjectUpdate::default() };
        updates.push(News { update, now: None });
    }
    Ok(updates)
}

fn all(now: &BTreeMap<String, Any>) -> Vec<PropertyChange> {
    now.iter().map(|(name, value)| assign(name.clone(), Some(value.clone()))).collect()
}

fn changes(told: &BTreeMap<String, Any>, now: &BTreeMap<String, Any>, partial: bool) -> Vec<PropertyChange> {
    let mut changes = Vec::new();
    for (name, value) in now {
        match told.get(name) {
            Some(before) if before == value => {}
            Some(before) if partial => changes.extend(partial::changes(name, before, value)),
            _ => changes.push(assign(name.clone(), Some(value.clone()))),
        }
    }
    let unset = told.keys().filter(|name| !now.contains_key(*name));
    changes.extend(unset.map(|name| assign(name.clone(), None)));
    changes
}

fn assign(name: String, val: Option<Any>) -> PropertyChange {
    PropertyChange { name, op: PropertyChangeOp::Assign, val }
}

impl Filter {
    fn tell(&mut self, news: News) -> ObjectUpdate {
        match news.now {
            Some(now) => self.told.insert(news.update.obj.clone(), now),
            None => self.told.remove(&news.update.obj),
        };
        news.update
    }
}

fn key(call: &Call<'_>, this: &MoRef) -> Outcome<(String, String)> {
    Ok((call.session(this)?.to_owned(), this.id.clone()))
}

/// Returns a collector; the one that every session has from the start is made when it is first used.
fn collector<'a>(
    call: &Call<'_>,
    state: &'a mut State,
    key: &(String, String),
    this: &MoRef,
) -> Outcome<&'a mut Collector> {
    if service::is_service(call.model().personality(), this) {
        return Ok(state.collectors.entry(key.clone()).or_default());
    }
    state.collectors.get_mut(key).ok_or_else(|| fault::not_found(this))
}
