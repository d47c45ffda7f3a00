//! The grammar as a table.

use super::*;
use crate::cli::command;

fn rewritten(items: &[&str]) -> Result<Vec<String>, String> {
    let items: Vec<_> = ["hyperctl"].iter().chain(items).map(OsString::from).collect();
    let items = rewrite(&command(), &items).map_err(|wrong| wrong.reason)?;
    Ok(items.iter().skip(1).map(|item| item.to_str().unwrap().to_owned()).collect())
}

#[test]
fn lines_that_are_right() {
    for (items, expected) in [
        // One dash, two dashes, with and without an equals sign.
        (&["export", "vm1", "-o", "/x"][..], &["export", "--output=/x", "--", "vm1"][..]),
        (&["export", "vm1", "-output", "/x"], &["export", "--output=/x", "--", "vm1"]),
        (&["export", "vm1", "--output=/x"], &["export", "--output=/x", "--", "vm1"]),
        (&["export", "vm1", "-o=/x"], &["export", "--output=/x", "--", "vm1"]),
        (&["list", "-json"], &["list", "--json"]),
        (&["list", "--json"], &["list", "--json"]),
        // A value is taken whatever it looks like, and is not read as a flag.
        (&["list", "-filter", "-json"], &["list", "--filter=-json"]),
        (&["export", "-o", "--", "vm1"], &["export", "--output=--", "--", "vm1"]),
        (&["export", "-o", "-daemon", "vm1"], &["export", "--output=-daemon", "--", "vm1"]),
        (&["export", "-o", "help", "vm1"], &["export", "--output=help", "--", "vm1"]),
        (&["list", "-filter="], &["list", "--filter="]),
        (&["list", "-filter", ""], &["list", "--filter="]),
        (&["list", "-filter=a=b"], &["list", "--filter=a=b"]),
        // Booleans.
        (&["list", "-json=false"], &["list", "--json=false"]),
        (&["export", "-json", "false"], &["export", "--json", "--", "false"]),
        // So does a word that may be left out.
        (&["export", "-snapshot", "vm1"], &["export", "--snapshot", "--", "vm1"]),
        (&["export", "vm1", "-snapshot=quiesce"], &["export", "--snapshot=quiesce", "--", "vm1"]),
        // The last of a repeated flag wins.
        (&["list", "-filter", "a", "-filter", "b"], &["list", "--filter=b"]),
        (&["list", "-json", "-json=0"], &["list", "--json=0"]),
        // But for those that add up.
        (&["export", "v", "-disk", "0", "-disk=1"], &["export", "--disk=0", "--disk=1", "--", "v"]),
        // Global flags before and after the command; flags after positionals.
        (&["-daemon", "http://h:1", "list"], &["list", "--daemon=http://h:1"]),
        (&["list", "-daemon=http://h:1"], &["list", "--daemon=http://h:1"]),
        (&["-daemon", "list", "list"], &["list", "--daemon=list"]),
        (&["export", "vm1", "-json"], &["export", "--json", "--", "vm1"]),
        // The end of flags, and a lone dash.
        (&["export", "--", "-vm"], &["export", "--", "-vm"]),
        (&["--", "list", "-json"], &["list", "--", "-json"]),
        (&["export", "-"], &["export", "--", "-"]),
        // Help and version.
        (&["help"], &["--help"]),
        (&["help", "export"], &["export", "--help"]),
        (&["-h"], &["--help"]),
        (&["-help"], &["--help"]),
        (&["export", "-h"], &["export", "--help"]),
        (&["export", "vm1", "--help"], &["export", "--help", "--", "vm1"]),
        (&["-version"], &["--version"]),
        (&["--version"], &["--version"]),
        (&[], &[]),
    ] {
        assert_eq!(
            rewritten(items).as_deref(),
            Ok(&*expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()),
            "{items:?}"
        );
    }
}

#[test]
fn lines_that_are_wrong() {
    for (items, reason) in [
        (&["frobnicate"][..], "unknown command 'frobnicate'"),
        (&["-"], "unknown command '-'"),
        (&[""], "unknown command ''"),
        (&["list", "-nope"], "unknown flag -nope"),
        (&["list", "-nope=1"], "unknown flag -nope"),
        (&["list", "-o", "x"], "unknown flag -o"),
        (&["-json", "list"], "unknown flag -json"),
        (&["export", "-o"], "flag -o needs a value"),
        (&["-daemon"], "flag -daemon needs a value"),
        (&["list", "---json"], "'---json' is no flag"),
        (&["list", "-=x"], "'-=x' is no flag"),
        (&["list", "--=x"], "'--=x' is no flag"),
    ] {
        assert_eq!(rewritten(items), Err(reason.to_owned()), "{items:?}");
    }
}

#[test]
fn a_value_that_is_no_text_arrives_unchanged() {
    let value = OsString::from_vec(b"/x\xff=y".to_vec());
    let items = ["hyperctl".into(), "export".into(), "-o".into(), value, "vm1".into()];
    let items = rewrite(&command(), &items).unwrap();
    assert_eq!(items[2].as_bytes(), b"--output=/x\xff=y");
}

#[test]
fn booleans_are_those_of_go() {
    for text in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(boolean(text), Ok(true));
    }
    for text in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(boolean(text), Ok(false));
    }
    for text in ["", "yes", "tRUE", " 1"] {
        assert!(boolean(text).is_err(), "{text:?}");
    }
}

#[test]
fn integers_are_those_of_go() {
    for (text, value) in [
        ("0", 0),
        ("50", 50),
        ("-1", -1),
        ("+7", 7),
        ("010", 8),
        ("0x1F", 31),
        ("0b101", 5),
        ("0o17", 15),
        ("1_0", 10),
        ("0x_1f", 31),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(integer(text), Ok(value), "{text}");
    }
    for text in ["", " 1", "1 ", "1.0", "1e3", "_1", "1_", "1__0", "08", "0x", "--1", "9223372036854775808", "ä1"] {
        assert!(integer(text).is_err(), "{text:?}");
    }
}
