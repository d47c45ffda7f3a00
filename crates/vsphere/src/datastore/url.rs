//! Paths of `/folder` requests.
//!
//! Each directory and name is a segment of its own, datacenter and datastore are query values. Servers
//! disagree on some characters: a datacenter `EP&T` is found by some vCenters only when its name is
//! encoded twice. So query values are encoded once, and after a 404 twice; what worked is remembered.

use std::sync::atomic::{AtomicBool, Ordering};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::FileAddress;

/// Everything but the characters that no server gives a meaning (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How often names are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Once,
    Twice,
}

impl Encoding {
    fn apply(self, text: &str) -> String {
        let once = utf8_percent_encode(text, ENCODED).to_string();
        match self {
            Self::Once => once,
            Self::Twice => utf8_percent_encode(&once, ENCODED).to_string(),
        }
    }
}

/// What is known of a server: how it wants names encoded.
#[derive(Debug, Default)]
pub(crate) struct FolderEncoding {
    twice: AtomicBool,
}

impl FolderEncoding {
    /// Returns both ways, the likelier one first.
    pub(super) fn order(&self) -> [Encoding; 2] {
        match self.twice.load(Ordering::Relaxed) {
            false => [Encoding::Once, Encoding::Twice],
            true => [Encoding::Twice, Encoding::Once],
        }
    }

    /// Notes what has worked.
    pub(super) fn remember(&self, encoding: Encoding) {
        self.twice.store(encoding == Encoding::Twice, Ordering::Relaxed);
    }
}

/// Returns path and query of a file, for a vCenter or a single host with a session.
pub(super) fn folder(address: &FileAddress, encoding: Encoding) -> String {
    let datacenter = encoding.apply(&address.datacenter);
    format!("{}?dcPath={datacenter}&dsName={}", path(address), encoding.apply(address.file.datastore()))
}

/// Returns path and query of a file at a host of a vCenter, which knows no datacenter.
pub(super) fn folder_at_host(address: &FileAddress, encoding: Encoding) -> String {
    format!("{}?dsName={}", path(address), encoding.apply(address.file.datastore()))
}

/// Directories and name are encoded once: what is reported of servers that decode twice is about the query.
fn path(address: &FileAddress) -> String {
    let segments: Vec<String> = address.file.parts().iter().map(|part| Encoding::Once.apply(part)).collect();
    format!("/folder/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::DatastorePath;
    use super::*;

    fn address(datacenter: &str, file: &str) -> FileAddress {
        FileAddress { datacenter: datacenter.into(), file: DatastorePath::parse(file).unwrap() }
    }

    #[test]
    fn every_name_is_encoded_by_itself() {
        let cases = [
            ("DC0", "[ds1] web01/web01.nvram", "/folder/web01/web01.nvram?dcPath=DC0&dsName=ds1"),
            ("Lab/DC0", "[ds 1] a b/c&d?.nvram", "/folder/a%20b/c%26d%3F.nvram?dcPath=Lab%2FDC0&dsName=ds%201"),
            ("a%2fb", "[d] x%2fy/ü+z.nvram", "/folder/x%252fy/%C3%BC%2Bz.nvram?dcPath=a%252fb&dsName=d"),
        ];
        for (datacenter, file, expected) in cases {
            assert_eq!(folder(&address(datacenter, file), Encoding::Once), expected);
        }
    }

    #[test]
    fn twice_encodes_the_percent_signs_of_once() {
        let address = address("EP&T", "[d s] a b");
        assert_eq!(folder(&address, Encoding::Twice), "/folder/a%20b?dcPath=EP%2526T&dsName=d%2520s");
        assert_eq!(folder_at_host(&address, Encoding::Once), "/folder/a%20b?dsName=d%20s");
    }

    #[test]
    fn what_has_worked_comes_first() {
        let known = FolderEncoding::default();
        assert_eq!(known.order()[0], Encoding::Once);
        known.remember(Encoding::Twice);
        assert_eq!(known.order(), [Encoding::Twice, Encoding::Once]);
    }
}
