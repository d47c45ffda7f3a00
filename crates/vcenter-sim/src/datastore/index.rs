//! Where the grains of a link lie in its file: how many tables and grains stand before each table.
//!
//! The files of links are compact: what a link does not hold takes no room. So a position in a file follows
//! from a count of all that comes before it, and that count is made once for each link.

use super::layer::{Held, Layer};

/// Counts over the tables of a link.
#[derive(Debug)]
pub(super) struct Index {
    /// Tables that are present, before each table and at the end.
    tables: Vec<u32>,
    /// Grains with data, before each table and at the end.
    grains: Vec<u32>,
}

impl Index {
    /// Counts what `layer` holds of `grains` grains, of which each table has `grains_per_table`.
    pub(super) fn build(layer: &Layer, grains: u64, grains_per_table: u64) -> Self {
        let count = usize::try_from(grains.div_ceil(grains_per_table)).expect("a disk has at most 2^26 tables");
        let mut index = Self { tables: vec![0; count + 1], grains: vec![0; count + 1] };
        let (mut tables, mut data, end) = (0, 0, layer.end(grains));
        for (table, first) in (0..count).zip((0..grains).step_by(step(grains_per_table))) {
            let mut present = 0;
            for grain in first..end.min(first + grains_per_table) {
                match layer.held(grain) {
                    Held::Nothing => {}
                    Held::Zeros => present = 1,
                    Held::Data => (present, data) = (1, data + 1),
                }
            }
            tables += present;
            (index.tables[table + 1], index.grains[table + 1]) = (tables, data);
        }
        index
    }

    /// Returns how many tables a whole directory has.
    pub(super) fn len(&self) -> usize {
        self.tables.len() - 1
    }

    /// Returns whether a table is present.
    pub(super) fn is_present(&self, table: usize) -> bool {
        self.tables[table + 1] > self.tables[table]
    }

    /// Returns how many tables are present before a table; with [`Self::len`], all of them.
    pub(super) fn tables_before(&self, table: usize) -> u64 {
        u64::from(self.tables[table])
    }

    /// Returns how many grains have data before a table; with [`Self::len`], all of them.
    pub(super) fn grains_before(&self, table: usize) -> u64 {
        u64::from(self.grains[table])
    }

    /// Returns the present table whose room holds a position, when each table begins where `start` says.
    pub(super) fn table_at(&self, position: u64, start: impl Fn(usize) -> u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        // The last table that begins at or before the position; those that are absent have no room.
        while high - low > 1 {
            let middle = low.midpoint(high);
            if start(middle) <= position { low = middle } else { high = middle }
        }
        low
    }
}

fn step(grains_per_table: u64) -> usize {
    usize::try_from(grains_per_table).expect("a table has few grains")
}
