//! Links on top of each other: what the guest sees.
//!
//! Each stretch is read from the newest link that has it, as data or as a statement of zeros. The
//! question is put to a link once per run and not once per sector, and never recursively, so that
//! a chain costs what its maps cost.

use std::ops::Range;

use super::describe::{Description, LinkDescription};
use super::disk::{Disk, Extent, ExtentKind, Runs, check_bounds, extents, read_range};
use crate::number::clip;
use crate::{Error, Result};

/// Most links of a chain. VMware allows 32 snapshots; other readers stop at 25 or 64.
pub const LINKS_MAX: usize = 64;

/// One disk of a chain.
pub struct Link {
    /// Its bytes; what it does not have is an [`ExtentKind::Hole`].
    pub disk: Box<dyn Disk>,
    /// What is known about it; [`Image::describe`] counts the allocated bytes.
    pub description: LinkDescription,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("description", &self.description).finish_non_exhaustive()
    }
}

/// A chain of links, readable as one disk.
///
/// The size is that of the newest link: what an older link has beyond it does not show, and where
/// an older link is shorter there are zeros.
#[derive(Debug)]
pub struct Image {
    /// The newest first; never empty.
    links: Vec<Link>,
}

impl Image {
    /// Returns the disk that these links make, the newest first.
    ///
    /// # Errors
    ///
    /// `Misuse` without any link, `Limit` for more than [`LINKS_MAX`].
    pub fn new(links: Vec<Link>) -> Result<Self> {
        if links.is_empty() {
            return Err(Error::misuse("a disk has at least one link"));
        }
        if links.len() > LINKS_MAX {
            return Err(chain_too_long());
        }
        Ok(Self { links })
    }

    /// Returns the links, the newest first.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Returns the links, the newest first, to lay others over them.
    #[must_use]
    pub fn into_links(self) -> Vec<Link> {
        self.links
    }

    /// Returns what is known about the disk. Walks the maps of all links, reads no data.
    ///
    /// # Errors
    ///
    /// As [`Disk::extents`].
    pub fn describe(&self) -> Result<Description> {
        let mut links = Vec::with_capacity(self.links.len());
        for link in &self.links {
            let mut description = link.description.clone();
            description.allocated_bytes = allocated(&link.disk)?;
            description.warnings.extend(link.disk.warnings());
            links.push(description);
        }
        let capacity_bytes = self.capacity_bytes();
        let mut warnings: Vec<String> = links
            .iter()
            .flat_map(|link| link.warnings.iter().map(|warning| format!("{}: {warning}", link.name)))
            .collect();
        for pair in links.windows(2).filter(|pair| pair[0].capacity_bytes != pair[1].capacity_bytes) {
            warnings.push(format!(
                "{} has {} bytes, its parent {} {}",
                pair[0].name, pair[0].capacity_bytes, pair[1].name, pair[1].capacity_bytes
            ));
        }
        Ok(Description { capacity_bytes, allocated_bytes: allocated(self)?, links, warnings })
    }
}

/// Returns the error for a chain beyond [`LINKS_MAX`].
pub(crate) fn chain_too_long() -> Error {
    Error::limit("a chain has at most 64 links")
}

/// Returns how many bytes of a disk are data.
fn allocated<D: Disk + ?Sized>(disk: &D) -> Result<u64> {
    let mut sum = 0;
    for extent in extents(disk, 0..disk.capacity_bytes()) {
        let extent = extent?;
        if extent.kind == ExtentKind::Data {
            sum += extent.len_bytes();
        }
    }
    Ok(sum)
}

/// A stretch that one link answers for, and how far it has got.
struct Frame {
    link: usize,
    /// What the link said last and nobody was told yet.
    runs: std::vec::IntoIter<Extent>,
    /// What it was not asked yet.
    rest: Range<u64>,
}

impl Frame {
    fn new(link: usize, rest: Range<u64>) -> Self {
        Self { link, runs: Vec::new().into_iter(), rest }
    }
}

impl Image {
    /// Walks `range` in order and tells `visit` which link answers for each piece and how; `None`
    /// where no link has it. Stops when `visit` says so.
    fn walk(&self, range: Range<u64>, mut visit: impl FnMut(Option<&Link>, Extent) -> Result<bool>) -> Result<()> {
        // Each frame answers for a hole of the frame below it, so there are at most as many as links.
        let mut frames = vec![Frame::new(0, range)];
        while let Some(frame) = frames.last_mut() {
            let link = &self.links[frame.link];
            if let Some(run) = frame.runs.next() {
                let below = frame.link + 1;
                if run.kind == ExtentKind::Hole && below < self.links.len() {
                    frames.push(Frame::new(below, run.range));
                } else if !visit(Some(link), run)? {
                    return Ok(());
                }
                continue;
            }
            let rest = frame.rest.clone();
            if rest.is_empty() {
                frames.pop();
                continue;
            }
            let end = rest.end.min(link.disk.capacity_bytes());
            if end <= rest.start {
                // The disk grew after this link was made: beyond its end there is nothing.
                frames.pop();
                if !visit(None, Extent { range: rest, kind: ExtentKind::Hole })? {
                    return Ok(());
                }
                continue;
            }
            let runs = link.disk.extents(rest.start..end)?;
            let answered = runs.last().map(|last| last.range.end).filter(|&answered| answered > rest.start);
            frame.rest.start = answered.ok_or_else(|| Error::misuse("a disk says what lies in a range"))?;
            frame.runs = runs.into_iter();
        }
        Ok(())
    }
}

impl Disk for Image {
    fn capacity_bytes(&self) -> u64 {
        self.links[0].disk.capacity_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = read_range(offset, buf.len(), self.capacity_bytes())?;
        if let [link] = &self.links[..] {
            return link.disk.read_at(offset, buf);
        }
        self.walk(range, |link, extent| {
            let start = clip(buf.len(), extent.range.start - offset);
            let end = clip(buf.len(), extent.range.end - offset);
            let piece = &mut buf[start..end];
            match link {
                Some(link) if extent.kind == ExtentKind::Data => link.disk.read_at(extent.range.start, piece)?,
                _ => piece.fill(0),
            }
            Ok(true)
        })
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        check_bounds(&range, self.capacity_bytes())?;
        let mut runs = Runs::new(range.start);
        self.walk(range, |_, extent| {
            runs.extend_to(extent.range.end, extent.kind);
            Ok(!runs.is_full())
        })?;
        Ok(runs.into_list())
    }

    fn check(&self) -> Result<()> {
        self.links.iter().try_for_each(|link| link.disk.check())
    }

    fn warnings(&self) -> Vec<String> {
        self.links.iter().flat_map(|link| link.disk.warnings()).collect()
    }
}

#[cfg(test)]
mod tests;
