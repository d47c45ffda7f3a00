//! What a comparison with a manifest says: every file, and how it came out.

use hyper_api::Verification;

use crate::escape::escape;
use crate::human;
use crate::table;

pub(super) fn text(found: &Verification) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |name: &str, result: &str| rows.push(vec![escape(name).into_owned(), result.to_owned()]);
    found.verified.iter().for_each(|name| add(name, "right"));
    for mismatch in &found.mismatches {
        let escaped = |text: &str| escape(text).into_owned();
        let (algorithm, found, expected) =
            (escaped(&mismatch.algorithm), escaped(&mismatch.found), escaped(&mismatch.expected));
        add(&mismatch.name, &format!("WRONG: {algorithm} is {found}, the manifest says {expected}"));
    }
    found.missing.iter().for_each(|name| add(name, "MISSING"));
    found.not_covered.iter().for_each(|name| add(name, "not in the manifest"));
    let mut text = table::aligned(&["FILE", "RESULT"], &rows);
    let files = found.verified.len();
    let noun = if files == 1 { "file is" } else { "files are" };
    text.push_str(&format!("\n{files} {noun} as the manifest says; {} read\n", human::bytes(found.read_bytes)));
    text
}
