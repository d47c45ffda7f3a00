//! The inventories that are built in.

use std::path::Path;

use super::Inventory;
use crate::error::{Error, ErrorKind, Result};

/// Names and texts.
const SCENARIOS: [(&str, &str); 1] = [("demo", include_str!("../../scenarios/demo.toml"))];

impl Inventory {
    /// Returns a built-in inventory: `demo` is a small office.
    ///
    /// # Errors
    ///
    /// `Inventory` when there is none of this name.
    pub fn scenario(name: &str) -> Result<Self> {
        let Some((_, text)) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<_> = SCENARIOS.iter().map(|(name, _)| *name).collect();
            let context = format!("there is no scenario `{name}`; there is {}", names.join(", "));
            return Err(Error::new(ErrorKind::Inventory, context));
        };
        Self::parse(text, Path::new(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Exports;

    #[test]
    fn the_demo_is_a_small_office_with_96_mib_to_export() {
        let inventory = Inventory::scenario("demo").unwrap();
        assert_eq!(inventory.vms.len(), 6);
        let web01 = inventory.vm("DC0/vm/web/web01").unwrap();
        assert_eq!(web01.power, "poweredOff");
        assert!(web01.nvram_bytes > 0);
        let exports = Exports::new(&inventory).unwrap();
        let populated = |disk| exports.disk("DC0/vm/web/web01", disk).unwrap().populated_bytes().unwrap();
        let mib = (populated(0) + populated(1)) >> 20;
        assert!((90..=102).contains(&mib), "{mib} MiB");
        assert!(inventory.vms.iter().any(|vm| vm.power == "poweredOn"));
        assert!(inventory.vms.iter().any(|vm| vm.template));
    }

    #[test]
    fn an_unknown_scenario_is_named_with_those_that_are_known() {
        let error = Inventory::scenario("dmeo").unwrap_err().to_string();
        assert!(error.contains("`dmeo`") && error.contains("demo"), "{error}");
    }
}
