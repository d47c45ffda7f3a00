//! Finds a VM by what an older caller calls it.

use hyper_api::{Problem, ProblemKind, Vm};

use super::text;
use crate::problems::refusal;

/// Candidates that are named when a name fits several VMs.
const NAMED_MAX: usize = 10;

/// Returns the VM whose inventory path, managed-object id, or unique name is `wanted`.
///
/// # Errors
/// [`ProblemKind::NotFound`]; for a name that fits several VMs it names them.
pub fn one<'a>(vms: &'a [Vm], wanted: &str) -> Result<&'a Vm, Box<Problem>> {
    let path = wanted.trim_end_matches('/');
    if let Some(vm) = vms.iter().find(|vm| vm.path == path || vm.moref == wanted) {
        return Ok(vm);
    }
    let is_named = |vm: &&Vm| vm.name == wanted || text::last_element(&vm.path) == wanted;
    let named: Vec<_> = vms.iter().filter(is_named).collect();
    match named[..] {
        [vm] => Ok(vm),
        [] => Err(refusal(ProblemKind::NotFound, format!("find VM {wanted}: there is none"))),
        _ => {
            let mut paths: Vec<_> = named.iter().take(NAMED_MAX).map(|vm| vm.path.as_str()).collect();
            if named.len() > NAMED_MAX {
                paths.push("…");
            }
            let (count, paths) = (named.len(), paths.join(", "));
            Err(refusal(ProblemKind::NotFound, format!("find VM {wanted}: {count} have this name: {paths}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(path: &str, name: &str, moref: &str) -> Vm {
        Vm {
            path: path.into(),
            name: name.into(),
            moref: moref.into(),
            instance_uuid: None,
            power_state: "poweredOff".into(),
            connection_state: "connected".into(),
            template: false,
            guest: None,
            cpus: None,
            memory_mib: None,
            capacity_bytes: None,
            committed_bytes: None,
        }
    }

    #[test]
    fn a_vm_is_found_by_path_id_or_unique_name() {
        let vms = [
            vm("/DC0/vm/a/web", "web", "vm-1"),
            vm("/DC0/vm/b/web", "web", "vm-2"),
            vm("/DC0/vm/x%2fy", "x/y", "vm-3"),
            vm("/DC0/vm/vm-1", "vm-1", "vm-4"),
        ];
        for (wanted, moref) in [
            ("/DC0/vm/b/web", "vm-2"),
            ("/DC0/vm/b/web/", "vm-2"),
            ("vm-1", "vm-1"),
            ("x/y", "vm-3"),
            ("x%2fy", "vm-3"),
        ] {
            assert_eq!(one(&vms, wanted).unwrap().moref, moref, "{wanted}");
        }
        let several = one(&vms, "web").unwrap_err();
        assert_eq!(several.error, "find VM web: 2 have this name: /DC0/vm/a/web, /DC0/vm/b/web");
        assert_eq!(one(&vms, "/DC0/vm/none").unwrap_err().status, 404);
    }
}
