//! Collects the systems of an envelope, with their sections, and the values of its properties.

use std::collections::HashMap;

use super::VirtualSystem;
use super::hardware;
use super::parse::is_true;
use super::xml::Node;
use crate::package::machine::{Fact, GuestOs};
use crate::{Error, Result};

/// The values that properties have when nobody sets them, by their full key.
#[derive(Debug, Default)]
pub(super) struct Properties(HashMap<String, String>);

impl Properties {
    /// Returns what a text stands for: the value of a property for `${key}`, else itself.
    ///
    /// `None` when the property is unknown or has no value.
    pub(super) fn resolve<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        let text = text.trim();
        let Some(reference) = text.strip_prefix("${") else { return Some(text) };
        let key = reference.strip_suffix('}')?;
        self.0.get(key).map(String::as_str)
    }
}

/// Collects the properties of all products, wherever they stand.
///
/// The nesting is bounded by the reader, so looking into everything is.
pub(super) fn properties(root: &Node) -> Properties {
    let mut properties = Properties::default();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        if node.kind() == "ProductSection" {
            for property in node.children("Property") {
                let value = property.get("value").filter(|value| !value.is_empty());
                if let (Some(key), Some(value)) = (property_key(node, property), value) {
                    properties.0.entry(key).or_insert_with(|| value.to_owned());
                }
            }
        }
        open.extend(node.all_children());
    }
    properties
}

/// Returns the key by which a property is known outside: with class and instance of its product.
fn property_key(product: &Node, property: &Node) -> Option<String> {
    let mut key = property.get("key")?.to_owned();
    if let Some(class) = product.get("class").filter(|class| !class.is_empty()) {
        key = format!("{class}.{key}");
    }
    if let Some(instance) = product.get("instance").filter(|instance| !instance.is_empty()) {
        key = format!("{key}.{instance}");
    }
    Some(key)
}

/// Collects the systems below a node, in the order of the descriptor, out of collections too.
pub(super) fn systems(node: &Node, found: &mut Vec<VirtualSystem>) -> Result<()> {
    for child in node.all_children() {
        match child.kind() {
            "VirtualSystem" => found.push(read_system(child)?),
            // The depth of the tree is bounded by the reader.
            "VirtualSystemCollection" => systems(child, found)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_system(element: &Node) -> Result<VirtualSystem> {
    let mut system = VirtualSystem {
        id: element.get("id").unwrap_or_default().to_owned(),
        // An empty name is a name all the same; it is not the file's.
        name: element.child("Name").map(|name| name.text().to_owned()),
        ..VirtualSystem::default()
    };
    for section in element.all_children() {
        match section.kind() {
            "Name" | "Info" => {}
            "OperatingSystemSection" => system.guest_os = read_guest_os(section),
            "AnnotationSection" => system.annotation = section.child_text("Annotation").map(str::to_owned),
            "VirtualHardwareSection" => system.hardware.push(hardware::read(section)?),
            "ProductSection" => system.facts.extend(read_product(section)),
            "EulaSection" => system.facts.extend(section.child_text("License").map(|text| fact("licence", text))),
            other if section.get("required").is_none_or(is_true) && !is_ignorable(other) => {
                let text = section.child_text("Info").unwrap_or_default();
                system.facts.push(fact(&format!("section {other}"), text));
            }
            _ => {}
        }
    }
    if system.hardware.iter().map(|hardware| hardware.items.len()).sum::<usize>() > hardware::ITEMS_MAX {
        return Err(Error::limit("a machine has at most 4096 items of hardware").at(element.offset));
    }
    Ok(system)
}

/// Returns whether a section says nothing about the machine itself.
fn is_ignorable(kind: &str) -> bool {
    matches!(kind, "StartupSection" | "InstallSection" | "SnapshotSection" | "creation_date" | "export_date")
}

fn read_guest_os(section: &Node) -> GuestOs {
    GuestOs {
        vmware_id: section.get_vmware("osType").map(str::to_owned),
        cim_id: section.get("id").and_then(|id| id.trim().parse().ok()),
        description: section.child_text("Description").map(str::to_owned),
    }
}

fn read_product(section: &Node) -> Vec<Fact> {
    let words: Vec<_> =
        ["Vendor", "Product", "FullVersion"].into_iter().filter_map(|kind| section.child_text(kind)).collect();
    let mut facts = Vec::new();
    if !words.is_empty() {
        facts.push(fact("product", &words.join(" ")));
    }
    for property in section.children("Property") {
        let Some(key) = property_key(section, property) else { continue };
        // What is asked for like a password is one, whatever it is when nobody is asked.
        let is_secret = property.get("password").is_some_and(is_true);
        let value = property.get("value").filter(|_| !is_secret).unwrap_or_default();
        facts.push(fact(&format!("property {key}"), value));
    }
    facts
}

fn fact(subject: &str, text: &str) -> Fact {
    Fact { subject: subject.to_owned(), text: text.to_owned() }
}
