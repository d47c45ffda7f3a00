//! One bounded cache for what readers load on demand: tables, expanded grains.
//!
//! All parts and links of a disk share one, so that its size does not depend on how many there
//! are. What was used last stays. Loading happens without the lock: two threads that miss the same
//! piece both load it, which is rare and harmless.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;
use crate::number::u64_from;

/// Which piece: of which owner, and its number there.
pub(crate) type Key = (u32, u64);

/// What an entry costs beside its elements: two keys, a pointer, two counters.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// Pieces of a bounded total size.
pub(crate) struct Cache<T> {
    bytes_max: u64,
    state: Mutex<State<T>>,
}

struct State<T> {
    pieces: HashMap<Key, Piece<T>>,
    /// The pieces by the moment of their last use.
    order: BTreeMap<u64, Key>,
    /// The moment that comes next.
    now: u64,
    bytes: u64,
}

struct Piece<T> {
    content: Arc<[T]>,
    used: u64,
}

impl<T> Cache<T> {
    /// Returns an empty cache for at most about `bytes_max`.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let state = State { pieces: HashMap::new(), order: BTreeMap::new(), now: 0, bytes: 0 };
        Self { bytes_max, state: Mutex::new(state) }
    }

    /// Returns a piece, loading it where it is not there.
    pub(crate) fn get(&self, key: Key, load: impl FnOnce() -> Result<Arc<[T]>>) -> Result<Arc<[T]>> {
        if let Some(content) = self.find(key) {
            return Ok(content);
        }
        let content = load()?;
        self.insert(key, content.clone());
        Ok(content)
    }

    /// Returns a piece that is there.
    pub(crate) fn find(&self, key: Key) -> Option<Arc<[T]>> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let piece = state.pieces.get_mut(&key)?;
        state.order.remove(&piece.used);
        piece.used = state.now;
        state.order.insert(state.now, key);
        state.now += 1;
        Some(piece.content.clone())
    }

    fn insert(&self, key: Key, content: Arc<[T]>) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        state.remove(key);
        state.bytes += weight(&content);
        state.order.insert(state.now, key);
        state.pieces.insert(key, Piece { content, used: state.now });
        state.now += 1;
        while state.bytes > self.bytes_max
            && let Some((_, &oldest)) = state.order.first_key_value()
        {
            state.remove(oldest);
        }
    }
}

impl<T> State<T> {
    fn remove(&mut self, key: Key) {
        if let Some(piece) = self.pieces.remove(&key) {
            self.order.remove(&piece.used);
            self.bytes -= weight(&piece.content);
        }
    }
}

fn weight<T>(content: &[T]) -> u64 {
    u64_from(size_of_val(content)) + ENTRY_OVERHEAD_BYTES
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn what_was_used_last_stays_and_the_rest_is_loaded_again() {
        let cache = Cache::new(3 * (8 + ENTRY_OVERHEAD_BYTES));
        let mut loads = 0;
        for number in [1, 2, 3, 1, 4, 1, 3, 2] {
            let piece = cache.get((0, number), || {
                loads += 1;
                Ok(Arc::new([number]))
            });
            assert_eq!(piece.unwrap()[0], number);
        }
        // 4 pushes out 2, and 2 is loaded once more.
        assert_eq!(loads, 5);
        assert_eq!(cache.state.lock().unwrap().bytes, 3 * (8 + ENTRY_OVERHEAD_BYTES));
        assert!(cache.find((1, 1)).is_none(), "owners do not share pieces");
    }

    #[test]
    fn a_piece_larger_than_the_cache_is_returned_and_not_kept() {
        let cache = Cache::new(1000);
        assert_eq!(cache.get((0, 0), || Ok(vec![0_u8; 2000].into())).unwrap().len(), 2000);
        assert!(cache.find((0, 0)).is_none());
        assert_eq!(cache.state.lock().unwrap().bytes, 0);
    }

    #[test]
    fn a_failed_load_leaves_nothing() {
        let cache: Cache<u8> = Cache::new(1000);
        assert!(cache.get((0, 0), || Err(Error::corrupt("x"))).is_err());
        assert!(cache.find((0, 0)).is_none());
    }
}
