//! Reads a recording: requests with their SOAPAction, and the replies.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vsphere::wire::{Element, Limits, Namespace};

/// A vim25 call and what a vCenter answered.
pub(super) struct Exchange {
    /// The API version of the call's `SOAPAction`; the oldest when it has none.
    pub(super) version: String,
    pub(super) call: Element,
    pub(super) reply: Element,
    pub(super) is_fault: bool,
}

/// Returns the vim25 calls of a recording; other protocols and other APIs are not ours to answer.
pub(super) fn exchanges(path: &Path) -> Vec<Exchange> {
    let text = fs::read_to_string(path).unwrap().replace("!!python/unicode ", "");
    let recording: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    recording["interactions"].as_array().unwrap().iter().filter_map(exchange).collect()
}

fn exchange(interaction: &Value) -> Option<Exchange> {
    let request = &interaction["request"];
    let call = body_of(text_of(&request["body"]))?;
    let reply = body_of(text_of(&interaction["response"]["body"]))?;
    if call.namespace != Namespace::Vim {
        return None;
    }
    let actions = request["headers"]["SOAPAction"].as_array();
    let action = actions.and_then(|actions| actions.first()?.as_str()).unwrap_or_default();
    let version = action.trim_matches('"').strip_prefix("urn:vim25/").unwrap_or_default().to_owned();
    let is_fault = reply.name == "Fault";
    Some(Exchange { version, call, reply, is_fault })
}

fn text_of(body: &Value) -> &str {
    body["string"].as_str().or_else(|| body.as_str()).unwrap_or_default()
}

/// Returns what stands in the body of an envelope.
pub(super) fn body_of(text: &str) -> Option<Element> {
    let envelope = Element::parse(text, Limits::default()).ok()?;
    envelope.child("Body")?.children.first().cloned()
}
