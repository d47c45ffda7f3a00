//! The example file, made of the table and the defaults.

use std::fmt::Write as _;

use super::{Config, DEFAULT_FILE, KEYS};

/// Returns a file that sets every key to its default and says what it does.
pub fn example() -> String {
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    let mut text = format!(
        "# Configuration of hypervisord, {DEFAULT_FILE}.\n#\n\
         # Every value here is the default; keys without one stand behind a `#`. The variable named with a\n\
         # key overrides the file, a flag overrides both. SIGHUP makes the daemon read it again.\n"
    );
    let mut section = "";
    for key in KEYS {
        let (group, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if group != section {
            section = group;
            let _infallible = writeln!(text, "\n[{section}]");
        }
        text.push('\n');
        for line in key.help.lines() {
            let _infallible = writeln!(text, "# {line}");
        }
        let _infallible = writeln!(text, "# {}", key.variable());
        let _infallible = match (key.sample, lookup(&defaults, key.name)) {
            (None, Some(value)) => writeln!(text, "{name} = {value}"),
            (sample, _) => writeln!(text, "# {name} = {}", sample.unwrap_or("\"\"")),
        };
    }
    text
}

/// Returns the value at a path with dots.
pub(super) fn lookup<'a>(table: &'a toml::Table, path: &str) -> Option<&'a toml::Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_parses_to_the_defaults() {
        assert_eq!(toml::from_str::<Config>(&example()).unwrap(), Config::default());
    }

    #[test]
    fn the_example_with_all_samples_is_a_configuration_too() {
        let mut text = String::new();
        for line in example().lines() {
            let sample = line.strip_prefix("# ").filter(|line| line.contains(" = "));
            let _infallible = writeln!(text, "{}", sample.unwrap_or(line));
        }
        let config = toml::from_str::<Config>(&text).unwrap();
        let set = toml::Table::try_from(config).unwrap();
        for key in KEYS {
            assert!(lookup(&set, key.name).is_some(), "{} is set", key.name);
        }
    }
}
