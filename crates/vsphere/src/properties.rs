//! Reads properties of objects, many at once or one until it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind, Result, fault_kind};
use crate::session::Session;
use crate::wire::generated::{
    AnySelectionSpec, ContinueRetrievePropertiesEx, CreateContainerView, CreateFilter, CreatePropertyCollector,
    DestroyPropertyCollector, DestroyView, MissingProperty, ObjectContent, ObjectSpec, PropertyFilterSpec,
    PropertySpec, RetrieveOptions, RetrievePropertiesEx, SelectionSpec, TraversalSpec, UpdateSet, WaitForUpdatesEx,
    WaitOptions,
};
use crate::wire::{Any, Decode, DecodeError, MoRef, Value, property};

/// Objects in one page. A page of VMs with the properties of a list is some 200 KiB.
const PAGE_OBJECTS: i32 = 250;

/// How long the server may hold back an answer to a wait; below the timeouts of proxies.
const WAIT_SECONDS: i32 = 20;

/// An object with the properties that were asked for and that it has.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Which object.
    pub moref: MoRef,
    values: BTreeMap<String, Any>,
    missing: Vec<MissingProperty>,
}

impl Object {
    fn new(content: ObjectContent) -> Self {
        let set = content.prop_set.into_iter().filter(|property| !property.val.is_unset());
        let values = set.map(|property| (property.name, property.val)).collect();
        Self { moref: content.obj, values, missing: content.missing_set }
    }

    /// Returns the value of a property; `None` when it is unset.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when it has another type, or what the server says where it refused to
    /// show the property.
    pub fn get<T: Value>(&self, path: &str) -> Result<Option<T>> {
        self.check_shown(path)?;
        let value = self.values.get(path).map(|any| any.get(&mut Decode::default()));
        value.transpose().map_err(|error| self.wrong_type(path, error))
    }

    /// Returns the items of a list property; none when it is unset.
    ///
    /// # Errors
    /// As [`Object::get`].
    pub fn list<T: Value>(&self, path: &str) -> Result<Vec<T>> {
        self.check_shown(path)?;
        let Some(any) = self.values.get(path) else { return Ok(Vec::new()) };
        any.get_list(&mut Decode::default()).map_err(|error| self.wrong_type(path, error))
    }

    /// Returns the value of a property that every such object has.
    ///
    /// # Errors
    /// As [`Object::get`], and [`ErrorKind::Protocol`] when it is unset.
    pub fn require<T: Value>(&self, path: &str) -> Result<T> {
        let unset =
            || Error::new(ErrorKind::Protocol, format!("read {path} of {}: the server left it out", self.moref));
        self.get(path)?.ok_or_else(unset)
    }

    /// Refuses a property that the server did not show.
    fn check_shown(&self, path: &str) -> Result<()> {
        let Some(refused) = self.missing.iter().find(|missing| missing.path == path) else { return Ok(()) };
        let context = format!("read {path} of {}: {}", self.moref, refused.fault.fault.type_name());
        Err(Error::new(fault_kind(Some(&refused.fault.fault)), context))
    }

    fn wrong_type(&self, path: &str, error: DecodeError) -> Error {
        Error::new(ErrorKind::Protocol, format!("read {path} of {}", self.moref)).with_source(error)
    }
}

/// Reads properties of one object.
///
/// # Errors
/// What the server says; [`ErrorKind::NotFound`] when the object is gone.
pub async fn read(session: &Session, object: &MoRef, paths: &[&str]) -> Result<Object> {
    let spec = PropertyFilterSpec {
        prop_set: vec![property_spec(session, &object.kind, paths)],
        object_set: vec![ObjectSpec { obj: object.clone(), ..ObjectSpec::default() }],
        ..PropertyFilterSpec::default()
    };
    let gone = || Error::new(ErrorKind::NotFound, format!("read {object}: there is no such object"));
    let objects = session.in_one_session(|| retrieve(session, spec.clone())).await?;
    objects.into_iter().next().ok_or_else(gone)
}

/// Reads properties of several objects of one type; those that are gone are left out.
///
/// # Errors
/// What the server says.
pub async fn read_many(session: &Session, kind: &str, objects: &[MoRef], paths: &[&str]) -> Result<Vec<Object>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let spec = PropertyFilterSpec {
        prop_set: vec![property_spec(session, kind, paths)],
        object_set: objects.iter().map(|object| ObjectSpec { obj: object.clone(), ..ObjectSpec::default() }).collect(),
        report_missing_objects_in_results: Some(true),
    };
    session.in_one_session(|| retrieve(session, spec.clone())).await
}

/// Reads properties of all objects of the given types below the root folder.
///
/// # Errors
/// What the server says.
pub async fn read_all(session: &Session, wanted: &[(&str, &[&str])]) -> Result<Vec<Object>> {
    session.in_one_session(|| read_all_once(session, wanted)).await
}

async fn read_all_once(session: &Session, wanted: &[(&str, &[&str])]) -> Result<Vec<Object>> {
    let content = session.content();
    let manager = content.view_manager.clone();
    let manager = manager.ok_or_else(|| Error::new(ErrorKind::Protocol, "the server has no view manager"))?;
    let call = CreateContainerView {
        this: manager.clone(),
        container: content.root_folder.clone(),
        type_: wanted.iter().map(|(kind, _)| (*kind).to_owned()).collect(),
        recursive: true,
    };
    let view = session.call(&manager, &call).await?;
    let traversal = TraversalSpec {
        type_: "ContainerView".to_owned(),
        path: "view".to_owned(),
        skip: Some(false),
        ..TraversalSpec::default()
    };
    let spec = PropertyFilterSpec {
        prop_set: wanted.iter().map(|(kind, paths)| property_spec(session, kind, paths)).collect(),
        object_set: vec![ObjectSpec {
            obj: view.clone(),
            skip: Some(true),
            select_set: vec![AnySelectionSpec::from(traversal)],
        }],
        ..PropertyFilterSpec::default()
    };
    let objects = retrieve(session, spec).await;
    // The view is only memory on the server; the objects matter more than its end.
    let destroyed = session.call(&view, &DestroyView { this: view.clone() }).await;
    if let Err(error) = destroyed {
        tracing::debug!(%error, "leave a view to the end of the session");
    }
    objects
}

/// Reads properties of an object and of everything above it, by any of these steps (type, property
/// that leads up). Objects of types that are not `wanted` are passed over.
///
/// # Errors
/// What the server says; [`ErrorKind::NotFound`] when the object is gone.
pub(crate) async fn read_upwards(
    session: &Session,
    object: &MoRef,
    steps: &[(&str, &str)],
    wanted: &[(&str, &[&str])],
) -> Result<Vec<Object>> {
    let name = |index: usize| Some(format!("up{index}"));
    let again: Vec<AnySelectionSpec> =
        (0..steps.len()).map(|index| SelectionSpec { name: name(index) }.into()).collect();
    let traversal = |(index, (kind, path)): (usize, &(&str, &str))| TraversalSpec {
        base: SelectionSpec { name: name(index) },
        type_: (*kind).to_owned(),
        path: (*path).to_owned(),
        skip: Some(false),
        select_set: again.clone(),
    };
    let select_set = steps.iter().enumerate().map(traversal).map(AnySelectionSpec::from).collect();
    let spec = PropertyFilterSpec {
        prop_set: wanted.iter().map(|(kind, paths)| property_spec(session, kind, paths)).collect(),
        object_set: vec![ObjectSpec { obj: object.clone(), skip: Some(false), select_set }],
        ..PropertyFilterSpec::default()
    };
    session.in_one_session(|| retrieve(session, spec.clone())).await
}

/// Leaves out paths that the agreed version does not have: asking for them is a fault.
fn property_spec(session: &Session, kind: &str, paths: &[&str]) -> PropertySpec {
    let known = |path: &&&str| {
        let first = path.split(['.', '[']).next().unwrap_or_default();
        property(kind, first).is_none_or(|property| property.since <= session.version())
    };
    PropertySpec {
        type_: kind.to_owned(),
        all: Some(false),
        path_set: paths.iter().filter(known).map(|path| (*path).to_owned()).collect(),
    }
}

async fn retrieve(session: &Session, spec: PropertyFilterSpec) -> Result<Vec<Object>> {
    let collector = &session.content().property_collector;
    let options = RetrieveOptions { max_objects: Some(PAGE_OBJECTS) };
    let call = RetrievePropertiesEx { this: collector.clone(), spec_set: vec![spec], options };
    let mut page = session.read(collector, &call).await?;
    let mut objects = Vec::new();
    while let Some(result) = page {
        objects.extend(result.objects.into_iter().map(Object::new));
        // A server pages as it likes, also without being asked to.
        page = match result.token {
            None => None,
            Some(token) => {
                let call = ContinueRetrievePropertiesEx { this: collector.clone(), token };
                Some(session.call(collector, &call).await?)
            }
        };
    }
    Ok(objects)
}

/// Waits until `done` accepts the properties of `object`, which it sees whenever one changed.
///
/// Dropping the future is safe: the collector that stays behind ends with the session. When the session
/// is renewed midway the wait begins anew, unless the object went with the old one.
///
/// # Errors
/// What the server says, [`ErrorKind::Unreachable`] after `limit`.
pub async fn wait_until(
    session: &Session,
    object: &MoRef,
    paths: &[&str],
    limit: Duration,
    mut done: impl FnMut(&Object) -> bool,
) -> Result<Object> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = session.generation();
        let late = || {
            let context = format!("wait for {object}: nothing happened for {} s", limit.as_secs());
            Error::new(ErrorKind::Unreachable, context)
        };
        let waited = timeout_at(deadline, wait_once(session, object, paths, &mut done)).await;
        match waited.unwrap_or_else(|_| Err(late())) {
            Err(error) if session.generation() != seen && !object.id.starts_with("session[") => {
                tracing::debug!(%error, "the session was lost in a wait, again");
            }
            result => return result,
        }
    }
}

/// Waits within one session, with a collector of its own.
async fn wait_once(
    session: &Session,
    object: &MoRef,
    paths: &[&str],
    done: &mut impl FnMut(&Object) -> bool,
) -> Result<Object> {
    let main = &session.content().property_collector;
    let collector = session.call(main, &CreatePropertyCollector { this: main.clone() }).await?;
    let result = updates(session, object, paths, &collector, done).await;
    let destroyed = session.call(&collector, &DestroyPropertyCollector { this: collector.clone() }).await;
    if let Err(error) = destroyed {
        tracing::debug!(%error, "leave a collector to the end of the session");
    }
    result
}

async fn updates(
    session: &Session,
    object: &MoRef,
    paths: &[&str],
    collector: &MoRef,
    done: &mut impl FnMut(&Object) -> bool,
) -> Result<Object> {
    let spec = PropertyFilterSpec {
        prop_set: vec![property_spec(session, &object.kind, paths)],
        object_set: vec![ObjectSpec { obj: object.clone(), ..ObjectSpec::default() }],
        ..PropertyFilterSpec::default()
    };
    let filter = CreateFilter { this: collector.clone(), spec, partial_updates: false };
    session.call(collector, &filter).await?;
    let mut state = Object { moref: object.clone(), ..Object::default() };
    let mut version = None;
    loop {
        let call = WaitForUpdatesEx {
            this: collector.clone(),
            version: version.clone(),
            options: Some(WaitOptions { max_wait_seconds: Some(WAIT_SECONDS), max_object_updates: None }),
        };
        // The server answers late on purpose, however little patience is there for other calls.
        let limit = session.patience().call + Duration::from_secs(u64::from(WAIT_SECONDS.unsigned_abs()));
        let Some(updates) = session.call_within(collector, &call, limit).await? else { continue };
        version = Some(updates.version.clone());
        apply(&mut state, updates)?;
        if done(&state) {
            return Ok(state);
        }
    }
}

fn apply(state: &mut Object, updates: UpdateSet) -> Result<()> {
    for update in updates.filter_set.into_iter().flat_map(|set| set.object_set) {
        if update.obj != state.moref {
            continue;
        }
        if update.kind.as_str() == "leave" {
            let context = format!("wait for {}: the server has removed it", state.moref);
            return Err(Error::new(ErrorKind::NotFound, context));
        }
        for change in update.change_set {
            match change.val {
                Some(value) => state.values.insert(change.name, value),
                None => state.values.remove(&change.name),
            };
        }
    }
    Ok(())
}
