//! What one link of a disk's chain holds: which grains, and which bytes in them.
//!
//! A disk that the inventory gives links shows its content through all of them together: each link
//! holds the grains that it "wrote", with the content's bytes where it is the highest that did, and with
//! older ones where another link hides it. So a reader that misses a link, or takes the wrong one, gets
//! other bytes and not the same by luck. Links of snapshots hold what their guest wrote ([`Delta`]).
//!
//! ```text
//!  snapshot link   [ noise  .    .    .  ]    deltas of one number
//!  declared link 2 [   .   data  .    .  ]    highest: bytes of the content, or zeros
//!  declared link 1 [   .  stale data  .  ]
//!  base            [ data stale stale data ]
//! ```
//!
//! Pure: the formats around a link are in [`super::cowd`] and [`super::sesparse`], names in [`super::chain`].

use std::io;
use std::sync::Arc;

use crate::content::{Delta, DiskContent, GRAIN_BYTES, mix};

/// Part of the grains that a declared link holds, in 1/65536: enough that a small disk has some in each.
const DECLARED_SHARE: u16 = 0x1800;

/// Grains at the front of a disk, a GiB of them, of which declared links hold zeros, too.
const ZEROS_BELOW: u64 = 1 << 14;

/// What a link says about one grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing: look at the parent.
    Nothing,
    /// Zeros, whatever the parent says.
    Zeros,
    /// Bytes of its own.
    Data,
}

/// The base and the links that the inventory declares for one disk.
#[derive(Debug)]
pub(crate) struct Declared {
    content: Arc<DiskContent>,
    disk: usize,
    /// What belongs to the base and to each link above, lowest first.
    owners: Vec<Delta>,
}

impl Declared {
    /// Spreads the content of a VM's disk `disk` over a base and `links` links.
    pub(crate) fn new(content: Arc<DiskContent>, disk: usize, links: u32) -> Self {
        let seed = content.fingerprint();
        let owner = |number| Delta { number, seed: mix(seed ^ u64::from(number)), share: DECLARED_SHARE };
        Self { content, disk, owners: (0..=links).map(owner).collect() }
    }

    /// Returns the highest link that holds a grain; 0 is the base.
    fn owner(&self, grain: u64) -> usize {
        (1..self.owners.len()).rev().find(|&link| self.holds(link, grain)).unwrap_or(0)
    }

    /// Returns whether a link above the base holds a grain. Where the content has nothing, links hold
    /// zeros at the front of a disk only, so that those of a large empty disk are small.
    fn holds(&self, link: usize, grain: u64) -> bool {
        self.owners[link].wrote(self.disk, grain) && (self.content.may_have_data(grain) || grain < ZEROS_BELOW)
    }

    fn held(&self, link: usize, grain: u64) -> Held {
        if !self.holds(link, grain) {
            return Held::Nothing;
        }
        if self.owner(grain) == link && !self.content.may_have_data(grain) { Held::Zeros } else { Held::Data }
    }

    /// Fills `buffer` with what a link has of a grain, from its start.
    fn fill(&self, link: usize, grain: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.owner(grain) == link {
            return self.content.read_range(grain * GRAIN_BYTES, buffer);
        }
        self.owners[link].fill(self.disk, grain, buffer);
        Ok(())
    }
}

/// The lowest link of a chain, which has all bytes.
#[derive(Debug)]
pub(crate) struct Base {
    declared: Arc<Declared>,
    /// The content with what was merged into it; only of a base that has no declared links above.
    seen: Option<Arc<DiskContent>>,
}

impl Base {
    /// Makes the base of a chain into which `merged` was merged.
    pub(crate) fn new(declared: Arc<Declared>, merged: &[Delta]) -> Self {
        let plain = declared.owners.len() == 1;
        let seen = plain.then(|| DiskContent::layered(&declared.content, declared.disk, merged));
        Self { declared, seen }
    }

    /// Returns whether reading never waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.declared.content.is_in_memory()
    }

    /// Fills `buffer` with the bytes from `offset`.
    pub(crate) fn read_range(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if let Some(seen) = &self.seen {
            return seen.read_range(offset, buffer);
        }
        by_grain(offset, buffer, |grain, inner, part| self.read_inside(grain, inner, part))
    }

    fn read_inside(&self, grain: u64, inner: usize, buffer: &mut [u8]) -> io::Result<()> {
        if self.declared.owner(grain) == 0 {
            let inner = u64::try_from(inner).unwrap_or(GRAIN_BYTES);
            return self.declared.content.read_range(grain * GRAIN_BYTES + inner, buffer);
        }
        from_start(inner, buffer, |whole| self.declared.fill(0, grain, whole))
    }
}

/// What one link above a base holds.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// A link of the inventory, and what was merged into it if it is the highest of them.
    Declared(Arc<Declared>, usize, Vec<Delta>),
    /// The link of a snapshot, of the VM's disk with this number.
    Written(usize, Vec<Delta>),
}

/// What tells one layer of a disk from the others.
pub(crate) type LayerKey = (usize, Vec<Delta>);

impl Layer {
    pub(crate) fn key(&self) -> LayerKey {
        match self {
            Self::Declared(_, link, merged) => (*link, merged.clone()),
            Self::Written(_, deltas) => (0, deltas.clone()),
        }
    }

    /// Returns what guests wrote, or merges brought, lowest first.
    pub(crate) fn writes(&self) -> &[Delta] {
        match self {
            Self::Declared(_, _, merged) => merged,
            Self::Written(_, deltas) => deltas,
        }
    }

    /// Returns a grain from which on it is plain that nothing is held, of a disk with `grains`: a large empty
    /// disk need not be walked.
    pub(crate) fn end(&self, grains: u64) -> u64 {
        let is_unwritten = self.writes().iter().all(|delta| delta.share == 0);
        match self {
            Self::Written(..) if is_unwritten => 0,
            Self::Declared(declared, ..) if is_unwritten && declared.content.is_zero_from(ZEROS_BELOW) => {
                grains.min(ZEROS_BELOW)
            }
            _ => grains,
        }
    }

    /// Returns whether reading never waits for a disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        match self {
            Self::Declared(declared, ..) => declared.content.is_in_memory(),
            Self::Written(..) => true,
        }
    }

    /// Returns what is said about a grain.
    pub(crate) fn held(&self, grain: u64) -> Held {
        match self {
            Self::Declared(declared, _, merged) if last(merged, declared.disk, grain).is_some() => Held::Data,
            Self::Declared(declared, link, _) => declared.held(*link, grain),
            Self::Written(disk, deltas) if last(deltas, *disk, grain).is_some() => Held::Data,
            Self::Written(..) => Held::Nothing,
        }
    }

    /// Fills `buffer` with the bytes of a grain that is held, from `inner` bytes inside of it.
    pub(crate) fn read_inside(&self, grain: u64, inner: usize, buffer: &mut [u8]) -> io::Result<()> {
        from_start(inner, buffer, |whole| {
            let (disk, deltas) = match self {
                Self::Declared(declared, _, merged) => (declared.disk, merged),
                Self::Written(disk, deltas) => (*disk, deltas),
            };
            match (last(deltas, disk, grain), self) {
                (Some(delta), _) => delta.fill(disk, grain, whole),
                (None, Self::Declared(declared, link, _)) => declared.fill(*link, grain, whole)?,
                (None, Self::Written(..)) => whole.fill(0),
            }
            Ok(())
        })
    }
}

/// Returns the latest of one link's writes to a grain.
fn last(deltas: &[Delta], disk: usize, grain: u64) -> Option<&Delta> {
    deltas.iter().rev().find(|delta| delta.wrote(disk, grain))
}

/// Makes bytes from the middle of a grain by `make`, which knows them from its start only.
fn from_start(inner: usize, buffer: &mut [u8], make: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
    if inner == 0 {
        return make(buffer);
    }
    let mut whole = vec![0; inner + buffer.len()];
    make(&mut whole)?;
    buffer.copy_from_slice(&whole[inner..]);
    Ok(())
}

/// Calls `read` with each grain that a range touches, where it begins inside, and the buffer's part.
fn by_grain(
    offset: u64,
    buffer: &mut [u8],
    mut read: impl FnMut(u64, usize, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let grain_len = usize::try_from(GRAIN_BYTES).expect("64 KiB is small");
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let inner = usize::try_from(at % GRAIN_BYTES).expect("a remainder of 64 KiB is small");
        let (now, later) = rest.split_at_mut((grain_len - inner).min(rest.len()));
        read(at / GRAIN_BYTES, inner, now)?;
        at += u64::try_from(now.len()).expect("usize has at most 64 bits");
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Content, Disk};

    const GRAINS: u64 = 200;

    fn declared(links: u32) -> Arc<Declared> {
        let content = Content::Seeded { seed: 5, fill: 0.5, compressibility: 0.5 };
        let content = DiskContent::open(&Disk::new(GRAINS * GRAIN_BYTES, content)).unwrap();
        Arc::new(Declared::new(Arc::new(content), 1, links))
    }

    fn grain(read: impl Fn(&mut [u8]) -> io::Result<()>) -> Vec<u8> {
        let mut bytes = vec![0xaa; 4096];
        read(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_highest_holder_of_a_grain_shows_the_content_and_those_below_do_not() {
        let declared = declared(3);
        let base = Base::new(Arc::clone(&declared), &[]);
        let layers: Vec<_> = (1..=3).map(|link| Layer::Declared(Arc::clone(&declared), link, Vec::new())).collect();
        let mut seen = [0; 3];
        for index in 0..GRAINS {
            let right = grain(|bytes| declared.content.read_range(index * GRAIN_BYTES, bytes));
            let below = grain(|bytes| base.read_range(index * GRAIN_BYTES, bytes));
            let Some(top) = layers.iter().rev().find(|layer| layer.held(index) != Held::Nothing) else {
                assert!(below == right, "grain {index}");
                continue;
            };
            assert!(below != right, "grain {index}: the base must not be right by luck");
            match top.held(index) {
                Held::Zeros => assert!(right.iter().all(|&byte| byte == 0)),
                _ => assert!(grain(|bytes| top.read_inside(index, 0, bytes)) == right),
            }
            seen[usize::from(top.held(index) == Held::Zeros)] += 1;
            let hidden = layers.iter().filter(|layer| layer.held(index) == Held::Data).count() > 1;
            seen[2] += i32::from(hidden);
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }

    #[test]
    fn what_was_merged_lies_in_the_highest_declared_link() {
        let (declared, merged) = (declared(1), Delta { number: 0, seed: 9, share: 0x4000 });
        let layer = Layer::Declared(Arc::clone(&declared), 1, vec![merged]);
        let written = (0..GRAINS).find(|&index| merged.wrote(1, index)).unwrap();
        assert_eq!(layer.held(written), Held::Data);
        let mut bytes = vec![0; 4096];
        merged.fill(1, written, &mut bytes);
        assert_eq!(grain(|bytes| layer.read_inside(written, 0, bytes)), bytes);
        let plain = Base::new(Arc::new(Declared::new(Arc::clone(&declared.content), 1, 0)), &[merged]);
        assert_eq!(grain(|bytes| plain.read_range(written * GRAIN_BYTES, bytes)), bytes);
    }

    #[test]
    fn a_part_of_a_grain_is_a_part_of_its_bytes() {
        let deltas = vec![Delta { number: 1, seed: 3, share: u16::MAX }, Delta { number: 1, seed: 4, share: 0x8000 }];
        let layer = Layer::Written(0, deltas.clone());
        let later = (0..GRAINS).find(|&index| deltas[1].wrote(0, index)).unwrap();
        let (mut whole, mut part) = (vec![0; 8192], vec![0; 100]);
        layer.read_inside(later, 0, &mut whole).unwrap();
        layer.read_inside(later, 5000, &mut part).unwrap();
        assert_eq!(part, whole[5000..5100]);
        deltas[1].fill(0, later, &mut whole);
        assert_eq!(part, whole[5000..5100]);
    }
}
