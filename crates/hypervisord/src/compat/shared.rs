//! What the handlers share beyond the jobs and the source.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper_api::{Job, JobId};

use super::definition::JobDefinition;
use super::job::progress::Peak;

/// Definitions that are kept at hand. When there are more, all are read anew as they are asked for.
const DEFINITIONS_MAX: usize = 4096;

/// A job's id and the time when it was accepted: an id may be used again once its job was deleted.
type Key = (JobId, String);

/// What the handlers share. Clones are the same.
#[derive(Clone, Debug)]
pub struct Shared {
    inner: Arc<Inner>,
    export_root: Option<PathBuf>,
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// What was shown of the progress of the jobs that have not ended.
    peaks: Mutex<HashMap<JobId, Peak>>,
    /// How older programs defined the jobs that were asked for lately; `None` of one that came in another way.
    definitions: Mutex<HashMap<Key, Option<JobDefinition>>>,
    listeners: AtomicUsize,
}

impl Shared {
    /// Makes what is shared from now on, without a root for relative outputs.
    pub fn new() -> Self {
        let inner = Inner {
            started: Instant::now(),
            peaks: Mutex::default(),
            definitions: Mutex::default(),
            listeners: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner), export_root: None }
    }

    /// Returns the same with relative outputs beginning at the first of `roots`.
    #[must_use]
    pub fn with_roots(&self, roots: &[PathBuf]) -> Self {
        Self { inner: Arc::clone(&self.inner), export_root: roots.first().cloned() }
    }

    /// Returns where relative outputs begin.
    pub fn export_root(&self) -> Option<&std::path::Path> {
        self.export_root.as_deref()
    }

    /// Returns how long the daemon has been up.
    pub fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// Calls `show` with what was shown of a job before. Of jobs that have ended nothing is remembered: their
    /// figures do not change any more, and there may be many of them.
    pub fn with_peak<T>(&self, job: &Job, show: impl FnOnce(&mut Peak) -> T) -> T {
        // Figures that go up one by one cannot be left half changed.
        let mut peaks = self.inner.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        if job.state.is_final() {
            return show(&mut peaks.remove(&job.id).unwrap_or_default());
        }
        show(peaks.entry(job.id.clone()).or_default())
    }

    /// Keeps the definition of a job at hand.
    pub fn remember(&self, job: &Job, definition: Option<JobDefinition>) {
        let mut definitions = self.inner.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        if definitions.len() >= DEFINITIONS_MAX {
            definitions.clear();
        }
        definitions.insert(key(job), definition);
    }

    /// Returns the definition of a job, as far as it is at hand.
    pub fn definition(&self, job: &Job) -> Option<Option<JobDefinition>> {
        let definitions = self.inner.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        definitions.get(&key(job)).cloned()
    }

    /// Counts a listener of `/ws` for as long as the result lives; `None` when there are `max` already.
    pub fn listener(&self, max: usize) -> Option<Listening> {
        let counted = self
            .inner
            .listeners
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1));
        counted.ok().map(|_| Listening(self.clone()))
    }

    /// Returns how many listen to `/ws`.
    pub fn listeners(&self) -> usize {
        self.inner.listeners.load(Ordering::Relaxed)
    }
}

fn key(job: &Job) -> Key {
    (job.id.clone(), job.created_at.clone())
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// One listener of `/ws`.
#[derive(Debug)]
pub struct Listening(Shared);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.inner.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_counted_and_bounded() {
        let shared = Shared::default();
        let first = shared.listener(2).unwrap();
        let second = shared.listener(2);
        assert!(second.is_some() && shared.listener(2).is_none());
        drop(first);
        assert_eq!(shared.listeners(), 1);
        assert!(shared.listener(2).is_some());
    }
}
