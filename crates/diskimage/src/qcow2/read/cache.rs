//! A few values that were expensive to get, the least recently used one dropped first.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps at most a fixed number of values.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    values: HashMap<K, (V, u64)>,
    values_max: usize,
    /// Counts uses; a value's last one says how old it is.
    uses: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new(values_max: usize) -> Self {
        Self { values: HashMap::new(), values_max, uses: 0 }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        self.uses += 1;
        let (value, used) = self.values.get_mut(key)?;
        *used = self.uses;
        Some(value.clone())
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        self.uses += 1;
        self.values.insert(key, (value, self.uses));
        if self.values.len() > self.values_max {
            let oldest = self.values.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            oldest.and_then(|key| self.values.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_value_is_dropped() {
        let mut cache = Cache::new(2);
        cache.put(1, 'a');
        cache.put(2, 'b');
        assert_eq!(cache.get(&1), Some('a'));
        cache.put(3, 'c');
        assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (Some('a'), None, Some('c')));
    }
}
