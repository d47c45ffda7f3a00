//! Text on its way to a terminal that prints whatever it gets.

/// Returns `text` with a blank for every control character: a line end inside a name would break the older
/// client's tables, an escape sequence would do worse.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Returns true when `text` holds what must not stand in a name, an id or a path.
pub fn has_controls(text: &str) -> bool {
    text.contains(char::is_control)
}

/// Returns the last element of an inventory path, without slashes behind it. Empty when there is none.
pub fn last_element(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns a URL or an address without the user and the password before its host. Everything up to the last
/// `@` of its authority goes: a password may hold one.
pub fn without_user(url: &str) -> String {
    let (scheme, rest) = url.find("://").map_or(("", url), |at| url.split_at(at + "://".len()));
    // A password may hold a slash as well, so the authority is not looked for first.
    let host = rest.rsplit('@').next().unwrap_or(rest);
    format!("{scheme}{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_becomes_a_blank() {
        assert_eq!(one_line("a\nb\u{1b}[2J\u{85}c"), "a b [2J c");
        assert!(has_controls("a\tb"));
        assert!(!has_controls("gr\u{fc}n /vm"));
    }

    #[test]
    fn the_last_element_of_a_path_is_its_name() {
        for (path, expected) in
            [("/DC/vm/web/web01", "web01"), ("/DC/vm/web01//", "web01"), ("web01", "web01"), ("/", ""), ("", "")]
        {
            assert_eq!(last_element(path), expected);
        }
    }

    #[test]
    fn user_and_password_are_cut_from_every_form_of_a_url() {
        for (url, expected) in [
            ("vc.example", "vc.example"),
            ("https://vc.example/sdk", "https://vc.example/sdk"),
            ("https://root:p%40ss@vc:8443/sdk", "https://vc:8443/sdk"),
            ("administrator@vsphere.local:pw@vc", "vc"),
            ("https://root:p/a@s@vc", "https://vc"),
        ] {
            assert_eq!(without_user(url), expected);
        }
    }
}
