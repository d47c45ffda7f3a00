//! What is known about types by name: for values whose type only the wire says, for property paths,
//! and for checks of whole replies.

use super::codec::{Decode, DecodeError, TypeName};
use super::element::Element;
use super::generated::{MANAGED_TYPES, METHODS, TYPES};
use super::version::ApiVersion;

/// A generated data object type.
#[derive(Debug)]
pub struct TypeInfo {
    /// Name on the wire.
    pub name: &'static str,
    /// Name of the base type.
    pub base: Option<&'static str>,
    /// Own fields in wire order; the base's come before them.
    pub fields: &'static [FieldInfo],
    /// Reads an element as this type and drops the value.
    pub check: fn(&Element, &mut Decode) -> Result<(), DecodeError>,
}

/// A field of a data object.
#[derive(Debug)]
pub struct FieldInfo {
    /// Name on the wire.
    pub name: &'static str,
    /// API version that brought it.
    pub since: ApiVersion,
    /// Type of one value.
    pub type_name: TypeName,
    /// True when there may be several values.
    pub list: bool,
}

/// A generated call.
#[derive(Debug)]
pub struct MethodInfo {
    /// Name on the wire.
    pub name: &'static str,
    /// Managed type that has it.
    pub on: &'static str,
    /// API version that brought it.
    pub since: ApiVersion,
    /// Reads an element as this call and drops it.
    pub check_request: fn(&Element, &mut Decode) -> Result<(), DecodeError>,
    /// Reads an element as the reply to this call and drops it.
    pub check_reply: fn(&Element, &mut Decode) -> Result<(), DecodeError>,
}

/// A managed object type.
#[derive(Debug)]
pub struct ManagedInfo {
    /// Name on the wire.
    pub name: &'static str,
    /// Name of the base type, empty for the root.
    pub base: &'static str,
    /// Own properties.
    pub properties: &'static [PropertyInfo],
}

/// A property of a managed object.
#[derive(Debug)]
pub struct PropertyInfo {
    /// Name on the wire.
    pub name: &'static str,
    /// API version that brought it.
    pub since: ApiVersion,
    /// Name of its type; `[]` at the end marks a list.
    pub type_name: &'static str,
}

/// Returns the generated data object type of this name.
pub fn data_type(name: &str) -> Option<&'static TypeInfo> {
    let index = TYPES.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    TYPES.get(index)
}

/// Returns all generated data object types, sorted by name.
pub fn data_types() -> &'static [TypeInfo] {
    TYPES
}

/// Returns all generated calls, sorted by name.
pub fn methods() -> &'static [MethodInfo] {
    METHODS
}

/// Returns all managed object types, sorted by name.
pub fn managed_types() -> &'static [ManagedInfo] {
    MANAGED_TYPES
}

/// Returns the managed object type of this name.
pub fn managed_type(name: &str) -> Option<&'static ManagedInfo> {
    let index = MANAGED_TYPES.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    MANAGED_TYPES.get(index)
}

/// Returns the generated call of this name.
pub fn method(name: &str) -> Option<&'static MethodInfo> {
    let index = METHODS.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    METHODS.get(index)
}

/// Returns a property of a managed type, its own or one of a base type.
pub fn property(managed: &str, name: &str) -> Option<&'static PropertyInfo> {
    let mut current = managed_type(managed);
    while let Some(info) = current {
        if let Some(found) = info.properties.iter().find(|property| property.name == name) {
            return Some(found);
        }
        current = managed_type(info.base);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_so_that_every_entry_is_found() {
        for entry in TYPES {
            assert_eq!(data_type(entry.name).map(|found| found.name), Some(entry.name));
        }
        for entry in METHODS {
            assert_eq!(method(entry.name).map(|found| found.name), Some(entry.name));
        }
        for entry in MANAGED_TYPES {
            assert_eq!(managed_type(entry.name).map(|found| found.name), Some(entry.name));
        }
    }

    #[test]
    fn properties_are_found_in_base_types_with_their_version() {
        assert_eq!(property("VirtualMachine", "name").unwrap().type_name, "string");
        let capabilities = property("HttpNfcLease", "capabilities").unwrap();
        assert_eq!(capabilities.since, ApiVersion::parse("6.7").unwrap());
        assert!(property("VirtualMachine", "nonsense").is_none());
    }
}
