//! Bandwidth profiles: what a road gives each connection, what a host gives all of them, and what a
//! request costs before its first byte.
//!
//! The figures are those that users have reported of real hosts; none was measured here. Rates are in
//! bytes a second, with a megabyte of 10^6 bytes as in the reports.

use serde::{Deserialize, Serialize};

const MB: u64 = 1_000_000;

/// Time before the first byte of a file: a round trip and a few reads of a disk, for which no report gives
/// a figure; only slow storage is reported, with up to a second.
const HOST_LATENCY_MS: u64 = 5;
const PROXY_LATENCY_MS: u64 = 10;

/// Of one road: what there is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lane {
    /// Bandwidth of each connection; unlimited when missing.
    pub bytes_per_second: Option<u64>,
    /// Bandwidth of all connections of a listener together; unlimited when missing.
    pub host_bytes_per_second: Option<u64>,
    /// Time before the first byte of each reply.
    pub latency_ms: u64,
}

/// What each road gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// Streams of leases.
    pub lease: Lane,
    /// Files of datastores.
    pub folder: Lane,
}

/// A road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    Lease,
    Folder,
}

/// A ready shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As fast as it goes.
    #[default]
    Ideal,
    /// 25 MB/s for each stream of a lease: reported are 18.8 to 29.3 through a vCenter, and nobody has
    /// reported what all of them get together.
    #[serde(rename = "nfc-25")]
    Nfc25,
    /// Datastore files through a vCenter: 42.9 MB/s with one range at a time, 62.9 with four.
    VcenterFolder,
    /// Datastore files of a host: 55 MB/s on one connection, 97 on eight.
    EsxiFolder,
}

impl Profile {
    /// Returns what each road gets.
    #[must_use]
    pub fn shape(self) -> Shape {
        let lease = Lane { bytes_per_second: Some(25 * MB), host_bytes_per_second: None, latency_ms: HOST_LATENCY_MS };
        let folder = |mb, host_mb, latency_ms| Lane {
            bytes_per_second: Some(mb * MB),
            host_bytes_per_second: Some(host_mb * MB),
            latency_ms,
        };
        match self {
            Self::Ideal => Shape::default(),
            Self::Nfc25 => Shape { lease, folder: Lane::default() },
            Self::VcenterFolder => Shape { lease, folder: folder(43, 63, PROXY_LATENCY_MS) },
            Self::EsxiFolder => Shape { lease, folder: folder(55, 97, HOST_LATENCY_MS) },
        }
    }
}

impl Shape {
    /// Returns what a road gets.
    pub(crate) fn lane(&self, road: Road) -> Lane {
        match road {
            Road::Lease => self.lease,
            Road::Folder => self.folder,
        }
    }
}

impl Road {
    /// Returns the road that a path belongs to.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path.starts_with("/nfc/") || path.starts_with("/ha-nfc/") {
            return Some(Self::Lease);
        }
        (path == "/folder" || path.starts_with("/folder/")).then_some(Self::Folder)
    }
}

impl Lane {
    /// Returns the lower one of its bandwidths.
    pub(crate) fn slowest(&self) -> Option<u64> {
        self.bytes_per_second.into_iter().chain(self.host_bytes_per_second).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_known_by_the_names_of_the_documentation() {
        for (name, profile) in [
            ("ideal", Profile::Ideal),
            ("nfc-25", Profile::Nfc25),
            ("vcenter-folder", Profile::VcenterFolder),
            ("esxi-folder", Profile::EsxiFolder),
        ] {
            assert_eq!(serde_json::from_value::<Profile>(name.into()).unwrap(), profile);
        }
        assert_eq!(Profile::Ideal.shape(), Shape::default());
    }

    #[test]
    fn paths_belong_to_roads() {
        assert_eq!(Road::of("/nfc/t/disk-0.vmdk"), Some(Road::Lease));
        assert_eq!(Road::of("/ha-nfc/t/disk-0.vmdk"), Some(Road::Lease));
        assert_eq!(Road::of("/folder/x/x-flat.vmdk"), Some(Road::Folder));
        assert_eq!(Road::of("/folders"), None);
        assert_eq!(Road::of("/sdk"), None);
    }
}
