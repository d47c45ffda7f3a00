//! List views: the objects that somebody named. What is not there any more is not in them.

use vsphere::wire::MoRef;
use vsphere::wire::generated::{CreateListView, ModifyListView, ResetListView};

use super::call::Call;
use super::fault::{self, Outcome};
use super::property;
use super::state::State;
use super::view::{Members, View};

/// `CreateListView`.
pub(crate) fn create(call: &Call<'_>, request: CreateListView) -> Outcome<MoRef> {
    let id = call.session_id(&request.this)?;
    let session = call.session(&request.this)?.to_owned();
    let mut state = call.lock();
    if let Some(missing) = request.obj.iter().find(|object| !property::exists(call, &state, object)) {
        return Err(fault::not_found(missing));
    }
    state.views.insert(id.clone(), View { session, members: Members::Listed(request.obj) });
    Ok(MoRef::new("ListView", id))
}

/// `ModifyListView`: adds, then removes; returns what could not be added.
pub(crate) fn modify(call: &Call<'_>, request: ModifyListView) -> Outcome<Vec<MoRef>> {
    let mut state = call.lock();
    let (present, missing) = split(call, &state, request.add);
    let listed = listed(call, &mut state, &request.this)?;
    for object in present {
        if !listed.contains(&object) {
            listed.push(object);
        }
    }
    listed.retain(|object| !request.remove.contains(object));
    drop(state);
    call.soap.tell();
    Ok(missing)
}

/// `ResetListView`: returns what could not be added.
pub(crate) fn reset(call: &Call<'_>, request: ResetListView) -> Outcome<Vec<MoRef>> {
    let mut state = call.lock();
    let (present, missing) = split(call, &state, request.obj);
    *listed(call, &mut state, &request.this)? = present;
    drop(state);
    call.soap.tell();
    Ok(missing)
}

fn split(call: &Call<'_>, state: &State, objects: Vec<MoRef>) -> (Vec<MoRef>, Vec<MoRef>) {
    objects.into_iter().partition(|object| property::exists(call, state, object))
}

/// Returns the list of a view of the caller's.
fn listed<'a>(call: &Call<'_>, state: &'a mut State, this: &MoRef) -> Outcome<&'a mut Vec<MoRef>> {
    match state.views.get_mut(&this.id).filter(|view| call.owns(&view.session)).map(|view| &mut view.members) {
        Some(Members::Listed(list)) => Ok(list),
        _ => Err(fault::not_found(this)),
    }
}
