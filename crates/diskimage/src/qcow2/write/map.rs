//! Which entry each guest cluster has, and which of them changed since the last commit.
//!
//! Entries are kept in pages of 512, made when the first of them is set: memory follows what was
//! written, not the capacity (8 bytes per cluster, 128 MiB for a TiB of data in clusters of
//! 64 KiB), and a disk written here and there costs a page of 4 KiB per place, not a whole table.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Entries of a page: 4 KiB.
const PAGE_ENTRIES: u64 = 512;
const PAGE_LEN: usize = 512;
const WORD_BITS: usize = 64;

struct Page {
    entries: [u64; PAGE_LEN],
    changed: [u64; PAGE_LEN / WORD_BITS],
}

/// The entries of all guest clusters, as the L2 tables will hold them.
#[derive(Default)]
pub(super) struct Map {
    pages: BTreeMap<u64, Box<Page>>,
    /// Pages with a change since the last [`Map::take_changes`].
    changed: BTreeSet<u64>,
}

impl Map {
    pub(super) fn get(&self, cluster: u64) -> u64 {
        let (page, slot) = split(cluster);
        self.pages.get(&page).map_or(0, |page| page.entries[slot])
    }

    /// Sets an entry, marks it as changed, and returns what it was.
    pub(super) fn set(&mut self, cluster: u64, entry: u64) -> u64 {
        let (number, slot) = split(cluster);
        let old = self.restore(cluster, entry);
        if let Some(page) = self.pages.get_mut(&number)
            && old != entry
        {
            page.changed[slot / WORD_BITS] |= 1 << (slot % WORD_BITS);
            self.changed.insert(number);
        }
        old
    }

    /// Sets an entry that a checkpoint holds already, and returns what it was.
    pub(super) fn restore(&mut self, cluster: u64, entry: u64) -> u64 {
        let (number, slot) = split(cluster);
        if entry == 0 && !self.pages.contains_key(&number) {
            return 0;
        }
        let empty = || Box::new(Page { entries: [0; PAGE_LEN], changed: [0; PAGE_LEN / WORD_BITS] });
        let page = self.pages.entry(number).or_insert_with(empty);
        std::mem::replace(&mut page.entries[slot], entry)
    }

    /// Returns the first cluster of a range that has an entry.
    pub(super) fn first_in(&self, range: Range<u64>) -> Option<u64> {
        let pages = self.pages.range(range.start / PAGE_ENTRIES..range.end.div_ceil(PAGE_ENTRIES));
        let clusters = pages.flat_map(|(number, page)| clusters_of(*number).zip(page.entries));
        clusters.filter(|(cluster, entry)| range.contains(cluster) && *entry != 0).map(|(cluster, _)| cluster).next()
    }

    /// Calls `each` with every entry that changed since the last time, ascending.
    pub(super) fn take_changes(&mut self, mut each: impl FnMut(u64, u64)) {
        for number in std::mem::take(&mut self.changed) {
            let page = self.pages.get_mut(&number).expect("a changed page exists");
            let changed = std::mem::take(&mut page.changed);
            for (slot, cluster) in (0..PAGE_LEN).zip(clusters_of(number)) {
                if changed[slot / WORD_BITS] >> (slot % WORD_BITS) & 1 != 0 {
                    each(cluster, page.entries[slot]);
                }
            }
        }
    }

    /// Iterates over all entries that are not 0, ascending by cluster.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let all = self.pages.iter().flat_map(|(number, page)| clusters_of(*number).zip(page.entries));
        all.filter(|(_, entry)| *entry != 0)
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map").field("pages", &self.pages.len()).field("changed", &self.changed.len()).finish()
    }
}

fn split(cluster: u64) -> (u64, usize) {
    let slot = usize::try_from(cluster % PAGE_ENTRIES).expect("less than a page");
    (cluster / PAGE_ENTRIES, slot)
}

fn clusters_of(page: u64) -> Range<u64> {
    page * PAGE_ENTRIES..(page + 1) * PAGE_ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(map: &mut Map) -> Vec<(u64, u64)> {
        let mut changes = Vec::new();
        map.take_changes(|cluster, entry| changes.push((cluster, entry)));
        changes
    }

    #[test]
    fn changes_are_told_once_in_order_with_their_last_value() {
        let mut map = Map::default();
        assert_eq!(map.set(1000, 7), 0);
        assert_eq!(map.set(3, 1), 0);
        assert_eq!(map.set(3, 2), 1);
        assert_eq!(map.set(u64::from(u32::MAX), 0), 0);
        assert_eq!(changes(&mut map), [(3, 2), (1000, 7)]);
        assert_eq!(changes(&mut map), []);
        map.set(3, 2);
        map.set(1000, 0);
        map.restore(4, 9);
        assert_eq!(changes(&mut map), [(1000, 0)]);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(3, 2), (4, 9)]);
    }

    #[test]
    fn the_first_entry_of_a_range_is_found_across_pages() {
        let mut map = Map::default();
        map.set(511, 5);
        map.set(40_000, 6);
        assert_eq!(map.first_in(0..u64::MAX), Some(511));
        assert_eq!(map.first_in(0..511), None);
        assert_eq!(map.first_in(512..40_001), Some(40_000));
        assert_eq!(map.first_in(512..40_000), None);
        assert_eq!(map.first_in(511..511), None);
    }
}
