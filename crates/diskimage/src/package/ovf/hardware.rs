//! `VirtualHardwareSection`: items, one for each device, as they are written.
//!
//! An item of OVF 1.x, and the `StorageItem` and `EthernetPortItem` of OVF 2.0, hold the same
//! settings of CIM under different namespaces; all become an [`Item`]. Nothing is interpreted here.

use super::parse::{is_true, parse_number};
use super::xml::Node;
use crate::{Error, Result};

/// Most items that are read: a machine of VMware's has at most a few hundred devices.
pub(super) const ITEMS_MAX: usize = 4096;

/// The hardware of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hardware {
    /// `System/VirtualSystemType`: generations of virtual hardware, such as `vmx-19`.
    pub system_type: Option<String>,
    /// `System/VirtualSystemIdentifier`: a name.
    pub identifier: Option<String>,
    /// The devices.
    pub items: Vec<Item>,
    /// `vmw:Config`: settings with a meaning of VMware's.
    pub config: Vec<Setting>,
    /// `vmw:ExtraConfig`: lines of a `.vmx` file.
    pub extra_config: Vec<Setting>,
}

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Without the value: what guests are told at their first boot is among them, passwords too.
impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A device, as it is written. Names of fields are those of CIM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// `InstanceID`: what [`Self::parent`] of another item refers to. Not always a number.
    pub instance_id: String,
    /// `ResourceType`: the kind of device.
    pub resource_type: u32,
    /// `ResourceSubType`: the model.
    pub sub_type: Option<String>,
    /// `ElementName`: a label.
    pub element_name: Option<String>,
    /// `Parent`: the instance of the controller.
    pub parent: Option<String>,
    /// `Address`: of a controller its number, of an adapter its MAC address.
    pub address: Option<String>,
    /// `AddressOnParent`: the unit at the controller.
    pub address_on_parent: Option<String>,
    /// `HostResource`: the disk or file.
    pub host_resource: Option<String>,
    /// `Connection`: the network.
    pub connection: Option<String>,
    /// `VirtualQuantity`.
    pub quantity: Option<u64>,
    /// `AllocationUnits`, or `VirtualQuantityUnits`: the unit of the quantity.
    pub units: Option<String>,
    /// `AutomaticAllocation`: whether the device is connected at start.
    pub automatic_allocation: Option<bool>,
    /// `vmw:CoresPerSocket`.
    pub cores_per_socket: Option<u64>,
    /// `configuration`: those in which the item counts; none means all.
    pub configurations: Vec<String>,
    /// Whether the item is the least, usual or most of a range (`bound`) rather than a device.
    pub is_bound: bool,
    /// `required`.
    pub is_required: bool,
    /// `vmw:Config`: settings of the device.
    pub config: Vec<Setting>,
}

impl Hardware {
    /// Returns the value of a setting of VMware's.
    #[must_use]
    pub fn config(&self, key: &str) -> Option<&str> {
        find(&self.config, key)
    }

    /// Returns the value of a line of the `.vmx` file.
    #[must_use]
    pub fn extra_config(&self, key: &str) -> Option<&str> {
        find(&self.extra_config, key)
    }
}

impl Item {
    /// Returns the value of a setting of VMware's.
    #[must_use]
    pub fn config(&self, key: &str) -> Option<&str> {
        find(&self.config, key)
    }
}

fn find<'s>(settings: &'s [Setting], key: &str) -> Option<&'s str> {
    settings.iter().find(|known| known.key.eq_ignore_ascii_case(key)).map(|known| known.value.as_str())
}

/// Reads a section.
pub(super) fn read(section: &Node) -> Result<Hardware> {
    let system = section.child("System");
    let mut hardware = Hardware {
        system_type: system.and_then(|system| system.cim(&["VirtualSystemType"])).map(str::to_owned),
        identifier: system.and_then(|system| system.cim(&["VirtualSystemIdentifier"])).map(str::to_owned),
        items: Vec::new(),
        config: settings(section, "Config"),
        extra_config: settings(section, "ExtraConfig"),
    };
    for item in section.all_children() {
        if matches!(item.kind(), "Item" | "StorageItem" | "EthernetPortItem") {
            hardware.items.push(read_item(item).map_err(|error| error.or_at(item.offset))?);
        }
    }
    Ok(hardware)
}

fn settings(node: &Node, name: &str) -> Vec<Setting> {
    let settings = node.vmware_children(name);
    settings
        .filter_map(|setting| {
            let key = setting.get_vmware("key")?.to_owned();
            Some(Setting { key, value: setting.get_vmware("value").unwrap_or_default().to_owned() })
        })
        .collect()
}

fn read_item(item: &Node) -> Result<Item> {
    let text = |names: &[&str]| item.cim(names).map(str::to_owned);
    let number = |name: &str| item.cim(&[name]).map(|text| parse_number(name, text)).transpose();
    let resource_type = number("ResourceType")?
        .ok_or_else(|| Error::corrupt("an item of hardware says what it is"))
        .and_then(|number| {
            u32::try_from(number).map_err(|_| Error::corrupt("a resource type is small").found(number.to_string()))
        })?;
    let cores = item.vmware_children("CoresPerSocket").next();
    Ok(Item {
        instance_id: text(&["InstanceID", "InstanceId"]).unwrap_or_default(),
        resource_type,
        sub_type: text(&["ResourceSubType"]),
        element_name: text(&["ElementName", "Caption"]),
        parent: text(&["Parent"]),
        address: text(&["Address"]),
        address_on_parent: text(&["AddressOnParent"]),
        host_resource: text(&["HostResource"]),
        connection: text(&["Connection"]),
        quantity: number("VirtualQuantity")?,
        units: text(&["AllocationUnits", "VirtualQuantityUnits"]),
        automatic_allocation: item.cim(&["AutomaticAllocation"]).map(is_true),
        cores_per_socket: cores.map(|cores| parse_number("CoresPerSocket", cores.text())).transpose()?,
        configurations: item.get("configuration").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        is_bound: item.get("bound").is_some_and(|bound| !bound.is_empty()),
        is_required: item.get("required").is_none_or(is_true),
        config: settings(item, "Config"),
    })
}
