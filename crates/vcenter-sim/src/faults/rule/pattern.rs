//! Patterns of paths: `*` stands for any text, everything else for itself.

/// Returns whether `text` fits `pattern`.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    // `split` gives at least one part.
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_all_else_for_itself() {
        for (pattern, text, expected) in [
            ("/nfc/*", "/nfc/t/disk-0.vmdk", true),
            ("/nfc/*/disk-0.vmdk", "/nfc/t/disk-0.vmdk", true),
            ("/nfc/*/disk-0.vmdk", "/nfc/t/disk-1.vmdk", false),
            ("*", "", true),
            ("/sdk", "/sdk", true),
            ("/sdk", "/sdk/", false),
            ("*a*a*", "ba", false),
            ("*ab*b", "ab", false),
            ("*ab*b", "abb", true),
            ("a*a", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
