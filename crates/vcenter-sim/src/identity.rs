//! Identifiers that follow from a VM's inventory path, so that they are the same in every run and
//! wherever they appear: in properties, in descriptors.

use uuid::{Builder, Uuid};

use crate::content::mix;
use crate::inventory::Vm;

/// Virtual hardware of all VMs: what vSphere 7.0 U2 makes, which every converter knows.
pub const HARDWARE_VERSION: &str = "vmx-19";

/// For what [`path_hash`] is asked when a guest writes; the others are below.
pub(crate) const GUEST_WRITES: u64 = 4;

/// Returns `config.instanceUuid`: the inventory's, or one made from the path.
#[must_use]
pub fn instance_uuid(vm: &Vm) -> Uuid {
    let given = vm.instance_uuid.as_deref().and_then(|text| Uuid::parse_str(text).ok());
    given.unwrap_or_else(|| uuid_of(vm, 1))
}

/// Returns `config.uuid`, which the guest sees as the serial number of its board.
#[must_use]
pub fn bios_uuid(vm: &Vm) -> Uuid {
    uuid_of(vm, 2)
}

/// Returns the id of the key of an encrypted VM.
#[must_use]
pub fn key_id(vm: &Vm) -> Uuid {
    uuid_of(vm, 4)
}

/// Returns the address of the VM's network adapter, from the range in which a vCenter assigns them.
#[must_use]
pub fn mac_address(vm: &Vm) -> String {
    /// The range ends at 00:50:56:bf:ff:ff; 0x80 and up is what vCenter uses of it.
    const FOURTH_MIN: u8 = 0x80;
    const FOURTH_MASK: u8 = 0x3f;
    let [.., fourth, fifth, sixth] = path_hash(vm, 3).to_be_bytes();
    format!("00:50:56:{:02x}:{fifth:02x}:{sixth:02x}", FOURTH_MIN | fourth & FOURTH_MASK)
}

/// Returns the id of a disk, which all links of its chain share. It begins as VMware's disks do, because
/// guests find disks by it.
#[must_use]
pub fn disk_uuid(vm: &Vm, disk: usize) -> Uuid {
    /// Purposes from here on are disks.
    const FIRST_DISK: u64 = 1 << 16;
    let purpose = FIRST_DISK + u64::try_from(disk).unwrap_or(u64::MAX >> 1);
    let mut bytes = *uuid_of(vm, purpose).as_bytes();
    bytes[..3].copy_from_slice(&[0x60, 0x00, 0xc2]);
    Uuid::from_bytes(bytes)
}

fn uuid_of(vm: &Vm, purpose: u64) -> Uuid {
    let hash = path_hash(vm, purpose);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&hash.to_be_bytes());
    bytes[8..].copy_from_slice(&mix(hash).to_be_bytes());
    Builder::from_random_bytes(bytes).into_uuid()
}

/// Returns a number that follows from the VM's path and what it is for.
pub(crate) fn path_hash(vm: &Vm, purpose: u64) -> u64 {
    vm.path.bytes().fold(mix(purpose), |hash, byte| mix(hash ^ u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(text: &str) -> Vm {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn identifiers_follow_from_the_path_and_differ() {
        let first = vm("path = \"DC0/vm/a\"");
        let second = vm("path = \"DC0/vm/b\"");
        assert_eq!(instance_uuid(&first), instance_uuid(&first.clone()));
        assert_ne!(instance_uuid(&first), instance_uuid(&second));
        assert_ne!(instance_uuid(&first), bios_uuid(&first));
        assert_eq!(bios_uuid(&first).get_version_num(), 4);
        assert_ne!(mac_address(&first), mac_address(&second));
        let fourth = u8::from_str_radix(&mac_address(&first)[9..11], 16).unwrap();
        assert!((0x80..=0xbf).contains(&fourth));
    }

    #[test]
    fn the_inventory_may_fix_the_instance_uuid() {
        let text = "4225a5bd-cb24-4b5c-8efc-d6adc7c77f4e";
        let vm = vm(&format!("path = \"DC0/vm/a\"\ninstance_uuid = \"{text}\""));
        assert_eq!(instance_uuid(&vm).to_string(), text);
    }
}
