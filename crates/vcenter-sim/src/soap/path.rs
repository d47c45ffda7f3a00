//! Property paths: `config.hardware.device[2000].backing`.
//!
//! The types say which paths exist in which version; the value says what is set. A list that is
//! reached becomes an `ArrayOf…`, an element of a list is picked by its key.

use vsphere::wire::{Any, ApiVersion, Element, FieldInfo, Namespace, TypeName, XsiType, data_type, property};

use super::fault::{self, Outcome};

/// One step: a name and perhaps a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step<'a> {
    name: &'a str,
    key: Option<&'a str>,
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        let (key, tail) = match tail.strip_prefix('[') {
            Some(tail) => {
                let (key, tail) = tail.split_once(']')?;
                (Some(key.trim_matches('"')), tail)
            }
            None => (None, tail),
        };
        steps.push(Step { name, key });
        rest = match tail.strip_prefix('.') {
            Some("") => return None,
            Some(tail) => tail,
            None if tail.is_empty() => "",
            None => return None,
        };
    }
    let named = !steps.is_empty() && steps.iter().all(|step| !step.name.is_empty());
    named.then_some(steps)
}

/// Returns the property at the front of a path.
pub(crate) fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// Refuses a path that objects of type `kind` do not have in `version`.
pub(crate) fn check(kind: &str, path: &str, version: ApiVersion) -> Outcome<()> {
    let unknown = || fault::invalid_property(path);
    let steps = steps(path).ok_or_else(unknown)?;
    let info = property(kind, steps[0].name).filter(|info| info.since <= version).ok_or_else(unknown)?;
    let mut current = info.type_name.trim_end_matches("[]");
    for step in &steps[1..] {
        // A type that is not generated cannot be judged; nothing of it is ever set.
        if data_type(current).is_none() {
            return Ok(());
        }
        let field = field(current, step.name).filter(|field| field.since <= version).ok_or_else(unknown)?;
        current = field.type_name.name;
    }
    Ok(())
}

/// Returns a field of a data object, its own or one of a base type.
fn field(kind: &str, name: &str) -> Option<&'static FieldInfo> {
    let mut current = data_type(kind);
    while let Some(info) = current {
        if let Some(field) = info.fields.iter().find(|field| field.name == name) {
            return Some(field);
        }
        current = info.base.and_then(data_type);
    }
    None
}

/// Returns what stands at `path`, whose front property has the value `value`.
pub(crate) fn follow(value: Any, path: &str) -> Option<Any> {
    let steps = steps(path)?;
    let mut current = value;
    if let Some(key) = steps[0].key {
        current = Any::from_element(with_key(current.element().children.iter(), key)?.clone());
    }
    for step in &steps[1..] {
        current = child(&current, step)?;
    }
    Some(current)
}

fn child(parent: &Any, step: &Step<'_>) -> Option<Any> {
    let field = field(parent.type_name()?, step.name)?;
    let mut found = parent.element().children.iter().filter(|child| child.name == step.name);
    match step.key {
        Some(key) => Some(typed(with_key(found, key)?.clone(), field.type_name)),
        None if field.list => {
            let children: Vec<Element> =
                found.map(|item| Element { name: field.type_name.name.to_owned(), ..item.clone() }).collect();
            let array = XsiType { namespace: Namespace::Vim, name: array_of(field.type_name.name) };
            (!children.is_empty())
                .then(|| Any::from_element(Element { xsi_type: Some(array), children, ..Element::default() }))
        }
        None => Some(typed(found.next()?.clone(), field.type_name)),
    }
}

/// Says the declared type unless the element says a subtype itself.
fn typed(mut element: Element, declared: TypeName) -> Any {
    element.xsi_type.get_or_insert_with(|| declared.to_xsi());
    Any::from_element(element)
}

fn with_key<'a>(mut items: impl Iterator<Item = &'a Element>, key: &str) -> Option<&'a Element> {
    items.find(|item| item.child("key").is_some_and(|child| child.text == key))
}

fn array_of(name: &str) -> String {
    let mut letters = name.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("ArrayOf{first}{}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWEST: ApiVersion = ApiVersion::NEWEST;

    #[test]
    fn paths_are_checked_against_types_and_versions() {
        for path in ["name", "config.hardware.device", "config.hardware.device[2000].backing", "runtime.powerState"] {
            assert!(check("VirtualMachine", path, NEWEST).is_ok(), "{path}");
        }
        for path in
            ["", "nonsense", "config.nonsense", "config.", ".config", "config..hardware", "config.hardware.device[20"]
        {
            assert!(check("VirtualMachine", path, NEWEST).is_err(), "{path}");
        }
        let old = ApiVersion::parse("6.5").unwrap();
        assert!(check("HttpNfcLease", "capabilities", old).is_err());
        assert!(check("HttpNfcLease", "capabilities", NEWEST).is_ok());
    }
}
