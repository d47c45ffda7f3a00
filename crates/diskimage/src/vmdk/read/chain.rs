//! Opens a disk and everything below it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::link::{Context, OpenedLink, open_link};
use super::options::{OpenOptions, Parent};
use super::tables::Caches;
use crate::image::chain::{LINKS_MAX, chain_too_long};
use crate::image::files::{beside, open_with_folder};
use crate::image::{ByteSource, Files, Image, Link, LinkDescription};
use crate::{Error, Result};

/// Opens a disk by a path that the user gave; what it names lies below its own folder.
///
/// # Errors
///
/// As [`open`].
pub fn open_path(path: &Path, options: OpenOptions) -> Result<Image> {
    let (source, folder, name) = open_with_folder(path)?;
    open(source, &name, &folder, options)
}

/// Opens a disk: a descriptor, a sparse extent with or without one, or a bare delta.
///
/// `name` is the name of the source among `files`; extents and parents are looked up relative to
/// it. Two files are the same when they are the same, not when their content ids are: a fresh
/// snapshot has the id of its parent.
///
/// # Errors
///
/// `Unsupported` for what is not a VMDK or cannot be read here, `Encrypted`, `Outside` for a name
/// that leads out, `Corrupt` for a chain that loops, `Truncated` for a file that is too short,
/// `Limit` for what is too large, `Misuse` for a parent of a disk that has none, `Io`.
pub fn open(source: Arc<dyn ByteSource>, name: &str, files: &dyn Files, options: OpenOptions) -> Result<Image> {
    let OpenOptions { capacity_bytes_max, mut parent, recover } = options;
    let context = Context { files, caches: Caches::new(), capacity_bytes_max, recover };
    let mut visited = HashSet::new();
    let mut links: Vec<Link> = Vec::new();
    let mut next = Some((source, name.to_owned()));
    while let Some((source, name)) = next.take() {
        if !visited.insert(source.identity()) {
            return Err(Error::corrupt("a chain of parents does not loop").in_file(source.name()));
        }
        if links.len() >= LINKS_MAX {
            return Err(chain_too_long());
        }
        let OpenedLink { link, parent_name, has_parent } = open_link(source, &name, &context)?;
        let shown = link.description.name.clone();
        links.push(link);
        match std::mem::replace(&mut parent, Parent::Named) {
            Parent::Given(_) if !has_parent => {
                return Err(Error::misuse("only a delta is opened with a parent").in_file(&shown));
            }
            Parent::Given(given) => links.extend(given),
            Parent::Ignored => {}
            Parent::Named if !has_parent => {}
            Parent::Named => {
                let named = parent_name.ok_or_else(|| {
                    Error::unsupported("a delta that does not name its parent is opened with one").in_file(&shown)
                })?;
                let named = beside(&name, &named);
                next = Some((files.open(&named).map_err(|error| error.in_file(&shown))?, named));
            }
        }
    }
    compare_content_ids(&mut links);
    Image::new(links)
}

/// Notes where a parent has another content id than its child remembers.
///
/// That means that somebody wrote to the parent after the child was taken, or that ids were not
/// kept up, which several tools do not; nothing here can tell which.
fn compare_content_ids(links: &mut [Link]) {
    for number in 1..links.len() {
        let LinkDescription { name, content_id: found, .. } = links[number].description.clone();
        let child = &mut links[number - 1].description;
        let (Some(found), Some(expected)) = (found, &child.parent_content_id) else {
            continue;
        };
        if !found.eq_ignore_ascii_case(expected) {
            child.warnings.push(format!(
                "the parent {name} has the content id {found}, {expected} is expected: it may have changed since"
            ));
        }
    }
}
