//! A fault of the API by its name and the values of its fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use vsphere::wire::generated::AnyMethodFault;
use vsphere::wire::{Decode, Element, Fault, Namespace, Value as _, XsiType, data_type};

/// The base of all faults.
const BASE: &str = "MethodFault";

/// A fault: `{ type = "FileNotFound", fields = { file = "[ds] iso/x.iso" } }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// Name of its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its own fields: texts, numbers, switches, and references as `{ type = …, id = … }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Json>,
}

impl FaultSpec {
    /// Returns a fault without fields.
    pub(crate) fn plain(kind: &str, message: &str) -> Self {
        Self { kind: kind.to_owned(), message: Some(message.to_owned()), fields: BTreeMap::new() }
    }

    /// Makes the fault.
    ///
    /// # Errors
    /// A sentence: the type is no fault, a field is none of it, or a value has the wrong form.
    pub(crate) fn fault(&self) -> Result<Fault, String> {
        let kind = &self.kind;
        if !is_fault(kind) {
            return Err(format!("`{kind}` is no fault that the simulator knows; names are those of the API"));
        }
        let fields = fields_of(kind);
        if let Some(unknown) = self.fields.keys().find(|name| !fields.contains(&name.as_str())) {
            return Err(format!("a fault {kind} has no field `{unknown}`; it has: {}", fields.join(", ")));
        }
        let mut element = Element::new("fault");
        element.xsi_type = Some(XsiType { namespace: Namespace::Vim, name: kind.clone() });
        for name in fields {
            if let Some(value) = self.fields.get(name) {
                element.children.push(child(name, value).map_err(|rule| format!("field `{name}` of {kind}: {rule}"))?);
            }
        }
        // A required field that a rule leaves out is filled with nothing by a lenient reader.
        let mut decode = Decode { strict: false, ..Decode::default() };
        let detail = AnyMethodFault::read(&element, &mut decode)
            .map_err(|error| format!("a fault {kind} is not made like this: {error}"))?;
        let message = self.message.clone().unwrap_or_else(|| format!("A rule of the simulator answers with {kind}."));
        Ok(Fault::new(message, detail))
    }
}

fn child(name: &str, value: &Json) -> Result<Element, String> {
    match value {
        Json::String(text) => Ok(Element::with_text(name, text)),
        Json::Number(number) => Ok(Element::with_text(name, number.to_string())),
        Json::Bool(switch) => Ok(Element::with_text(name, switch.to_string())),
        Json::Object(parts) => {
            let part = |key: &str| parts.get(key).and_then(Json::as_str);
            let (Some(kind), Some(id)) = (part("type"), part("id")) else {
                return Err("a reference is { type = \"VirtualMachine\", id = \"vm-1\" }".to_owned());
            };
            let mut element = Element::with_text(name, id);
            element.managed_type = Some(kind.to_owned());
            Ok(element)
        }
        _ => Err("a value is a text, a number, true, false, or a reference".to_owned()),
    }
}

fn is_fault(kind: &str) -> bool {
    let mut current = Some(kind);
    while let Some(name) = current {
        if name == BASE {
            return true;
        }
        current = data_type(name).and_then(|info| info.base);
    }
    false
}

/// Returns the names of all fields, those of the base first, as the wire wants them.
fn fields_of(kind: &str) -> Vec<&'static str> {
    let Some(info) = data_type(kind) else { return Vec::new() };
    let mut fields = info.base.map(fields_of).unwrap_or_default();
    fields.extend(info.fields.iter().map(|field| field.name));
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vsphere::wire::ApiVersion;

    use super::*;

    fn spec(json: Json) -> FaultSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_fault_is_made_from_its_name_and_fields_in_wire_order() {
        let spec = spec(json!({
            "type": "NoPermission",
            "message": "no",
            "fields": {"privilegeId": "VApp.Export", "object": {"type": "VirtualMachine", "id": "vm-9"}},
        }));
        let xml = vsphere::wire::fault_xml(&spec.fault().unwrap(), ApiVersion::NEWEST);
        let fields = "<object type=\"VirtualMachine\">vm-9</object><privilegeId>VApp.Export</privilegeId>";
        assert!(xml.contains(fields), "{xml}");
        assert!(xml.contains("<faultstring>no</faultstring>"));
    }

    #[test]
    fn what_is_no_fault_and_fields_that_are_not_there_are_refused_with_what_is_possible() {
        for (json, word) in [
            (json!({"type": "VirtualDisk"}), "is no fault"),
            (json!({"type": "FileNotFoundd"}), "is no fault"),
            (json!({"type": "FileNotFound", "fields": {"path": "x"}}), "file"),
            (json!({"type": "FileNotFound", "fields": {"file": []}}), "a text, a number"),
        ] {
            let refusal = spec(json).fault().unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
