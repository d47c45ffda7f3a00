//! The options of an export, as older callers name them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::document::{Fields, IllTyped};

/// Options of the older daemon that are switches.
const OTHER_FLAGS: [&str; 10] = [
    "show_individual_progress",
    "enable_pipeline",
    "pipeline_inspect",
    "pipeline_fix",
    "pipeline_convert",
    "pipeline_validate",
    "pipeline_compress",
    "libvirt_integration",
    "libvirt_autostart",
    "hyper2kvm_daemon",
];

/// Options of the older daemon that are texts.
const OTHER_TEXTS: [&str; 7] = [
    "hyper2kvm_path",
    "libvirt_uri",
    "libvirt_bridge",
    "libvirt_pool",
    "hyper2kvm_instance",
    "hyper2kvm_watch_dir",
    "hyper2kvm_output_dir",
];

/// Options of the older daemon that are numbers.
const OTHER_NUMBERS: [&str; 2] = ["hyper2kvm_poll_interval", "hyper2kvm_daemon_timeout"];

/// How to export; an absent field leaves it to the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportOptions {
    /// Connections of the whole job; 0 leaves it to the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_downloads: Option<i64>,
    /// Leave CD and DVD drives out of the descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_cdrom: Option<bool>,
    /// How hard to compress; 0 leaves it to the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress_level: Option<i64>,
    /// All others that were sent. They are kept for the caller; nothing here obeys them.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl ExportOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// When one has a type that it does not take.
    pub fn read(fields: &Fields<'_>) -> Result<Self, IllTyped> {
        let mut others = Map::new();
        let mut keep = |key: &str, value: Option<Value>| value.map(|value| others.insert(key.to_owned(), value));
        for key in OTHER_FLAGS {
            keep(key, fields.flag(key)?.map(Value::from));
        }
        for key in OTHER_TEXTS {
            keep(key, fields.text(key)?.map(Value::from));
        }
        for key in OTHER_NUMBERS {
            keep(key, fields.integer(key)?.map(Value::from));
        }
        Ok(Self {
            parallel_downloads: fields.integer("parallel_downloads")?,
            remove_cdrom: fields.flag("remove_cdrom")?,
            compress_level: fields.integer("compress_level")?,
            others,
        })
    }

    /// Returns the other options that ask for something: a switch that is on, a text or a number that is set.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        let asks = |value: &Value| match value {
            Value::Bool(on) => *on,
            Value::String(text) => !text.is_empty(),
            value => value.as_i64() != Some(0),
        };
        self.others.iter().filter(move |(_, value)| asks(value)).map(|(key, _)| key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::document::json;
    use super::*;

    #[test]
    fn every_option_of_the_contract_is_read_and_goes_out_again() {
        let mut all = json!({"parallel_downloads": 8, "remove_cdrom": true, "compress_level": 6});
        OTHER_FLAGS.iter().for_each(|key| all[*key] = json!(true));
        OTHER_TEXTS.iter().for_each(|key| all[*key] = json!("x"));
        OTHER_NUMBERS.iter().for_each(|key| all[*key] = json!(5));
        let node = json::read(all.to_string().as_bytes()).unwrap();
        let options = ExportOptions::read(&node.fields("options").unwrap()).unwrap();
        assert_eq!(options.asked().count(), 19);
        assert_eq!(serde_json::to_value(options).unwrap(), all);
    }

    #[test]
    fn what_is_off_zero_or_empty_asks_for_nothing() {
        let sent = r#"{"show_individual_progress":false,"libvirt_uri":"","hyper2kvm_poll_interval":0,
                       "pipeline_fix":true,"unknown":true}"#;
        let options = ExportOptions::read(&json::read(sent.as_bytes()).unwrap().fields("").unwrap()).unwrap();
        assert_eq!(options.asked().collect::<Vec<_>>(), ["pipeline_fix"]);
    }
}
