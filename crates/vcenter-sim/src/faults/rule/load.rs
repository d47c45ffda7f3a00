//! Reads rules from text.

use serde::Deserialize;

use super::Rule;

/// A file of rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The rules, in the order in which they are asked.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Reads a file of `[[rule]]` tables.
///
/// # Errors
/// Says what is not understood, and where.
pub fn parse_toml(text: &str) -> Result<Vec<Rule>, String> {
    toml::from_str::<RuleFile>(text).map(|file| file.rules).map_err(|error| error.to_string())
}

/// Reads one rule, a list of rules, or an object `{"rule": […]}`.
///
/// # Errors
/// Says what is not understood.
pub fn parse_json(text: &str) -> Result<Vec<Rule>, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let is_file = value.get("rule").is_some();
    let rules = match value {
        serde_json::Value::Array(rules) => rules.into_iter().map(serde_json::from_value).collect(),
        file if is_file => serde_json::from_value::<RuleFile>(file).map(|file| file.rules),
        rule => serde_json::from_value(rule).map(|rule| vec![rule]),
    };
    rules.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rule_reads_the_same_in_every_form() {
        let toml = "[[rule]]\nname = \"x\"\nwhen = { method = \"ExportVm\" }\nthen = { fault = { type = \"FileNotFound\", \
                    fields = { file = \"[d] a.iso\" } } }\ntimes = 2\n";
        let json = r#"{"name": "x", "when": {"method": "ExportVm"}, "times": 2,
                       "then": {"fault": {"type": "FileNotFound", "fields": {"file": "[d] a.iso"}}}}"#;
        let from_toml = parse_toml(toml).unwrap();
        assert_eq!(from_toml, parse_json(json).unwrap());
        assert_eq!(from_toml, parse_json(&format!("[{json}]")).unwrap());
        assert_eq!(from_toml, parse_json(&format!("{{\"rule\": [{json}]}}")).unwrap());
        let written = serde_json::to_string(&from_toml[0]).unwrap();
        assert_eq!(from_toml, parse_json(&written).unwrap());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(parse_toml("[[rules]]\n").unwrap_err().contains("rule"));
        assert!(parse_json("{}").unwrap_err().contains("then"));
        assert!(parse_json("[{\"then\": 5}]").is_err());
    }
}
