//! Where the files of a VM are, and where they are after it moved.
//!
//! The inventory may spread a VM: its configuration in a directory of its own, the bases of linked clones
//! and disks with a `file` elsewhere. Storage vMotion gathers all of that in one directory of the
//! datastore it goes to, under the names that the VM gives its files.
//!
//! Pure. The homes of VMs are a part of `soap`'s state, because moving is what changes; the index from
//! directories to VMs, which follows them, is in [`super::Datastores`].

use std::collections::{BTreeMap, BTreeSet};

use super::datacenter_of;
use crate::inventory::{Inventory, ParentPlace, rules};

/// A directory on a datastore.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    /// Number of the datastore.
    pub(crate) datastore: usize,
    pub(crate) directory: String,
}

/// Where the files of a VM are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    /// Of all files but those below.
    pub(crate) spot: Spot,
    /// Of bases and disks that the inventory puts elsewhere, by the number of their disk.
    elsewhere: BTreeMap<usize, Spot>,
}

/// A VM whose files have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) vm: usize,
    pub(crate) from: Home,
    pub(crate) to: Home,
}

impl Home {
    /// Returns that of a VM all of whose files are in one directory.
    pub(crate) fn at(spot: Spot) -> Self {
        Self { spot, elsewhere: BTreeMap::new() }
    }

    /// Returns where the base of a disk is.
    pub(super) fn base(&self, disk: usize) -> &Spot {
        self.elsewhere.get(&disk).unwrap_or(&self.spot)
    }

    /// Returns whether a disk lies where the inventory says, which names its file as well.
    pub(super) fn is_declared(&self, disk: usize) -> bool {
        self.elsewhere.contains_key(&disk)
    }

    /// Returns the directories, each once.
    pub(super) fn spots(&self) -> BTreeSet<&Spot> {
        std::iter::once(&self.spot).chain(self.elsewhere.values()).collect()
    }

    /// Returns whether some of the files are in a directory.
    pub(crate) fn has(&self, spot: &Spot) -> bool {
        self.spots().contains(spot)
    }

    /// Returns whether all files are on one datastore, in one directory.
    pub(crate) fn is_gathered_on(&self, datastore: usize) -> bool {
        self.spot.datastore == datastore && self.elsewhere.is_empty()
    }

    /// Returns the numbers of the datastores that hold files; that of the configuration first.
    pub(crate) fn datastores(&self) -> Vec<usize> {
        let mut used = vec![self.spot.datastore];
        for spot in self.elsewhere.values() {
            if !used.contains(&spot.datastore) {
                used.push(spot.datastore);
            }
        }
        used
    }
}

/// Returns where the VMs of an inventory have their files. `directories` has the directory of each VM.
pub(crate) fn homes(inventory: &Inventory, directories: &[String]) -> Vec<Home> {
    let at = |(vm, directory): (&_, &String)| {
        let name = inventory.datastore_of(vm);
        let datastore = name.and_then(|name| number(inventory, datacenter_of(inventory, vm), name)).unwrap_or_default();
        Home::at(Spot { datastore, directory: directory.clone() })
    };
    let mut homes: Vec<Home> = inventory.vms.iter().zip(directories).map(at).collect();
    let mut taken: BTreeMap<Spot, usize> = BTreeMap::new();
    for (vm, home) in homes.iter().enumerate() {
        let before = taken.insert(home.spot.clone(), vm);
        assert!(before.is_none(), "the model gives no directory to two VMs");
    }
    for (vm, from) in inventory.vms.iter().enumerate() {
        let datacenter = datacenter_of(inventory, from);
        for (disk, from) in from.disks.iter().enumerate() {
            if let Some((name, directory, _)) = from.file.as_deref().and_then(rules::parts_of) {
                let Some(datastore) = number(inventory, datacenter, name) else { continue };
                let spot = Spot { datastore, directory: directory.to_owned() };
                taken.entry(spot.clone()).or_insert(vm);
                homes[vm].elsewhere.insert(disk, spot);
                continue;
            }
            let ParentPlace::Datastore(name) = &from.parent else { continue };
            let Some(datastore) = number(inventory, datacenter, name) else { continue };
            let mut spot = Spot { datastore, ..homes[vm].spot.clone() };
            while taken.get(&spot).is_some_and(|owner| *owner != vm) {
                spot.directory.push_str("_base");
            }
            taken.insert(spot.clone(), vm);
            if spot != homes[vm].spot {
                homes[vm].elsewhere.insert(disk, spot);
            }
        }
    }
    homes
}

/// Returns the number of a datacenter's datastore, counted as [`super::Datastores`] has them.
fn number(inventory: &Inventory, datacenter: usize, name: &str) -> Option<usize> {
    let before: usize = inventory.datacenters[..datacenter].iter().map(|there| there.datastores.len()).sum();
    let within = inventory.datacenters[datacenter].datastores.iter().position(|known| known == name)?;
    Some(before + within)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TWO: &str = "[[datacenter]]\nname = \"DC0\"\nhosts = [\"a\"]\ndatastores = [\"ds1\", \"ds2\"]\n\
                       [[datacenter]]\nname = \"DC1\"\nhosts = [\"b\"]\ndatastores = [\"ds1\"]\n";

    fn homes_of(vms: &str, directories: &[&str]) -> Vec<Home> {
        let inventory = Inventory::parse(&format!("{TWO}{vms}"), Path::new(".")).unwrap();
        homes(&inventory, &directories.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    fn spot(datastore: usize, directory: &str) -> Spot {
        Spot { datastore, directory: directory.to_owned() }
    }

    #[test]
    fn a_base_on_another_datastore_gets_a_directory_that_nobody_has_there() {
        let vms = "[[vm]]\npath = \"DC0/vm/x\"\ndatastore = \"ds2\"\n[[vm]]\npath = \"DC0/vm/y/x\"\n\
                   [[vm.disk]]\nsize = \"1 MiB\"\n[[vm.disk]]\nsize = \"1 MiB\"\nlinks = 1\nparent = \"[ds2]\"\n\
                   [[vm]]\npath = \"DC1/vm/z\"\n";
        let homes = homes_of(vms, &["x", "x", "z"]);
        assert_eq!((homes[0].datastores(), homes[1].datastores()), (vec![1], vec![0, 1]));
        assert_eq!((homes[1].base(1), homes[1].base(0)), (&spot(1, "x_base"), &spot(0, "x")));
        assert!(homes[1].has(&spot(1, "x_base")) && !homes[1].has(&spot(1, "x")));
        assert_eq!(homes[2].spot, spot(2, "z"), "datastores are counted over all datacenters");
    }

    #[test]
    fn disks_of_their_own_names_lie_where_they_say_until_the_vm_moves() {
        let vms = "[[vm]]\npath = \"DC0/vm/x\"\n[[vm.disk]]\nsize = \"1 MiB\"\nfile = \"[ds2] data/d.vmdk\"\n";
        let home = homes_of(vms, &["x"]).remove(0);
        assert!(home.is_declared(0) && !home.is_gathered_on(0));
        assert_eq!(home.spots().len(), 2);
        let moved = Home::at(spot(1, "x"));
        assert!(!moved.is_declared(0) && moved.is_gathered_on(1) && !moved.is_gathered_on(0));
        assert_eq!(moved.base(0), &spot(1, "x"));
    }
}
