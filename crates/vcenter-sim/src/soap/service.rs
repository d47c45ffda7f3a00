//! The objects that are there without an inventory, and what they are called on either server.

use vsphere::wire::MoRef;

use crate::inventory::Personality;

/// A well-known object.
struct Service {
    kind: &'static str,
    vcenter: &'static str,
    esxi: &'static str,
}

const fn service(kind: &'static str, vcenter: &'static str, esxi: &'static str) -> Service {
    Service { kind, vcenter, esxi }
}

const SERVICES: [Service; 9] = [
    service("AuthorizationManager", "AuthorizationManager", "ha-authmgr"),
    service("OptionManager", "VpxSettings", "HostAgentSettings"),
    service("OvfManager", "OvfManager", "ha-ovf-manager"),
    service("PropertyCollector", "propertyCollector", "ha-property-collector"),
    service("SearchIndex", "SearchIndex", "ha-searchindex"),
    service("ServiceInstance", "ServiceInstance", "ServiceInstance"),
    service("SessionManager", "SessionManager", "ha-sessionmgr"),
    service("TaskManager", "TaskManager", "ha-taskmgr"),
    service("ViewManager", "ViewManager", "ViewManager"),
];

impl Service {
    fn id(&self, personality: Personality) -> &'static str {
        match personality {
            Personality::VCenter => self.vcenter,
            Personality::Esxi => self.esxi,
        }
    }
}

/// Returns the reference of a well-known object.
///
/// # Panics
/// When there is no service of this type: a mistake of the caller.
pub(crate) fn moref(personality: Personality, kind: &str) -> MoRef {
    let service = SERVICES.iter().find(|service| service.kind == kind).expect("the type is one of the table's");
    MoRef::new(kind, service.id(personality))
}

/// Returns whether an object is one of the well-known ones.
pub(crate) fn is_service(personality: Personality, object: &MoRef) -> bool {
    SERVICES.iter().any(|service| service.kind == object.kind && service.id(personality) == object.id)
}

/// Returns whether there is exactly one object of this type, the well-known one.
pub(crate) fn is_single(kind: &str) -> bool {
    // Sessions make more collectors.
    kind != "PropertyCollector" && SERVICES.iter().any(|service| service.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_other_names_than_a_vcenter() {
        let settings = moref(Personality::Esxi, "OptionManager");
        assert_eq!(settings.id, "HostAgentSettings");
        assert!(is_service(Personality::Esxi, &settings) && !is_service(Personality::VCenter, &settings));
        assert!(is_service(Personality::VCenter, &MoRef::new("OptionManager", "VpxSettings")));
    }
}
