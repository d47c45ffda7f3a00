//! The list of snapshots that lies beside a machine: `.vmsd`.
//!
//! Numbers of snapshots and disks have as many digits as it takes. The file that a snapshot names
//! for a disk is the link that was current when it was taken: its own base, not what came after.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Vmx;
use crate::{Error, Result};

/// Most snapshots that are read; VMware makes at most 496.
pub const SNAPSHOTS_MAX: usize = 1024;

/// The snapshots of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotList {
    /// The identifier of the snapshot on which the machine runs.
    pub current: Option<i64>,
    /// The snapshots in the order of the file; each parent is one of them.
    pub snapshots: Vec<Snapshot>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// `uid`: what others call it.
    pub uid: i64,
    /// `parent`: the snapshot before it.
    pub parent: Option<i64>,
    /// `displayName`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `filename`: the state of the machine, `.vmsn`.
    pub state_file: Option<String>,
    /// When it was taken, in microseconds since 1970.
    pub created_us: Option<i64>,
    /// The disks.
    pub disks: Vec<SnapshotDisk>,
}

/// A disk at the time of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDisk {
    /// `fileName`: the link that was current.
    pub file_name: String,
    /// `node`: where it hangs, such as `scsi0:0`.
    pub node: String,
}

/// Parses a `.vmsd` file; an empty one is a machine without snapshots.
///
/// # Errors
///
/// Those of [`Vmx::parse`], `Limit` beyond [`SNAPSHOTS_MAX`], and `Corrupt` when an identifier is no number or used twice, or when
/// snapshots are each other's parents.
pub fn snapshots(bytes: &[u8]) -> Result<SnapshotList> {
    if bytes.trim_ascii().is_empty() {
        return Ok(SnapshotList::default());
    }
    let vmsd = Vmx::parse(bytes)?;
    let mut list = SnapshotList { warnings: vmsd.warnings().to_vec(), ..SnapshotList::default() };
    let numbers_of_snapshots = numbers(&vmsd, "snapshot");
    if numbers_of_snapshots.len() > SNAPSHOTS_MAX {
        let count = numbers_of_snapshots.len();
        return Err(Error::limit("a machine has at most 1024 snapshots").found(count.to_string()));
    }
    for number in numbers_of_snapshots {
        let get = |word: &str| vmsd.text(&format!("snapshot{number}.{word}"));
        let Some(uid) = get("uid") else {
            list.warnings.push(format!("snapshot{number} has no identifier and is left out"));
            continue;
        };
        list.snapshots.push(Snapshot {
            uid: identifier(uid)?,
            parent: get("parent").map(identifier).transpose()?,
            name: get("displayname").unwrap_or_default().to_owned(),
            description: get("description").map(str::to_owned),
            state_file: get("filename").map(str::to_owned),
            created_us: created_us(get("createtimehigh"), get("createtimelow")),
            disks: disks(&vmsd, number),
        });
    }
    list.current = vmsd.text("snapshot.current").map(identifier).transpose()?;
    let count = list.snapshots.len();
    if vmsd.text("snapshot.numsnapshots").is_some_and(|said| said.parse() != Ok(count)) {
        list.warnings.push(format!("the list has {count} snapshots and says otherwise"));
    }
    check(&mut list)?;
    Ok(list)
}

/// Returns the numbers in keys such as `snapshot12.uid`, in their order.
fn numbers(vmsd: &Vmx, prefix: &str) -> BTreeSet<u32> {
    vmsd.keys().filter_map(|key| key.strip_prefix(prefix)?.split_once('.')?.0.parse().ok()).collect()
}

fn disks(vmsd: &Vmx, snapshot: u32) -> Vec<SnapshotDisk> {
    let prefix = format!("snapshot{snapshot}.disk");
    let disks = numbers(vmsd, &prefix).into_iter();
    disks
        .filter_map(|number| {
            let get = |word: &str| vmsd.text(&format!("{prefix}{number}.{word}")).map(str::to_owned);
            Some(SnapshotDisk { file_name: get("filename")?, node: get("node").unwrap_or_default() })
        })
        .collect()
}

fn identifier(text: &str) -> Result<i64> {
    text.parse().map_err(|source: std::num::ParseIntError| {
        Error::corrupt("a snapshot is known by a number").found(format!("{text:?}")).caused_by(source)
    })
}

/// Joins the halves of a time, each written as a signed number of 32 bits.
fn created_us(high: Option<&str>, low: Option<&str>) -> Option<i64> {
    let (high, low) = (high?.parse::<i32>().ok()?, low?.parse::<i32>().ok()?);
    Some(i64::from(high) << 32 | i64::from(low.cast_unsigned()))
}

/// Checks that following parents ends.
fn check(list: &mut SnapshotList) -> Result<()> {
    let mut parents = HashMap::new();
    for snapshot in &list.snapshots {
        if parents.insert(snapshot.uid, snapshot.parent).is_some() {
            return Err(Error::corrupt("a snapshot has a number of its own").found(snapshot.uid.to_string()));
        }
    }
    let mut ends: HashSet<i64> = HashSet::new();
    for snapshot in &list.snapshots {
        let mut path = HashSet::new();
        let mut next = Some(snapshot.uid);
        while let Some(uid) = next.filter(|uid| !ends.contains(uid)) {
            if !path.insert(uid) {
                return Err(Error::corrupt("a snapshot is not its own ancestor").found(uid.to_string()));
            }
            next = parents.get(&uid).copied().flatten();
        }
        ends.extend(path);
    }
    for snapshot in &mut list.snapshots {
        if let Some(parent) = snapshot.parent.filter(|parent| !parents.contains_key(parent)) {
            list.warnings.push(format!("snapshot {} comes after {parent}, which is not in the list", snapshot.uid));
            snapshot.parent = None;
        }
    }
    if let Some(current) = list.current.filter(|current| !parents.contains_key(current)) {
        list.warnings.push(format!("the current snapshot {current} is not in the list"));
        list.current = None;
    }
    Ok(())
}
