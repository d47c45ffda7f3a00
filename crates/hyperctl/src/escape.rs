//! Makes text from elsewhere harmless on a terminal.
//!
//! VM names, guest texts and server faults may hold anything. Escape sequences would repaint the
//! screen, line ends would forge rows, bidirectional controls would make one name look like
//! another. Letters of every script stay as they are.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `text` with everything that would not print as itself written as `\u{…}`, hexadecimal.
/// The backslash of a literal `\u{` is escaped as well, so that no two texts look the same.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.char_indices().any(|(at, c)| must_escape(c) || is_literal(&text[at..])) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if must_escape(c) || is_literal(&text[at..]) {
            // Writing to a String cannot fail.
            _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Returns `text` in ASCII: as [`escape`], and every letter beyond it written out as well, for callers that decode
/// strictly in whatever locale they have (contract A.4).
pub fn escape_ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in escape(text).chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            // Writing to a String cannot fail.
            _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        }
    }
    escaped
}

/// Returns JSON in ASCII, its value the same.
pub fn escape_json_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in escape_json(json).chars() {
        if c.is_ascii() {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

/// Returns JSON with the same characters written as `\uXXXX`. The value stays the same: all of them
/// stand inside strings, because JSON allows none of them elsewhere but line feeds, which stay.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !must_escape(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

fn is_literal(rest: &str) -> bool {
    rest.starts_with("\\u{")
}

fn must_escape(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // bidirectional controls
            | '\u{2028}' | '\u{2029}' // line and paragraph separators
            | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}' // invisible
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' // annotations and tags
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_of_every_script_stay_as_they_are() {
        for name in ["web01", "Büro-Server", "データベース", "сервер", "a b\\c", "100%", "\\u", ""] {
            assert_eq!(escape(name), name);
            assert!(matches!(escape(name), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, escaped) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\r\tc", "a\\u{a}b\\u{d}\\u{9}c"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}\0", "\\u{7f}\\u{0}"),
            ("vm\u{202e}txt.exe", "vm\\u{202e}txt.exe"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn json_keeps_its_value_and_holds_nothing_that_a_terminal_obeys() {
        let value = serde_json::json!({ "name": "a\u{1b}\u{9b}\n\u{202e}\u{e0041}ü" });
        let json = escape_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(json.chars().all(|c| c == '\n' || !must_escape(c)), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    }

    #[test]
    fn nothing_beyond_ascii_is_left_where_a_locale_may_not_have_it() {
        assert_eq!(escape_ascii("B\u{fc}ro\n\u{1f600}"), "B\\u{fc}ro\\u{a}\\u{1f600}");
        assert_eq!(escape_ascii("a\\u{41}"), "a\\u{5c}u{41}");
        let value = serde_json::json!({ "name": "B\u{fc}ro \u{1f600}\u{1b}" });
        let json = escape_json_ascii(&value.to_string());
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    }

    #[test]
    fn a_name_that_looks_escaped_cannot_be_taken_for_one_that_is() {
        assert_eq!(escape("a\\u{1b}"), "a\\u{5c}u{1b}");
        assert_ne!(escape("a\\u{1b}"), escape("a\u{1b}"));
    }
}
