//! The inventories that are built in.

use std::path::Path;

use super::Inventory;
use crate::error::{Error, ErrorKind, Result};

/// A built-in inventory.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it is good for, in one line.
    pub about: &'static str,
    /// Its text, TOML like any inventory file.
    pub text: &'static str,
}

const SMALL_OFFICE: &str = include_str!("../../scenarios/small-office.toml");

/// All of them, in the order in which they are listed.
pub const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "small-office",
        about: "six VMs on two hosts, the ones that most people have",
        text: SMALL_OFFICE,
    },
    Scenario { name: "demo", about: "small-office by the name that `hyperctl demo` uses", text: SMALL_OFFICE },
    Scenario {
        name: "10k",
        about: "10,000 VMs in folders over three datacenters",
        text: include_str!("../../scenarios/10k.toml"),
    },
    Scenario {
        name: "hostile-names",
        about: "names with escapes, control characters, dots, right-to-left text, 300 characters",
        text: include_str!("../../scenarios/hostile-names.toml"),
    },
    Scenario {
        name: "every-disk",
        about: "every kind of disk, and VMs that cannot be exported as they are",
        text: include_str!("../../scenarios/every-disk.toml"),
    },
    Scenario {
        name: "esxi",
        about: "one ESXi host without a vCenter",
        text: include_str!("../../scenarios/esxi.toml"),
    },
];

impl Inventory {
    /// Returns a built-in inventory.
    ///
    /// # Errors
    ///
    /// `Inventory` when there is none of this name.
    pub fn scenario(name: &str) -> Result<Self> {
        Self::parse(Scenario::named(name)?.text, Path::new(""))
    }
}

impl Scenario {
    /// Returns the scenario of this name.
    ///
    /// # Errors
    ///
    /// `Inventory` when there is none; the message names those that there are.
    pub fn named(name: &str) -> Result<Self> {
        let found = SCENARIOS.into_iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| {
            let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
            Error::new(ErrorKind::Inventory, format!("there is no scenario `{name}`; there is {names}"))
        })
    }
}

#[cfg(test)]
mod tests;
