//! Compares the form of two replies, not their values.

use std::collections::BTreeSet;

use vsphere::wire::Element;

/// What comparisons have seen so far.
#[derive(Default)]
pub(super) struct Comparison {
    /// Elements of ours that were compared with a recorded one.
    pub(super) elements: usize,
    /// `Type.property` of what was compared.
    pub(super) properties: BTreeSet<String>,
    /// What is not of the recorded form.
    pub(super) differences: BTreeSet<String>,
    /// Paths of ours that no recording shows, so that nothing is known of their form.
    pub(super) unrecorded: BTreeSet<String>,
    /// `Type.property` that was recorded and that ours does not set.
    pub(super) unset: BTreeSet<String>,
}

impl Comparison {
    /// Compares a reply with the recorded one.
    pub(super) fn compare(&mut self, recorded: &Element, ours: &Element) {
        match (objects(recorded), objects(ours)) {
            // What is unset is no object's fault: compare property by property.
            (Some(recorded), ours) if ours.is_some() || recorded.is_empty() => {
                let (Some(recorded), Some(ours)) = (recorded.first(), ours.and_then(|ours| ours.first().copied()))
                else {
                    return;
                };
                self.object(recorded, ours);
            }
            (Some(_), _) => {}
            (None, _) => self.element(&recorded.name.clone(), recorded, ours),
        }
    }

    /// Compares what is said of an object.
    fn object(&mut self, recorded: &Element, ours: &Element) {
        let kind = recorded.child("obj").and_then(|obj| obj.managed_type.clone()).unwrap_or_default();
        for property in recorded.children.iter().filter(|child| child.name == "propSet") {
            let name = property.child("name").map(|name| name.text.clone()).unwrap_or_default();
            let path = format!("{kind}.{name}");
            let same =
                |child: &&Element| child.name == "propSet" && child.child("name").is_some_and(|n| n.text == name);
            let found = ours.children.iter().find(same);
            match (property.child("val"), found.and_then(|property| property.child("val"))) {
                (Some(recorded), Some(ours)) => {
                    self.properties.insert(path.clone());
                    self.element(&path, recorded, ours);
                }
                _ => drop(self.unset.insert(path)),
            }
        }
    }

    fn element(&mut self, path: &str, recorded: &Element, ours: &Element) {
        self.elements += 1;
        if recorded.xsi_type != ours.xsi_type {
            let said = |element: &Element| element.xsi_type.as_ref().map_or("none", |xsi| xsi.name.as_str()).to_owned();
            self.differ(path, &format!("xsi:type {} instead of {}", said(ours), said(recorded)));
            return;
        }
        if recorded.managed_type.is_some() != ours.managed_type.is_some() {
            return self.differ(path, "is a reference in one of them only");
        }
        if class(&recorded.text) != class(&ours.text) && !recorded.text.is_empty() && !ours.text.is_empty() {
            // A text may look like anything; booleans and times are told from their neighbours.
            if [class(&recorded.text), class(&ours.text)].iter().any(|class| *class != Class::Other) {
                self.differ(path, &format!("`{}` instead of the likes of `{}`", ours.text, recorded.text));
            }
        }
        self.order(path, recorded, ours);
        for child in &ours.children {
            let inner = format!("{path}.{}", child.name);
            // Of a list the item of the same type; else the only one.
            let same = |candidate: &&Element| candidate.name == child.name && candidate.xsi_type == child.xsi_type;
            let named = |candidate: &&Element| candidate.name == child.name;
            let found = recorded.children.iter().find(same);
            match found.or_else(|| recorded.children.iter().find(named).filter(|found| found.xsi_type.is_none())) {
                Some(found) => self.element(&inner, found, child),
                // An item of another type than all recorded ones of a list, or a new name.
                None => self.unmatched(inner, recorded, child),
            }
        }
    }

    /// What no recorded child fits: a wrong type, or something that no recording shows.
    fn unmatched(&mut self, path: String, recorded: &Element, ours: &Element) {
        let types: BTreeSet<Option<&str>> = recorded
            .children
            .iter()
            .filter(|child| child.name == ours.name)
            .map(|child| child.xsi_type.as_ref().map(|xsi| xsi.name.as_str()))
            .collect();
        let own = ours.xsi_type.as_ref().map(|xsi| xsi.name.as_str());
        // A list of several types may hold one more; that of one type may not, and none may lack it.
        match (types.len(), types.first()) {
            (0, _) => drop(self.unrecorded.insert(path)),
            (1, Some(only)) => self.differ(&path, &format!("xsi:type {own:?} instead of {only:?}")),
            _ if own.is_none() => self.differ(&path, &format!("no xsi:type instead of one of {types:?}")),
            _ => drop(self.unrecorded.insert(format!("{path}:{}", own.unwrap_or_default()))),
        }
    }

    /// The names that both have stand in the same order.
    fn order(&mut self, path: &str, recorded: &Element, ours: &Element) {
        let (theirs, own) = (names(recorded), names(ours));
        let common: Vec<&str> = own.iter().copied().filter(|name| theirs.contains(name)).collect();
        let expected: Vec<&str> = theirs.iter().copied().filter(|name| own.contains(name)).collect();
        if common != expected {
            self.differ(path, &format!("order {common:?} instead of {expected:?}"));
        }
    }

    fn differ(&mut self, path: &str, what: &str) {
        self.differences.insert(format!("{path}: {what}"));
    }
}

/// Returns the objects of a reply of the PropertyCollector; `None` when it is none.
fn objects(reply: &Element) -> Option<Vec<&Element>> {
    if !reply.name.starts_with("RetrieveProperties") {
        return None;
    }
    let results = reply.children.iter().filter(|child| child.name == "returnval");
    Some(results.flat_map(|result| result.children.iter().filter(|child| child.name == "objects")).collect())
}

/// Returns the names of the children, each once, in the order of their first.
fn names(element: &Element) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for child in &element.children {
        if !names.contains(&child.name.as_str()) {
            names.push(&child.name);
        }
    }
    names
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Boolean,
    Time,
    Other,
}

fn class(text: &str) -> Class {
    let is_time = text.len() >= 20 && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T' && text.ends_with('Z');
    match text {
        "true" | "false" => Class::Boolean,
        _ if is_time => Class::Time,
        _ => Class::Other,
    }
}
