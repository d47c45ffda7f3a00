//! What the handlers share beyond the jobs and the source.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper_api::{Job, JobId};

use super::definition::JobDefinition;
use super::job::progress::Peak;

/// Submitted jobs that are remembered: as many as there are jobs.
const REMEMBERED_MAX: usize = 1000;

/// How a job was submitted.
#[derive(Clone, Debug)]
struct Remembered {
    definition: JobDefinition,
    notes: Vec<String>,
}

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
    /// How the newest jobs were submitted, oldest first.
    remembered: Mutex<VecDeque<(JobId, Remembered)>>,
    listeners: AtomicUsize,
}

impl Shared {
    /// Makes what is shared from now on, without a root for relative outputs.
    pub fn new() -> Self {
        let inner = Inner {
            started: Instant::now(),
            peaks: Mutex::default(),
            remembered: Mutex::default(),
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

    /// Remembers how a job was submitted, and what is to be said in its log.
    pub fn remember(&self, id: &JobId, definition: JobDefinition, notes: Vec<String>) {
        let mut remembered = self.inner.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_front();
        }
        remembered.push_back((id.clone(), Remembered { definition, notes }));
    }

    /// Returns how a job was submitted; of a job of `/api/v1` nothing is known.
    pub fn definition(&self, id: &JobId) -> Option<JobDefinition> {
        self.recall(id, |remembered| remembered.definition.clone())
    }

    /// Returns what the log of a job begins with.
    pub fn notes(&self, id: &JobId) -> Vec<String> {
        self.recall(id, |remembered| remembered.notes.clone()).unwrap_or_default()
    }

    fn recall<T>(&self, id: &JobId, take: impl FnOnce(&Remembered) -> T) -> Option<T> {
        let remembered = self.inner.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.iter().rev().find(|(known, _)| known == id).map(|(_, remembered)| take(remembered))
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
