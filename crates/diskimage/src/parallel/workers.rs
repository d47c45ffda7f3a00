//! Threads that many writers share.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::lock::lock;

type Job = Box<dyn FnOnce() + Send>;

/// Threads with one queue and one budget; they end when this is dropped, after what was handed in.
///
/// Share one behind an [`Arc`] among everything that compresses in a process.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    budget_bytes: usize,
}

struct Shared {
    state: Mutex<State>,
    /// A job came, or the end.
    came: Condvar,
    /// Some of the budget came back.
    freed: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    closed: bool,
    free_bytes: usize,
}

impl Workers {
    /// Budget per thread that keeps it busy: 16 grains of 64 KiB, each with its compressed twin.
    pub const BUDGET_BYTES_PER_THREAD: usize = 2 << 20;

    /// Starts `threads` threads, at least one, for work that takes up to `budget_bytes` at once.
    ///
    /// # Errors
    /// When the system gives no thread; those that were started end.
    pub fn start(threads: usize, budget_bytes: usize) -> io::Result<Self> {
        let state = State { jobs: VecDeque::new(), closed: false, free_bytes: budget_bytes };
        let shared = Arc::new(Shared { state: Mutex::new(state), came: Condvar::new(), freed: Condvar::new() });
        let mut workers = Self { shared, threads: Vec::new(), budget_bytes };
        for number in 0..threads.max(1) {
            let shared = workers.shared.clone();
            let named = std::thread::Builder::new().name(format!("diskimage-{number}"));
            workers.threads.push(named.spawn(move || shared.work())?);
        }
        Ok(workers)
    }

    /// Waits for a part of the budget; a part that is larger than all of it counts as all of it.
    pub(crate) fn permit(&self, bytes: usize) -> Permit {
        let bytes = bytes.min(self.budget_bytes);
        let mut state = lock(&self.shared.state);
        while state.free_bytes < bytes {
            state = self.shared.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free_bytes -= bytes;
        Permit { shared: self.shared.clone(), bytes }
    }

    /// Hands a job in. It must not wait for a permit of the same workers.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) {
        lock(&self.shared.state).jobs.push_back(Box::new(job));
        self.shared.came.notify_one();
    }
}

impl Shared {
    /// Does jobs until the end. One that panics takes only itself along: whoever waits for it
    /// learns it from what the job drops.
    fn work(&self) {
        while let Some(job) = self.next() {
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.came.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; there is nothing to hear from it.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("threads", &self.threads.len())
            .field("budget_bytes", &self.budget_bytes)
            .finish_non_exhaustive()
    }
}

/// A part of the budget, given back when it is dropped.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.shared.state).free_bytes += self.bytes;
        // All: the one that is woken may need more than came back, and another less.
        self.shared.freed.notify_all();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn everything_that_was_handed_in_is_done_before_the_end_also_after_a_panic() {
        let done = Arc::new(AtomicUsize::new(0));
        let workers = Workers::start(2, 100).unwrap();
        for number in 0..50 {
            let done = done.clone();
            workers.submit(move || {
                assert!(number != 7, "a job that panics, as the test wants");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        drop(workers);
        assert_eq!(done.load(Ordering::Relaxed), 49);
    }

    #[test]
    fn no_more_than_the_budget_is_out_at_once() {
        let workers = Workers::start(3, 100).unwrap();
        let (out, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for bytes in [40, 60, 1, 100, 99, 1000, 30, 30, 30, 30].repeat(20) {
            let permit = workers.permit(bytes);
            let now = out.fetch_add(permit.bytes, Ordering::SeqCst) + permit.bytes;
            most.fetch_max(now, Ordering::SeqCst);
            let out = out.clone();
            workers.submit(move || {
                out.fetch_sub(permit.bytes, Ordering::SeqCst);
                drop(permit);
            });
        }
        drop(workers);
        assert_eq!(out.load(Ordering::SeqCst), 0);
        assert!(most.load(Ordering::SeqCst) <= 100);
    }

    #[test]
    fn jobs_run_on_several_threads_at_once() {
        let workers = Workers::start(2, 0).unwrap();
        let (to_first, from_second) = mpsc::channel();
        let (to_test, done) = mpsc::channel();
        // The first job ends only when the second has run beside it.
        workers.submit(move || to_test.send(from_second.recv()).unwrap());
        workers.submit(move || to_first.send(5).unwrap());
        assert_eq!(done.recv().unwrap(), Ok(5));
    }
}
