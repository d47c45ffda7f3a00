//! API versions: the ones that are listed, and the one that a call asks for.
//!
//! The `SOAPAction` header chooses the version of a call. Without one the server falls back to the
//! first version of the API, which knows neither leases nor `RetrievePropertiesEx`.

use vsphere::wire::ApiVersion;

/// The versions that real servers list, oldest first.
const KNOWN: &[&str] = &[
    "6.0", "6.5", "6.7", "6.7.1", "6.7.2", "6.7.3", "6.8.7", "6.9.1", "7.0.0.0", "7.0.0.2", "7.0.1.0", "7.0.1.1",
    "7.0.2.0", "7.0.2.1", "7.0.3.0", "7.0.3.1", "7.0.3.2", "8.0.0.0", "8.0.0.1", "8.0.0.2", "8.0.1.0", "8.0.2.0",
    "8.0.3.0", "8.0.3.1", "9.0.0.0", "9.1.0.0", "9.1.1.0",
];

/// The versions that one server speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    newest: ApiVersion,
}

impl Versions {
    /// Takes the newest version from an inventory; one that is no version counts as the newest known.
    pub(crate) fn new(newest: &str) -> Self {
        Self { newest: ApiVersion::parse(newest).unwrap_or(ApiVersion::NEWEST) }
    }

    /// Returns the newest version.
    pub(crate) fn newest(self) -> ApiVersion {
        self.newest
    }

    /// Returns the version that a `SOAPAction` header asks for, at most the newest.
    pub(crate) fn requested(self, soap_action: Option<&str>) -> ApiVersion {
        let action = soap_action.unwrap_or_default().trim().trim_matches('"');
        let asked = action.strip_prefix("urn:vim25/").and_then(ApiVersion::parse);
        asked.unwrap_or_default().min(self.newest)
    }

    /// Returns the document `/sdk/vimServiceVersions.xml`.
    pub(crate) fn xml(self) -> String {
        let prior = KNOWN.iter().rev().filter(|version| ApiVersion::parse(version).is_some_and(|v| v < self.newest));
        let prior: String = prior.map(|version| format!("<version>{version}</version>")).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<namespaces version=\"1.0\"><namespace><name>urn:vim25</name>\
             <version>{}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>\n",
            self.newest
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_chooses_the_version_bare_or_quoted() {
        let versions = Versions::new("8.0.3.0");
        let asked = |action| versions.requested(Some(action));
        assert_eq!(asked("urn:vim25/6.7").to_string(), "6.7");
        assert_eq!(asked("\"urn:vim25/8.0.1.0\"").to_string(), "8.0.1.0");
        assert_eq!(asked("urn:vim25/9.1.1.0").to_string(), "8.0.3.0");
    }

    #[test]
    fn no_usable_header_means_the_first_version() {
        let versions = Versions::new("8.0.3.0");
        for action in [None, Some(""), Some("urn:vim25"), Some("\"\"")] {
            assert_eq!(versions.requested(action), ApiVersion::default(), "{action:?}");
        }
    }

    #[test]
    fn older_versions_are_listed_and_newer_ones_are_not() {
        let xml = Versions::new("7.0.3.0").xml();
        assert!(xml.contains("<version>7.0.3.0</version><priorVersions><version>7.0.2.1</version>"), "{xml}");
        assert!(!xml.contains("8.0"), "{xml}");
    }
}
