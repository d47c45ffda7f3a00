//! Older configuration files, which were YAML with keys in many spellings.
//!
//! They are never read: most of what people were told to write there was ignored, and doing half of
//! it would be worse than saying so. Instead the refusal shows the TOML that says the same.

use std::fmt::Write as _;

use serde_json::Value;

use super::keys::KEYS;

/// Older names, without case and separators, and our key. Sections are joined with dots.
const NAMES: [(&str, &str); 23] = [
    ("vcenterurl", "source.url"),
    ("vcenter", "source.url"),
    ("vcenter.url", "source.url"),
    ("vcenter.server", "source.url"),
    ("vcenter.host", "source.url"),
    ("username", "source.username"),
    ("vcenterusername", "source.username"),
    ("vcenteruser", "source.username"),
    ("vcenter.username", "source.username"),
    ("vcenter.user", "source.username"),
    ("insecure", "source.insecure"),
    ("vcenterinsecure", "source.insecure"),
    ("vcenter.insecure", "source.insecure"),
    ("addr", "listen.tcp"),
    ("daemonaddr", "listen.tcp"),
    ("daemon.addr", "listen.tcp"),
    ("daemon.address", "listen.tcp"),
    ("server.addr", "listen.tcp"),
    ("loglevel", "log.level"),
    ("log.level", "log.level"),
    ("logging.level", "log.level"),
    ("daemon.loglevel", "log.level"),
    ("outputdir", "exports.roots"),
];

/// Returns what to write instead of an older file, for people; `None` when `text` is no such file.
pub(super) fn as_toml(text: &str) -> Option<String> {
    let Ok(Value::Object(older)) = serde_saphyr::from_str::<Value>(text) else { return None };
    if older.is_empty() {
        return None;
    }
    let mut leaves = Vec::new();
    flatten("", &Value::Object(older), &mut leaves);
    let mut lines: Vec<(&str, String)> = Vec::new();
    let mut unknown = Vec::new();
    let mut has_password = false;
    for (name, value) in leaves {
        match NAMES.iter().find(|(older, _)| *older == plain(&name)) {
            // Two spellings of one thing: the first counts, as it did.
            Some((_, key)) if lines.iter().any(|(seen, _)| seen == key) => {}
            Some((_, key)) => match written(key, &value) {
                Some(line) => lines.push((key, line)),
                None => unknown.push(name),
            },
            None if plain(&name).ends_with("password") => has_password = true,
            None => unknown.push(name),
        }
    }
    Some(page(&lines, has_password, &unknown))
}

fn page(lines: &[(&str, String)], has_password: bool, unknown: &[String]) -> String {
    let mut page = "hint: this says the same as TOML:\n".to_owned();
    let mut section = "";
    // In the order of our table, so that each section stands once.
    for key in KEYS {
        let Some((_, line)) = lines.iter().find(|(name, _)| *name == key.name) else { continue };
        let group = key.name.split_once('.').map_or("", |(group, _)| group);
        if group != section {
            section = group;
            let _infallible = writeln!(page, "\n[{section}]");
        }
        let _infallible = writeln!(page, "{line}");
    }
    if has_password {
        page.push_str("\nThe password goes into a file of its own, named by source.password_file.\n");
    }
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|name| name.escape_debug().to_string()).collect();
        let _infallible = writeln!(page, "\nNothing here does what these did: {}.", names.join(", "));
    }
    page
}

/// Returns the line for a value; `None` for one that the key cannot have.
fn written(key: &str, value: &Value) -> Option<String> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let value: toml::Value = match (key, value) {
        ("source.insecure", Value::Bool(on)) => (*on).into(),
        ("listen.tcp" | "exports.roots", Value::String(text)) => vec![text.as_str()].into(),
        ("source.url", Value::String(text)) => without_password(text).into(),
        ("source.username" | "log.level", Value::String(text)) => text.as_str().into(),
        _ => return None,
    };
    Some(format!("{name} = {value}"))
}

/// Cuts the password out of an address: it must not be shown.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&path, value, into);
            }
        }
        _ => into.push((prefix.to_owned(), value.clone())),
    }
}

/// Returns a name without case and separators.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    /// Returns the settings that the TOML in a page makes.
    fn config(page: &str) -> Config {
        let is_toml = |line: &&str| line.starts_with('[') || line.contains(" = ");
        toml::from_str(&page.lines().filter(is_toml).collect::<Vec<_>>().join("\n")).unwrap()
    }

    #[test]
    fn every_spelling_that_was_shown_to_people_says_the_same() {
        for text in [
            "vcenterurl: https://vc/sdk",
            "VCenterURL: https://vc/sdk",
            "vcenter_url: https://vc/sdk",
            "vcenter:\n  url: https://vc/sdk",
            "vcenter: {url: 'https://user:secret@vc/sdk'}",
        ] {
            let page = as_toml(text).unwrap();
            assert_eq!(config(&page).source.url.as_deref(), Some("https://vc/sdk"), "{page}");
            assert!(!page.contains("secret"));
        }
    }

    #[test]
    fn a_whole_file_is_said_again_and_its_password_is_not() {
        let text = "daemon_addr: 0.0.0.0:8080\nlog_level: warn\nvcenter:\n  url: https://vc\n  username: u\n  \
                    password: secret\n  insecure: true\ndownload_workers: 4\n";
        let page = as_toml(text).unwrap();
        let config = config(&page);
        assert_eq!(config.listen.tcp, ["0.0.0.0:8080"]);
        assert_eq!(config.log.level.word(), "warn");
        assert_eq!((config.source.username.as_deref(), config.source.insecure), (Some("u"), true));
        assert!(page.contains("password_file") && !page.contains("secret"), "{page}");
        assert!(page.contains("download_workers"), "{page}");
    }

    #[test]
    fn what_is_no_older_file_is_left_to_the_toml_parser() {
        for text in ["", "[listen]\ntcp = 3", "= wrong", "- a\n- b", "just text"] {
            assert_eq!(as_toml(text), None, "{text}");
        }
    }
}
