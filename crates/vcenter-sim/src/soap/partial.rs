//! What changed inside a property, for filters that were made with `partialUpdates`.
//!
//! Data objects are compared field by field: `info` of a task that goes on becomes `info.progress`.
//! Lists change as a whole.

use vsphere::wire::generated::{PropertyChange, PropertyChangeOp};
use vsphere::wire::{Any, Element, data_type};

use super::path;

/// Returns the changes that lead from one value of the property `path` to another.
pub(crate) fn changes(path: &str, told: &Any, now: &Any) -> Vec<PropertyChange> {
    let mut found = Vec::new();
    // Keyed paths are told whole: what they lead to has no steps that `follow` could take from here.
    match path.contains(['.', '[']) {
        true => found.push(assign(path, Some(now.clone()))),
        false => compare(path, now, (told.element(), now.element()), now.type_name(), &mut found),
    }
    found
}

fn compare(
    path: &str,
    whole: &Any,
    (told, now): (&Element, &Element),
    declared: Option<&str>,
    found: &mut Vec<PropertyChange>,
) {
    if told == now {
        return;
    }
    let kind = now.xsi_type.as_ref().map(|xsi| xsi.name.as_str()).or(declared);
    let same_kind = told.xsi_type == now.xsi_type;
    let fields = kind.filter(|_| same_kind).filter(|kind| data_type(kind).is_some());
    let Some(kind) = fields else {
        found.push(assign(path, path::follow(whole.clone(), path)));
        return;
    };
    for name in names(told, now) {
        let (before, after) = (named(told, name), named(now, name));
        if before == after {
            continue;
        }
        let inner = format!("{path}.{name}");
        let field = path::field(kind, name);
        match (before.as_slice(), after.as_slice(), field) {
            ([before], [after], Some(field)) if !field.list => {
                compare(&inner, whole, (*before, *after), Some(field.type_name.name), found);
            }
            _ => found.push(assign(&inner, path::follow(whole.clone(), &inner))),
        }
    }
}

/// Returns the names of the fields of two objects, each once, in their order.
fn names<'a>(told: &'a Element, now: &'a Element) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for child in now.children.iter().chain(&told.children) {
        if !names.contains(&child.name.as_str()) {
            names.push(&child.name);
        }
    }
    names
}

fn named<'a>(parent: &'a Element, name: &str) -> Vec<&'a Element> {
    parent.children.iter().filter(|child| child.name == name).collect()
}

fn assign(name: &str, val: Option<Any>) -> PropertyChange {
    PropertyChange { name: name.to_owned(), op: PropertyChangeOp::Assign, val }
}

#[cfg(test)]
mod tests {
    use vsphere::wire::generated::{TaskInfo, TaskInfoState, VirtualHardware, VirtualMachineConfigInfo};
    use vsphere::wire::{ApiVersion, Encode, Value};

    use super::*;

    fn any<T: Value>(value: &T) -> Any {
        Any::new(value, Encode { version: ApiVersion::NEWEST })
    }

    fn assert_told(changes: &[PropertyChange], expected: &[(&str, Option<&str>)]) {
        let text = |change: &PropertyChange| change.val.as_ref().map(|value| value.element().text.clone());
        let told: Vec<_> = changes.iter().map(|change| (change.name.clone(), text(change))).collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, text)| ((*name).to_owned(), text.map(ToOwned::to_owned))).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_task_that_goes_on_tells_only_what_moved() {
        let before =
            TaskInfo { key: "task-1".into(), state: TaskInfoState::Running, progress: Some(10), ..TaskInfo::default() };
        let after = TaskInfo { progress: Some(50), ..before.clone() };
        assert_told(&changes("info", &any(&before), &any(&after)), &[("info.progress", Some("50"))]);
        let ended = TaskInfo { state: TaskInfoState::Success, progress: None, ..before.clone() };
        let told = changes("info", &any(&after), &any(&ended));
        assert_told(&told, &[("info.state", Some("success")), ("info.progress", None)]);
        assert_eq!(told[0].val.as_ref().unwrap().type_name(), Some("TaskInfoState"));
        assert!(changes("info", &any(&before), &any(&before)).is_empty());
    }

    #[test]
    fn fields_of_fields_are_compared_and_a_list_is_told_whole() {
        let config = |cpus: i32, note: &str| VirtualMachineConfigInfo {
            annotation: Some(note.to_owned()),
            hardware: VirtualHardware { num_cpu: cpus, ..VirtualHardware::default() },
            ..VirtualMachineConfigInfo::default()
        };
        let told = changes("config", &any(&config(1, "a")), &any(&config(2, "b")));
        assert_told(&told, &[("config.annotation", Some("b")), ("config.hardware.numCPU", Some("2"))]);
        let list = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Any::list(&names, Encode { version: ApiVersion::NEWEST })
        };
        let told = changes("disabledMethod", &list(&["a"]), &list(&["a", "b"]));
        assert_eq!((told.len(), told[0].name.as_str()), (1, "disabledMethod"));
        assert_eq!(told[0].val, Some(list(&["a", "b"])));
    }
}
