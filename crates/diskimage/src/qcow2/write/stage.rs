//! Clusters of which only a part came so far, and the locks of all clusters.
//!
//! Who reads or writes a cluster holds the lock of its *stripe*. Stripes are chosen by a hash, so
//! that writers a power of two apart do not meet in the same one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::lock::lock;

/// Enough that sixteen threads rarely meet by chance.
const STRIPES_LOG: u32 = 7;

/// The golden ratio's bits: spreads numbers that follow each other, or lie a power of two apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A cluster that is not complete: what there is of it, zeros elsewhere.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    /// Whether it differs from what the map says.
    pub(super) dirty: bool,
}

/// The clusters of a stripe that are staged.
pub(super) type Units = HashMap<u64, Unit>;

/// All stripes, and the memory that their units may take together.
#[derive(Debug)]
pub(super) struct Stage {
    stripes: Vec<Mutex<Units>>,
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Stage {
    pub(super) fn new(bytes_max: usize) -> Self {
        let stripes = (0..1 << STRIPES_LOG).map(|_| Mutex::new(Units::new())).collect();
        Self { stripes, bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Locks the stripe of a cluster.
    pub(super) fn lock(&self, cluster: u64) -> MutexGuard<'_, Units> {
        let stripe = cluster.wrapping_mul(SPREAD) >> (u64::BITS - STRIPES_LOG);
        lock(&self.stripes[usize::try_from(stripe).expect("a few bits")])
    }

    /// Locks one stripe after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Units>> {
        self.stripes.iter().map(lock)
    }

    /// Locks, one after the other, the stripes that nobody holds.
    pub(super) fn unlocked(&self) -> impl Iterator<Item = MutexGuard<'_, Units>> {
        self.stripes.iter().filter_map(|stripe| match stripe.try_lock() {
            Ok(units) => Some(units),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Adds a unit to the stripe of its cluster.
    pub(super) fn put(&self, units: &mut Units, cluster: u64, unit: Unit) {
        self.bytes.fetch_add(unit.bytes.len(), Ordering::Relaxed);
        let replaced = units.insert(cluster, unit);
        debug_assert!(replaced.is_none(), "a cluster is staged once");
    }

    /// Removes a unit from the stripe of its cluster.
    pub(super) fn take(&self, units: &mut Units, cluster: u64) -> Option<Unit> {
        let unit = units.remove(&cluster)?;
        self.bytes.fetch_sub(unit.bytes.len(), Ordering::Relaxed);
        Some(unit)
    }

    /// Returns whether there are more units than there should be.
    pub(super) fn is_over_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_of_neighbouring_chunks_have_stripes_of_their_own() {
        let stage = Stage::new(0);
        for apart in [1, 16, 128, 1 << 20] {
            let held: Vec<_> = (0..8).map(|writer| stage.lock(writer * apart)).collect();
            assert_eq!(stage.unlocked().count(), (1 << STRIPES_LOG) - held.len());
        }
    }

    #[test]
    fn memory_is_counted() {
        let stage = Stage::new(100);
        let unit = || Unit { bytes: vec![0; 60], dirty: false };
        stage.put(&mut stage.lock(1), 1, unit());
        assert!(!stage.is_over_full());
        stage.put(&mut stage.lock(2), 2, unit());
        assert!(stage.is_over_full());
        assert!(stage.take(&mut stage.lock(2), 2).is_some());
        assert!(stage.take(&mut stage.lock(2), 2).is_none());
        assert!(!stage.is_over_full());
    }
}
