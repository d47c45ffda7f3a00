//! The codec against replies recorded from real vCenters.
//!
//! They lie in the test fixtures of pyvmomi's source archives, which `./dev` fetches: 22 files a
//! release. Their vim25 replies are read with the generated types, and no such type may meet an
//! element that it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io::Write as _};

use serde_json::Value;
use vsphere::wire::{Decode, Element, Limits, Namespace, data_type, method};

/// What one pass over all fixtures saw.
#[derive(Default)]
struct Tally {
    replies: usize,
    typed_replies: usize,
    typed_values: usize,
    types: BTreeSet<String>,
    unknown: BTreeSet<String>,
    failures: Vec<String>,
    out_of_order: BTreeSet<String>,
    /// Reason → names of what was skipped.
    skipped: BTreeMap<String, BTreeSet<String>>,
}

#[test]
fn every_recorded_reply_is_read_without_an_unknown_element() {
    let unpacked = tempfile::tempdir().unwrap();
    let test = "every_recorded_reply_is_read_without_an_unknown_element";
    let Some(fixtures) = judges::recordings(test, unpacked.path()) else { return };
    let mut tally = Tally::default();
    fixtures.iter().for_each(|fixture| read_fixture(fixture, &mut tally));
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "recorded: {} vim25 replies, {} typed, {} values of {} generated types",
        tally.replies,
        tally.typed_replies,
        tally.typed_values,
        tally.types.len()
    )
    .unwrap();
    for (reason, names) in &tally.skipped {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        writeln!(stderr, "recorded: skipped, {reason}: {}", names.join(", ")).unwrap();
    }
    assert!(tally.replies >= 100, "only {} replies: are the archives whole?", tally.replies);
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert!(tally.unknown.is_empty(), "{:#?}", tally.unknown);
    assert!(tally.out_of_order.is_empty(), "{:#?}", tally.out_of_order);
}

fn read_fixture(path: &Path, tally: &mut Tally) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap().replace("!!python/unicode ", "");
    let recording: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    for interaction in recording["interactions"].as_array().unwrap() {
        let body = &interaction["response"]["body"];
        let text = body["string"].as_str().or_else(|| body.as_str()).unwrap_or_default();
        match Element::parse(text, Limits::default()) {
            Ok(root) if root.name == "Envelope" => read_envelope(&name, &root, tally),
            Ok(root) => skip(tally, format!("no envelope but <{}>", root.name), &name),
            Err(error) if text.trim_start().starts_with("<?xml") => tally.failures.push(format!("{name}: {error}")),
            Err(_) => skip(tally, "no XML (an empty body, or a proxy's page)".into(), &name),
        }
    }
}

fn skip(tally: &mut Tally, reason: String, name: &str) {
    tally.skipped.entry(reason).or_default().insert(name.to_owned());
}

fn read_envelope(fixture: &str, root: &Element, tally: &mut Tally) {
    let content = root.child("Body").and_then(|body| body.children.first());
    let Some(content) = content else { return skip(tally, "an empty body".into(), fixture) };
    if content.name == "Fault" && content.namespace == Namespace::Soap {
        tally.replies += 1;
        return read_values(fixture, content, tally);
    }
    if content.namespace != Namespace::Vim {
        return skip(tally, format!("another API than vim25: {}", content.name), fixture);
    }
    tally.replies += 1;
    match content.name.strip_suffix("Response").and_then(method) {
        Some(info) => {
            tally.typed_replies += 1;
            check(fixture, &content.name, content, info.check_reply, tally);
        }
        None => skip(tally, format!("reply of a call not in use: {} (its values are read)", content.name), fixture),
    }
    read_values(fixture, content, tally);
}

/// Reads everything inside that says its type.
fn read_values(fixture: &str, element: &Element, tally: &mut Tally) {
    if let Some(xsi) = element.xsi_type.as_ref().filter(|xsi| xsi.namespace == Namespace::Vim)
        && let Some(info) = data_type(&xsi.name)
    {
        tally.typed_values += 1;
        tally.types.insert(xsi.name.clone());
        check(fixture, &xsi.name, element, info.check, tally);
    }
    element.children.iter().for_each(|child| read_values(fixture, child, tally));
}

type Check = fn(&Element, &mut Decode) -> Result<(), vsphere::wire::DecodeError>;

fn check(fixture: &str, what: &str, element: &Element, check: Check, tally: &mut Tally) {
    let mut decode = Decode::default();
    if let Err(error) = check(element, &mut decode) {
        tally.failures.push(format!("{fixture}: {what}: {error}"));
    }
    tally.unknown.extend(decode.unknown);
    // A strict reader also refuses subtypes and words that the bindings do not have; order is its
    // business only.
    let strict = check(element, &mut Decode { strict: true, ..Decode::default() });
    if let Err(error) = strict.map_err(|error| error.to_string())
        && error.contains("out of order")
    {
        tally.out_of_order.insert(error);
    }
}
