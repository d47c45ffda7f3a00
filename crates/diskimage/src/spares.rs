//! States that are expensive to make, lent to whichever thread needs one.
//!
//! There are as many as threads worked at once, and they are kept until their owner goes.

use std::sync::Mutex;

use crate::Result;
use crate::lock::lock;

/// Compressors, decompressors, buffers: what a thread needs for a moment.
#[derive(Debug)]
pub(crate) struct Spares<T>(Mutex<Vec<T>>);

impl<T> Spares<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Runs `work` with a state that is spare, or one that `make` makes.
    pub(crate) fn with<R>(
        &self,
        make: impl FnOnce() -> Result<T>,
        work: impl FnOnce(&mut T) -> Result<R>,
    ) -> Result<R> {
        let mut state = self.take().map_or_else(make, Ok)?;
        let outcome = work(&mut state);
        self.give(state);
        outcome
    }

    /// Takes a spare one, if there is any.
    pub(crate) fn take(&self) -> Option<T> {
        lock(&self.0).pop()
    }

    /// Gives one back.
    pub(crate) fn give(&self, state: T) {
        lock(&self.0).push(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_made_once_for_threads_that_come_after_each_other() {
        let spares = Spares::new();
        let mut made = 0;
        for turn in 0..5 {
            let seen = spares.with(
                || {
                    made += 1;
                    Ok(0)
                },
                |state| {
                    *state += 1;
                    Ok(*state)
                },
            );
            assert_eq!(seen.unwrap(), turn + 1);
        }
        assert_eq!(made, 1);
    }
}
