//! How a host names its objects, which a vCenter numbers.

use crate::content::mix;
use crate::inventory::Personality;

/// Returns the id and the name of the root folder.
pub(super) fn root(personality: Personality) -> (&'static str, &'static str) {
    match personality {
        Personality::VCenter => ("group-d1", "Datacenters"),
        Personality::Esxi => ("ha-folder-root", "ha-folder-root"),
    }
}

/// Returns the id of an object of a host; VMs have the number `vm`.
pub(super) fn on_host(managed: &str, name: &str, vm: usize) -> String {
    match managed {
        "Datacenter" => "ha-datacenter".to_owned(),
        "Folder" => format!("ha-folder-{name}"),
        "ComputeResource" => "ha-compute-res".to_owned(),
        "HostSystem" => "ha-host".to_owned(),
        "ResourcePool" => "ha-root-pool".to_owned(),
        "Network" => format!("HaNetwork-{name}"),
        "Datastore" => volume(name),
        _ => vm.to_string(),
    }
}

/// Returns the id of a datastore's volume, in the form of a VMFS UUID: it follows from the name.
fn volume(name: &str) -> String {
    let high = name.bytes().fold(mix(1), |hash, byte| mix(hash ^ u64::from(byte)));
    let low = mix(high);
    format!("{:08x}-{:08x}-{:04x}-{:012x}", high >> 32, high & 0xffff_ffff, low >> 48, low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_follows_from_its_name() {
        assert_eq!(volume("datastore1"), volume("datastore1"));
        assert_ne!(volume("datastore1"), volume("datastore2"));
        assert_eq!(volume("x").len(), "5f3c6a5b-1c2d3e4f-aaaa-0050569a1b2c".len());
    }
}
