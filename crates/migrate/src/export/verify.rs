//! Compares what arrived with what the host says it sent.

use std::collections::BTreeMap;

use vsphere::wire::generated::HttpNfcLeaseManifestEntry;

use super::Proof;
use super::fetch::Fetched;
use crate::{Error, ErrorKind, Result};

/// What the host says, by the lease's keys; `None` where it has no manifest at all.
pub(super) type Manifest<'a> = Option<BTreeMap<&'a str, &'a HttpNfcLeaseManifestEntry>>;

/// Orders a manifest by key.
///
/// # Errors
/// [`ErrorKind::Verification`] when a key stands twice.
pub(super) fn by_key(entries: Option<&[HttpNfcLeaseManifestEntry]>) -> Result<Manifest<'_>> {
    let Some(entries) = entries else { return Ok(None) };
    let mut manifest = BTreeMap::new();
    for entry in entries {
        if manifest.insert(entry.key.as_str(), entry).is_some() {
            let context = format!("check the host's manifest: it names {} twice", entry.key);
            return Err(Error::new(ErrorKind::Verification, context));
        }
    }
    Ok(Some(manifest))
}

/// Returns how well `file`, which is `name` here and `key` in the lease, is proven.
///
/// A disk that the manifest leaves out is an error: a host that makes a manifest makes it for all
/// disks. Whether nvram is in it differs between versions.
///
/// # Errors
/// [`ErrorKind::Verification`] naming the file and both values.
pub(super) fn check(name: &str, key: &str, file: &Fetched, manifest: &Manifest<'_>) -> Result<Proof> {
    let Some(manifest) = manifest else { return Ok(Proof::Received) };
    let refuse = |reason: String| Err(Error::new(ErrorKind::Verification, format!("{name}: {reason}")));
    let Some(entry) = manifest.get(key) else {
        if file.disk.is_none() {
            return Ok(Proof::Received);
        }
        return refuse("the host's manifest does not have this disk".to_owned());
    };
    if u64::try_from(entry.size) != Ok(file.size_bytes) {
        return refuse(format!("{} bytes came, the host says it sent {}", file.size_bytes, entry.size));
    }
    if let (Some(disk), Some(capacity)) = (&file.disk, entry.capacity)
        && u64::try_from(capacity) != Ok(disk.capacity_bytes)
    {
        return refuse(format!("the disk has {} bytes, the host says {capacity}", disk.capacity_bytes));
    }
    let (algorithm, sent) = sent_hash(entry);
    let received = if algorithm == "SHA-256" { Some(&file.sha256) } else { file.sha1.as_ref() };
    match received {
        Some(received) if sent.eq_ignore_ascii_case(received) => Ok(Proof::Manifest),
        Some(received) => {
            refuse(format!("{algorithm} of what came is {received}, the host says it sent {sent}: bytes were changed"))
        }
        None => refuse("the host's manifest has SHA-1 only, though it had agreed to SHA-256".to_owned()),
    }
}

/// Returns the best hash of an entry.
fn sent_hash(entry: &HttpNfcLeaseManifestEntry) -> (&'static str, &str) {
    let kind = entry.checksum_type.as_deref().unwrap_or_default();
    match &entry.checksum {
        Some(checksum) if kind.eq_ignore_ascii_case("sha256") => ("SHA-256", checksum),
        _ => ("SHA-1", &entry.sha1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "/vm-1/ParaVirtualSCSIController0:0";

    fn fetched(disk: bool) -> Fetched {
        let summary = || {
            let mut bytes = Vec::new();
            let options = diskimage::vmdk::stream_write::StreamOptions::new(65_536, 1, "x.vmdk");
            let writer = diskimage::vmdk::stream_write::StreamWriter::create(&mut bytes, &options).unwrap();
            writer.finish().unwrap();
            let mut walker = diskimage::vmdk::stream_walk::StreamWalker::new(Default::default());
            walker.push(&bytes).unwrap();
            walker.finish().unwrap()
        };
        Fetched { size_bytes: 10, sha256: "ab".repeat(32), sha1: None, disk: disk.then(summary) }
    }

    fn entry() -> HttpNfcLeaseManifestEntry {
        HttpNfcLeaseManifestEntry {
            key: KEY.into(),
            size: 10,
            checksum: Some("AB".repeat(32)),
            checksum_type: Some("sha256".into()),
            disk: true,
            capacity: Some(65_536),
            ..Default::default()
        }
    }

    fn outcome(file: &Fetched, entries: &[HttpNfcLeaseManifestEntry]) -> Result<Proof> {
        check("web01-disk-0.vmdk", KEY, file, &by_key(Some(entries)).unwrap())
    }

    #[test]
    fn equal_size_and_hash_are_proof_by_manifest() {
        assert_eq!(outcome(&fetched(true), &[entry()]).unwrap(), Proof::Manifest);
    }

    #[test]
    fn every_lie_of_a_manifest_is_an_error_that_names_the_file() {
        let lies = [
            vec![],
            vec![HttpNfcLeaseManifestEntry { size: 11, ..entry() }],
            vec![HttpNfcLeaseManifestEntry { size: -10, ..entry() }],
            vec![HttpNfcLeaseManifestEntry { checksum: Some("ac".repeat(32)), ..entry() }],
            vec![HttpNfcLeaseManifestEntry { capacity: Some(1), ..entry() }],
            vec![HttpNfcLeaseManifestEntry { checksum: None, ..entry() }],
        ];
        for entries in lies {
            let error = outcome(&fetched(true), &entries).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Verification);
            assert!(error.to_string().contains("web01-disk-0.vmdk"), "{error}");
        }
        assert!(by_key(Some(&[entry(), entry()])).is_err());
    }

    #[test]
    fn without_a_manifest_the_grade_is_received() {
        assert_eq!(check("x", KEY, &fetched(true), &None).unwrap(), Proof::Received);
        assert_eq!(outcome(&fetched(false), &[]).unwrap(), Proof::Received);
    }

    #[test]
    fn an_old_host_proves_by_sha1() {
        let old = HttpNfcLeaseManifestEntry { sha1: "cd".repeat(20), checksum: None, checksum_type: None, ..entry() };
        let file = Fetched { sha1: Some("cd".repeat(20)), ..fetched(true) };
        assert_eq!(outcome(&file, &[old]).unwrap(), Proof::Manifest);
    }
}
