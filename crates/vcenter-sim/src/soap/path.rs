//! Property paths: `config.hardware.device[2000].backing`.
//!
//! The types say which paths exist in which version; the value says what is set. A list that is
//! reached becomes an `ArrayOf…`, an element of a list is picked by its key.

use vsphere::wire::{
    Any, ApiVersion, Element, FieldInfo, Namespace, TypeInfo, TypeName, XsiType, data_type, data_types, property,
};

use super::fault::{self, Outcome};

/// Names of types that have no fields.
const SCALARS: [&str; 13] = [
    "DateTime",
    "ManagedObject",
    "ManagedObjectReference",
    "MethodName",
    "TypeName",
    "boolean",
    "byte",
    "double",
    "float",
    "int",
    "long",
    "short",
    "string",
];

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
    let mut list = info.type_name.ends_with("[]");
    let mut leaf = SCALARS.contains(&current);
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            if leaf {
                return Err(unknown());
            }
            // A type that is not generated cannot be judged; nothing of it is ever set.
            if data_type(current).is_none() {
                return Ok(());
            }
            let field = field(current, step.name).filter(|field| field.since <= version).ok_or_else(unknown)?;
            current = field.type_name.name;
            list = field.list;
            leaf = field.type_name.schema || SCALARS.contains(&current);
        }
        // Only lists have keys, and only an element of a list has fields.
        let is_last = index + 1 == steps.len();
        if step.key.is_some() && !list || step.key.is_none() && list && !is_last {
            return Err(unknown());
        }
    }
    Ok(())
}

/// Returns a field of a data object: its own, one of a base type, or one that only a subtype has, as
/// `device[2000].backing.fileName` goes through two base types.
pub(crate) fn field(kind: &str, name: &str) -> Option<&'static FieldInfo> {
    let of = |info: &'static TypeInfo| info.fields.iter().find(|field| field.name == name);
    ancestry(kind).find_map(of).or_else(|| {
        let is_subtype = |info: &&TypeInfo| ancestry(info.name).any(|ancestor| ancestor.name == kind);
        data_types().iter().filter(is_subtype).find_map(of)
    })
}

/// Returns a data object type and its base types.
fn ancestry(kind: &str) -> impl Iterator<Item = &'static TypeInfo> + use<> {
    std::iter::successors(data_type(kind), |info| data_type(info.base?))
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
    use vsphere::wire::Encode;
    use vsphere::wire::generated::{VirtualDisk, VirtualHardware, VirtualMachineConfigInfo};

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
        for path in [
            "config.hardware.device[2000].backing.fileName",
            "config.hardware.device[2000].capacityInBytes",
            "config.extraConfig[\"nvram\"].value",
        ] {
            assert!(check("VirtualMachine", path, NEWEST).is_ok(), "{path}");
        }
        for path in ["name.more", "parent.name", "config.hardware.device.key", "config.hardware[1]", "config.uuid.x"] {
            assert!(check("VirtualMachine", path, NEWEST).is_err(), "{path}");
        }
        let old = ApiVersion::parse("6.5").unwrap();
        assert!(check("HttpNfcLease", "capabilities", old).is_err());
        assert!(check("HttpNfcLease", "capabilities", NEWEST).is_ok());
    }

    #[test]
    fn a_path_picks_scalars_lists_and_elements_by_key() {
        let mut disk = VirtualDisk { capacity_in_kb: 7, ..VirtualDisk::default() };
        disk.base.key = 2001;
        let hardware = VirtualHardware { num_cpu: 3, device: vec![disk.into()], ..VirtualHardware::default() };
        let config = VirtualMachineConfigInfo { hardware, ..VirtualMachineConfigInfo::default() };
        let value = Any::new(&config, Encode { version: NEWEST });
        let pick = |path: &str| follow(value.clone(), path);
        let scalar = pick("config.hardware.numCPU").unwrap();
        assert_eq!((scalar.type_name(), scalar.element().text.as_str()), (Some("int"), "3"));
        let list = pick("config.hardware.device").unwrap();
        assert_eq!(list.type_name(), Some("ArrayOfVirtualDevice"));
        assert_eq!(list.element().children[0].name, "VirtualDevice");
        assert_eq!(pick("config.hardware.device[2001]").unwrap().type_name(), Some("VirtualDisk"));
        assert_eq!(pick("config.hardware.device[2001].capacityInKB").unwrap().element().text, "7");
        assert_eq!(pick("config.hardware.device[9]"), None);
        assert_eq!(pick("config.annotation"), None);
    }
}
