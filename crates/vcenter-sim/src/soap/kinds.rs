//! How managed object types descend from each other.

use vsphere::wire::managed_type;

/// Returns whether `kind` is `ancestor` or descends from it.
pub(crate) fn is_a(kind: &str, ancestor: &str) -> bool {
    let mut current = kind;
    loop {
        if current == ancestor {
            return true;
        }
        match managed_type(current) {
            Some(info) if !info.base.is_empty() => current = info.base,
            _ => return ancestor == "ManagedObject",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_itself_and_its_ancestors() {
        assert!(is_a("VirtualMachine", "VirtualMachine") && is_a("VirtualMachine", "ManagedEntity"));
        assert!(is_a("VirtualApp", "ResourcePool") && is_a("ContainerView", "View"));
        assert!(!is_a("Folder", "VirtualMachine"));
    }
}
