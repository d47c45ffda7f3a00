//! Job ids as older callers send them.

/// The longest id that a caller may choose.
const ID_LEN_MAX: usize = 128;

/// Words that are parts of routes beside `/jobs/{id}`, and so no ids.
const ROUTE_WORDS: [&str; 7] = ["submit", "query", "cancel", "status", "progress", "logs", "eta"];

/// Returns the ids of a query or a cancel as they were meant.
///
/// The older client in a pipe ends its id line with two colour resets, and the older wrapper takes them for
/// a part of the id. So blanks before an id are dropped, it is cut at the first character that no id has,
/// and what is then empty is left out.
pub fn cleaned<S: AsRef<str>>(ids: impl IntoIterator<Item = S>) -> Vec<String> {
    let clean = |id: &str| id.trim_start().chars().take_while(|c| is_id_character(*c)).collect::<String>();
    ids.into_iter().map(|id| clean(id.as_ref())).filter(|id| !id.is_empty()).collect()
}

/// Says why `id` cannot be the id of a new job; `None` when it can.
pub fn fault(id: &str) -> Option<&'static str> {
    let begins_well = id.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || !id.chars().all(is_id_character) || id.len() > ID_LEN_MAX {
        return Some("the id is not made of up to 128 letters, digits, dots, lines and underscores");
    }
    is_route_word(id).then_some("the id is a word of the routes")
}

/// Returns true for what stands beside `/jobs/{id}` as a route of its own.
pub fn is_route_word(text: &str) -> bool {
    ROUTE_WORDS.contains(&text)
}

const fn is_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_at_the_first_character_that_no_id_has() {
        let sent = ["5c1f\u{1b}[0m\u{1b}[0m", "  b", "c d", "", "\u{1b}[0m", " \t", "e.f_g-h"];
        assert_eq!(cleaned(sent), ["5c1f", "b", "c", "e.f_g-h"]);
    }

    #[test]
    fn ids_of_callers_are_kept_when_they_are_ids() {
        let longest = "a".repeat(128);
        for id in ["a", "0", "schedule-1790000000", "A.b_c-9", &longest] {
            assert_eq!(fault(id), None, "{id}");
        }
    }

    #[test]
    fn other_ids_are_refused_with_the_reason() {
        let long = "a".repeat(129);
        for id in ["", "-a", ".", "..", "_a", "a/b", "a b", "a\n", "\u{fc}", &long] {
            assert!(fault(id).unwrap().contains("128 letters"), "{id}");
        }
        for id in ROUTE_WORDS {
            assert!(fault(id).unwrap().contains("routes"), "{id}");
        }
    }
}
