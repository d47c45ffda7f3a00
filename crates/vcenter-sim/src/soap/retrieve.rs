//! Picks objects and reads their properties: what a `PropertyFilterSpec` means.
//!
//! A traversal may name itself and walk in circles, so each object is walked once for each
//! selection. Results larger than a page wait under a token until they are asked for.

use std::collections::{HashMap, HashSet};

use vsphere::wire::generated::{
    AnySelectionSpec, CancelRetrievePropertiesEx, ContinueRetrievePropertiesEx, DynamicProperty, MissingProperty,
    ObjectContent, PropertyFilterSpec, RetrieveProperties, RetrievePropertiesEx, RetrieveResult, TraversalSpec,
};
use vsphere::wire::{Decode, MoRef, managed_type};

use super::call::Call;
use super::fault::{self, Outcome};
use super::kinds::is_a;
use super::state::State;
use super::{path, property};

/// Pages that one session may leave waiting; older ones are forgotten.
const PAGES_MAX: usize = 100;

/// The rest of a result, with the session that may ask for it.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) session: String,
    rest: Vec<ObjectContent>,
    size: usize,
}

/// An object and the paths that are wanted of it.
pub(crate) type Wanted = (MoRef, Vec<String>);

/// `RetrieveProperties`.
pub(crate) fn all(call: &Call<'_>, request: RetrieveProperties) -> Outcome<Vec<ObjectContent>> {
    read(call, &call.lock(), &request.spec_set)
}

/// `RetrievePropertiesEx`.
pub(crate) fn first(call: &Call<'_>, request: RetrievePropertiesEx) -> Outcome<Option<RetrieveResult>> {
    let session = call.session(&request.this)?.to_owned();
    let mut state = call.lock();
    let contents = read(call, &state, &request.spec_set)?;
    let asked = match request.options.max_objects.map(usize::try_from) {
        None => None,
        Some(Ok(count)) if count > 0 => Some(count),
        Some(_) => return Err(fault::invalid_argument("options.maxObjects", "it is not above zero")),
    };
    let imposed = call.world.faults.now().max_page_size.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let size = asked.into_iter().chain(imposed).min().unwrap_or(usize::MAX);
    if contents.is_empty() {
        return Ok(None);
    }
    page(&mut state, Pages { session, rest: contents, size }).map(Some)
}

/// `ContinueRetrievePropertiesEx`.
pub(crate) fn next(call: &Call<'_>, request: ContinueRetrievePropertiesEx) -> Outcome<RetrieveResult> {
    let mut state = call.lock();
    let pages = take(call, &mut state, &request.this, &request.token)?;
    page(&mut state, pages)
}

/// `CancelRetrievePropertiesEx`.
pub(crate) fn cancel(call: &Call<'_>, request: CancelRetrievePropertiesEx) -> Outcome<()> {
    take(call, &mut call.lock(), &request.this, &request.token).map(drop)
}

fn take(call: &Call<'_>, state: &mut State, object: &MoRef, token: &str) -> Outcome<Pages> {
    let session = call.session(object)?;
    let is_own = state.pages.get(token).is_some_and(|pages| pages.session == session);
    let unknown = || fault::invalid_argument("token", "there is no such retrieval");
    state.pages.remove(token).filter(|_| is_own).ok_or_else(unknown)
}

/// Cuts a page off and keeps the rest.
fn page(state: &mut State, mut pages: Pages) -> Outcome<RetrieveResult> {
    let rest = pages.rest.split_off(pages.size.min(pages.rest.len()));
    let objects = std::mem::replace(&mut pages.rest, rest);
    let token = (!pages.rest.is_empty()).then(|| {
        state.pages_made += 1;
        // Tokens grow, so that the first of the map is the oldest.
        format!("{:016x}-{}", state.pages_made, uuid::Uuid::new_v4())
    });
    if let Some(token) = &token {
        if state.pages.len() >= PAGES_MAX {
            state.pages.pop_first();
        }
        state.pages.insert(token.clone(), pages);
    }
    Ok(RetrieveResult { token, objects })
}

fn read(call: &Call<'_>, state: &State, specs: &[PropertyFilterSpec]) -> Outcome<Vec<ObjectContent>> {
    let mut contents = Vec::new();
    for spec in specs {
        for (object, paths) in select(call, state, spec)? {
            contents.push(content(call, state, object, &paths)?);
        }
    }
    Ok(contents)
}

/// Reads the paths of one object; what is unset is left out, what may not be read is named.
pub(crate) fn content(call: &Call<'_>, state: &State, obj: MoRef, paths: &[String]) -> Outcome<ObjectContent> {
    let mut content = ObjectContent { obj, ..ObjectContent::default() };
    for path in paths {
        match property::value(call, state, &content.obj, path) {
            Ok(Some(val)) => content.prop_set.push(DynamicProperty { name: path.clone(), val }),
            Ok(None) => {}
            Err(fault) if fault.type_name() == "NoPermission" => {
                content.missing_set.push(MissingProperty { path: path.clone(), fault: fault::localized(fault) });
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(content)
}

/// Returns the objects that a spec picks, in the order in which they are found.
///
/// # Errors
/// InvalidProperty for a path that a picked type does not have, also where no object is picked.
pub(crate) fn select(call: &Call<'_>, state: &State, spec: &PropertyFilterSpec) -> Outcome<Vec<Wanted>> {
    for set in &spec.prop_set {
        if managed_type(&set.type_).is_none() && set.type_ != "ManagedObject" {
            return Err(fault::invalid_type(&set.type_));
        }
        for path in &set.path_set {
            path::check(&set.type_, path, call.version)?;
        }
    }
    let mut walk =
        Walk { call, state, named: HashMap::new(), walked: HashSet::new(), found: Vec::new(), seen: HashSet::new() };
    for set in &spec.object_set {
        if !property::exists(call, state, &set.obj) {
            if spec.report_missing_objects_in_results == Some(true) {
                continue;
            }
            return Err(fault::not_found(&set.obj));
        }
        walk.named.clear();
        set.select_set.iter().for_each(|selection| walk.name(selection));
        if set.skip != Some(true) {
            walk.add(&set.obj);
        }
        walk.descend(&set.obj, &set.select_set)?;
    }
    let paths = |object: &MoRef| {
        let sets = spec.prop_set.iter().filter(|set| is_a(&object.kind, &set.type_));
        let mut wanted: Option<Vec<String>> = None;
        for set in sets {
            let list = wanted.get_or_insert_default();
            if set.all == Some(true) {
                list.extend(all_paths(call, &object.kind));
            }
            list.extend(set.path_set.iter().cloned());
        }
        wanted
    };
    Ok(walk.found.into_iter().filter_map(|object| paths(&object).map(|paths| (object, paths))).collect())
}

/// Returns all properties that a type has in this version.
fn all_paths(call: &Call<'_>, kind: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut current = managed_type(kind);
    while let Some(info) = current {
        let known = info.properties.iter().filter(|property| property.since <= call.version);
        paths.extend(known.map(|property| property.name.to_owned()));
        current = managed_type(info.base);
    }
    paths
}

struct Walk<'a, 'b> {
    call: &'a Call<'a>,
    state: &'a State,
    /// Traversals by name.
    named: HashMap<&'b str, &'b TraversalSpec>,
    /// Objects that were walked by a traversal (its address stands for it).
    walked: HashSet<(MoRef, usize)>,
    found: Vec<MoRef>,
    seen: HashSet<MoRef>,
}

impl<'b> Walk<'_, 'b> {
    fn name(&mut self, selection: &'b AnySelectionSpec) {
        if let AnySelectionSpec::TraversalSpec(traversal) = selection {
            if let Some(name) = &traversal.name {
                self.named.insert(name, traversal);
            }
            traversal.select_set.iter().for_each(|inner| self.name(inner));
        }
    }

    fn add(&mut self, object: &MoRef) {
        if self.seen.insert(object.clone()) {
            self.found.push(object.clone());
        }
    }

    fn descend(&mut self, from: &MoRef, selections: &'b [AnySelectionSpec]) -> Outcome<()> {
        // A list of work in place of recursion: inventories and rings of names may be deep.
        let mut work: Vec<(MoRef, &'b [AnySelectionSpec])> = vec![(from.clone(), selections)];
        while let Some((object, selections)) = work.pop() {
            let mut next = Vec::new();
            for selection in selections {
                let traversal = self.traversal(selection)?;
                let address = std::ptr::from_ref(traversal).addr();
                if !is_a(&object.kind, &traversal.type_) || !self.walked.insert((object.clone(), address)) {
                    continue;
                }
                for child in self.follow(&object, traversal)? {
                    if traversal.skip != Some(true) {
                        self.add(&child);
                    }
                    next.push((child, traversal.select_set.as_slice()));
                }
            }
            work.extend(next.into_iter().rev());
        }
        Ok(())
    }

    fn traversal(&self, selection: &'b AnySelectionSpec) -> Outcome<&'b TraversalSpec> {
        match selection {
            AnySelectionSpec::TraversalSpec(traversal) => Ok(traversal),
            other => {
                let name = other.name.as_deref().unwrap_or_default();
                let unknown = || fault::invalid_argument("selectSet", &format!("no traversal is named `{name}`"));
                self.named.get(name).copied().ok_or_else(unknown)
            }
        }
    }

    fn follow(&self, object: &MoRef, traversal: &TraversalSpec) -> Outcome<Vec<MoRef>> {
        let value = match property::value(self.call, self.state, object, &traversal.path) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(Vec::new()),
            // What may not be read leads nowhere.
            Err(fault) if fault.type_name() == "NoPermission" => return Ok(Vec::new()),
            Err(fault) => return Err(fault),
        };
        let decode = &mut Decode::default();
        let references = if value.type_name() == Some("ArrayOfManagedObjectReference") {
            value.get_list(decode)
        } else {
            value.get(decode).map(|one: MoRef| vec![one])
        };
        references.map_err(|_| fault::invalid_property(&traversal.path))
    }
}
