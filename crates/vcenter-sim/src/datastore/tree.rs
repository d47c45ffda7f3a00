//! Directories and files of a datastore by their paths.
//!
//! Names are compared as they are: a path is never taken apart beyond its slashes, so there is no way
//! out of a datastore.

use std::collections::BTreeSet;

use super::file::{FileKind, Lock, Source, StoredFile};
use super::{EPOCH, VmNow, machine};
use crate::export::{iso_len_bytes, text_seed};
use crate::world::World;

/// What stands in a directory.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A directory, by its name.
    Directory(String),
    File(Box<StoredFile>),
}

impl Entry {
    /// Returns the name in its directory.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Directory(name) => name,
            Self::File(file) => &file.name,
        }
    }
}

/// Returns what stands in a directory, by name; `None` when there is no such directory. The root is the
/// empty path. `now` tells how a VM is at this moment.
pub(crate) fn list(
    world: &World,
    datastore: usize,
    directory: &str,
    now: &impl Fn(usize) -> VmNow,
) -> Option<Vec<Entry>> {
    let there = world.datastores.get(datastore);
    let mut entries = Vec::new();
    let mut names = BTreeSet::new();
    let mut is_there = directory.is_empty();
    if directory.is_empty() {
        names.extend(world.datastores.directories(datastore));
    }
    for vm in world.datastores.owners(datastore, directory) {
        is_there = true;
        let files = machine::all(world, vm, &now(vm)).into_iter();
        let here = |file: &StoredFile| file.datastore == datastore && file.directory == directory;
        // What two VMs call the same is one file, and the first VM says what is in it.
        let known: BTreeSet<String> = entries.iter().map(|entry: &Entry| entry.name().to_owned()).collect();
        let new = files.filter(here).filter(|file| !known.contains(&file.name));
        entries.extend(new.map(|file| Entry::File(Box::new(file))));
    }
    for iso in &there.isos {
        let rest = match directory {
            "" => Some(iso.as_str()),
            _ => iso.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(rest) = rest else { continue };
        is_there = true;
        match rest.split_once('/') {
            Some((name, _)) => drop(names.insert(name.to_owned())),
            None => entries.push(Entry::File(Box::new(image(world, datastore, directory, rest)))),
        }
    }
    entries.extend(names.into_iter().map(Entry::Directory));
    entries.sort_by(|one, other| one.name().cmp(other.name()));
    is_there.then_some(entries)
}

/// Returns what a path names: a directory, a file, or nothing.
pub(crate) fn find(world: &World, datastore: usize, path: &str, now: &impl Fn(usize) -> VmNow) -> Option<Entry> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if path.is_empty() {
        return Some(Entry::Directory(String::new()));
    }
    let entries = list(world, datastore, directory, now)?;
    entries.into_iter().find(|entry| entry.name() == name)
}

/// Returns the VMs whose file a path names, or all that have files in the directory that it names.
pub(crate) fn owners(world: &World, datastore: usize, path: &str, now: &impl Fn(usize) -> VmNow) -> Vec<usize> {
    let inside = world.datastores.owners(datastore, path);
    if !inside.is_empty() {
        return inside;
    }
    let directory = path.rsplit_once('/').map(|(directory, _)| directory);
    let beside = directory.map_or_else(Vec::new, |directory| world.datastores.owners(datastore, directory));
    let has = |&vm: &usize| {
        let files = machine::all(world, vm, &now(vm));
        files.iter().any(|file| file.datastore == datastore && file.path() == path)
    };
    // Whoever is alone there need not be asked for all files.
    if beside.len() == 1 { beside } else { beside.into_iter().filter(has).collect() }
}

/// Returns an image, with the bytes that leases give it.
fn image(world: &World, datastore: usize, directory: &str, name: &str) -> StoredFile {
    let slash = if directory.is_empty() { "" } else { "/" };
    let seed = text_seed(&format!("[{}] {directory}{slash}{name}", world.datastores.get(datastore).name));
    let len_bytes = iso_len_bytes(seed);
    StoredFile {
        datastore,
        directory: directory.to_owned(),
        name: name.to_owned(),
        kind: FileKind::Image,
        size_bytes: len_bytes,
        allocated_bytes: len_bytes,
        modified: EPOCH,
        lock: Lock::Free,
        source: Source::Noise { seed, len_bytes },
    }
}
