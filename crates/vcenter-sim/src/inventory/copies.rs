//! Many VMs from one table: `copies = 250` and a path with `{n}` in it.
//!
//! `{n}` is the number of the copy, from 1 on, with as many digits as the last one has; `{hundred}`
//! counts the hundreds, from 0 on, so that a folder holds a hundred VMs. Copies differ in their path,
//! in what follows from it, and in the seeds of their disks.

use super::{Content, Inventory, Vm};
use crate::error::Result;
use crate::inventory::load::broken;

/// VMs that one inventory may have: ten times what a vCenter supports.
const VMS_MAX: usize = 400_000;

const NUMBER: &str = "{n}";
const HUNDRED: &str = "{hundred}";

impl Inventory {
    /// Replaces each VM that has copies by these.
    pub(super) fn expand_copies(&mut self) -> Result<()> {
        let count: usize = self.vms.iter().filter_map(|vm| usize::try_from(vm.copies).ok()).sum();
        if count > VMS_MAX {
            return Err(broken(format!("an inventory has at most {VMS_MAX} VMs, not {count}")));
        }
        let mut expanded = Vec::with_capacity(count);
        for vm in std::mem::take(&mut self.vms) {
            match vm.copies {
                0 => return Err(broken(format!("VM `{}`: `copies` is at least 1", vm.path))),
                1 => expanded.push(vm),
                _ if !vm.path.contains(NUMBER) => {
                    return Err(broken(format!("VM `{}`: with `copies` its path has `{NUMBER}` in it", vm.path)));
                }
                copies if vm.instance_uuid.is_some() => {
                    return Err(broken(format!("VM `{}`: {copies} copies cannot share an instance_uuid", vm.path)));
                }
                copies => expanded.extend((1..=copies).map(|number| copy(&vm, number))),
            }
        }
        self.vms = expanded;
        Ok(())
    }
}

fn copy(vm: &Vm, number: u32) -> Vm {
    let digits = vm.copies.to_string().len();
    let path = vm.path.replace(NUMBER, &format!("{number:0digits$}"));
    let path =
        path.replace(HUNDRED, &format!("{:0width$}", (number - 1) / 100, width = digits.saturating_sub(2).max(1)));
    let mut copy = Vm { path, copies: 1, ..vm.clone() };
    for disk in &mut copy.disks {
        if let Content::Seeded { seed, .. } = &mut disk.content {
            *seed = seed.wrapping_add(u64::from(number - 1));
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(vm: &str) -> Result<Inventory> {
        Inventory::parse(&format!("[[datacenter]]\nname = \"DC0\"\n[[vm]]\n{vm}"), Path::new("."))
    }

    #[test]
    fn copies_have_numbers_folders_of_a_hundred_and_seeds_of_their_own() {
        let disk =
            "[[vm.disk]]\nsize = 512\ncontent = { kind = \"seeded\", seed = 7, fill = 0.0, compressibility = 0.5 }";
        let inventory = parse(&format!("path = \"DC0/vm/f{{hundred}}/vm-{{n}}\"\ncopies = 250\n{disk}")).unwrap();
        assert_eq!(inventory.vms.len(), 250);
        let paths: Vec<&str> = [0, 99, 100, 249].iter().map(|&index| inventory.vms[index].path.as_str()).collect();
        assert_eq!(paths, ["DC0/vm/f0/vm-001", "DC0/vm/f0/vm-100", "DC0/vm/f1/vm-101", "DC0/vm/f2/vm-250"]);
        let seed = |index: usize| match &inventory.vms[index].disks[0].content {
            Content::Seeded { seed, .. } => *seed,
            Content::File { .. } => 0,
        };
        assert_eq!((seed(0), seed(249)), (7, 256));
    }

    #[test]
    fn copies_that_would_be_one_are_refused() {
        for (vm, word) in [
            ("path = \"DC0/vm/x\"\ncopies = 2", "`{n}`"),
            ("path = \"DC0/vm/x{n}\"\ncopies = 0", "at least 1"),
            ("path = \"DC0/vm/x{n}\"\ncopies = 4000000000", "at most"),
            ("path = \"DC0/vm/x{n}\"\ncopies = 2\ninstance_uuid = \"4225a5bd-cb24-4b5c-8efc-d6adc7c77f4e\"", "share"),
        ] {
            let error = parse(vm).unwrap_err().to_string();
            assert!(error.contains(word), "{error} instead of {word}");
        }
    }
}
