//! File names from VM names: the one function that turns what a server said into a name here.

use unicode_normalization::UnicodeNormalization as _;

/// Longest result in bytes: leaves room for `-disk-10.vmdk`, a leading dot and `.part.journal` below
/// the 255 bytes that file systems allow.
const NAME_BYTES_MAX: usize = 120;

/// Used when nothing of a name can be kept.
const NAMELESS: &str = "vm";

/// Turns any text into one path component: NFC, separators and control characters become `_`, no
/// leading dot, blank or dash, no trailing dot or blank, at most 120 bytes.
///
/// Two names may become one; whoever needs them apart adds something.
pub fn file_name(text: &str) -> String {
    let mut name = String::new();
    for character in text.nfc() {
        let kept = if is_unsafe(character) { '_' } else { character };
        if name.len() + kept.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        name.push(kept);
    }
    let name = name.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    match name.strip_prefix('-') {
        _ if name.is_empty() => NAMELESS.to_owned(),
        // To a command that is given the files of a directory, `-rf` is no file.
        Some(rest) => format!("_{rest}"),
        None => name.to_owned(),
    }
}

/// Separators of any system, the percent sign (names stand in descriptors as URIs, whose readers take
/// `%2f` for a separator), what shells and Windows shares choke on, and what can make a terminal
/// show another name than it is (controls, bidirectional overrides).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '/' | '\\' | '%' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_one_harmless_component() {
        let cases = [
            ("web01", "web01"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("a/b\\c", "a_b_c"),
            ("line\nbreak\u{1b}[31m", "line_break_[31m"),
            (".hidden", "hidden"),
            ("...", "vm"),
            ("%2f", "_2f"),
            ("", "vm"),
            ("  spaced  ", "spaced"),
            ("-rf", "_rf"),
            (" .--help", "_-help"),
            ("-", "_"),
            ("a-b", "a-b"),
            ("e\u{301}", "é"),
            ("x\u{202e}gpj.exe", "x_gpj.exe"),
            ("Ünïcode 漢字", "Ünïcode 漢字"),
        ];
        for (text, expected) in cases {
            assert_eq!(file_name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = file_name(&"漢".repeat(300));
        assert_eq!(name.len(), 120);
        assert!(name.chars().all(|c| c == '漢'));
    }
}
