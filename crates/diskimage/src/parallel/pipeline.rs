//! A producer and workers that end with one call.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::lock::lock;

/// Runs `produce` in this thread, and work on what it puts into the [`Feed`] in `threads` threads of
/// which this is one: it works itself while the feed is full. `make_work` is called in each.
///
/// Items count the bytes that they are put with until they were worked on; `budget_bytes` bounds
/// the sum, but one item always finds room.
///
/// Returns what `produce` returns, after everything was worked on.
///
/// # Errors
/// The first error of a worker, else that of `produce`. After an error nothing more is worked on.
pub(crate) fn pipeline<T, R, E, W>(
    threads: usize,
    budget_bytes: usize,
    make_work: impl Fn() -> W + Sync,
    produce: impl FnOnce(&mut Feed<'_, T, E, W>) -> Result<R, Stopped<E>>,
) -> Result<R, E>
where
    T: Send,
    E: Send,
    W: FnMut(T) -> Result<(), E>,
{
    let queue = Queue::new(budget_bytes);
    let outcome = std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                let _closing = Closing(&queue);
                let mut work = make_work();
                while queue.work_on_next(&mut work) {}
            });
        }
        let _closing = Closing(&queue);
        let mut feed = Feed { queue: &queue, work: make_work() };
        let outcome = produce(&mut feed);
        queue.end(outcome.is_err());
        while queue.work_on_next(&mut feed.work) {}
        outcome
    });
    match (queue.into_error(), outcome) {
        (Some(error), _) | (None, Err(Stopped::By(error))) => Err(error),
        (None, Ok(result)) => Ok(result),
        (None, Err(Stopped::ByWorker)) => unreachable!("a worker stops by an error, or a panic that goes on here"),
    }
}

/// Why a producer stops.
#[derive(Debug)]
pub(crate) enum Stopped<E> {
    /// A worker failed; its error is kept elsewhere.
    ByWorker,
    /// The producer itself failed.
    By(E),
}

impl<E> From<E> for Stopped<E> {
    fn from(error: E) -> Self {
        Self::By(error)
    }
}

/// Where the producer puts what is to be worked on.
pub(crate) struct Feed<'a, T, E, W> {
    queue: &'a Queue<T, E>,
    work: W,
}

impl<T, E, W: FnMut(T) -> Result<(), E>> Feed<'_, T, E, W> {
    /// Puts an item in; works on others while there is no room.
    ///
    /// # Errors
    /// When a worker failed.
    pub(crate) fn put(&mut self, item: T, bytes: usize) -> Result<(), Stopped<E>> {
        loop {
            let mut state = lock(&self.queue.state);
            if state.stopped {
                return Err(Stopped::ByWorker);
            }
            if state.used_bytes == 0 || state.used_bytes + bytes <= self.queue.budget_bytes {
                state.used_bytes += bytes;
                state.items.push_back((item, bytes));
                self.queue.changed.notify_one();
                return Ok(());
            }
            match state.items.pop_front() {
                Some(next) => {
                    drop(state);
                    self.queue.work_on(next, &mut self.work);
                }
                // All of them are in work elsewhere.
                None => drop(self.queue.freed.wait(state).unwrap_or_else(PoisonError::into_inner)),
            }
        }
    }
}

struct Queue<T, E> {
    state: Mutex<State<T, E>>,
    budget_bytes: usize,
    /// An item came, or the end.
    changed: Condvar,
    /// The producer may look again.
    freed: Condvar,
}

struct State<T, E> {
    items: VecDeque<(T, usize)>,
    /// Of items that wait or are in work.
    used_bytes: usize,
    /// No more items come.
    ended: bool,
    /// Nothing more is worked on.
    stopped: bool,
    error: Option<E>,
}

impl<T, E> Queue<T, E> {
    fn new(budget_bytes: usize) -> Self {
        let state = State { items: VecDeque::new(), used_bytes: 0, ended: false, stopped: false, error: None };
        Self { state: Mutex::new(state), budget_bytes, changed: Condvar::new(), freed: Condvar::new() }
    }

    /// Works on the next item, waiting for it. Returns `false` when there is none any more.
    fn work_on_next(&self, work: &mut impl FnMut(T) -> Result<(), E>) -> bool {
        let mut state = lock(&self.state);
        loop {
            if let Some(next) = state.items.pop_front() {
                drop(state);
                self.work_on(next, work);
                return true;
            }
            if state.ended || state.stopped {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work_on(&self, (item, bytes): (T, usize), work: &mut impl FnMut(T) -> Result<(), E>) {
        let outcome = work(item);
        lock(&self.state).used_bytes -= bytes;
        self.freed.notify_one();
        if let Err(error) = outcome {
            self.stop();
            lock(&self.state).error.get_or_insert(error);
        }
    }

    /// Says that no more items come, or that those that wait are not wanted either.
    fn end(&self, failed: bool) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
        if failed {
            self.stop();
        }
    }

    fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.items.clear();
        drop(state);
        self.changed.notify_all();
        self.freed.notify_one();
    }

    fn into_error(self) -> Option<E> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).error
    }
}

/// Stops everybody else when its thread panics.
struct Closing<'a, T, E>(&'a Queue<T, E>);

impl<T, E> Drop for Closing<'_, T, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn everything_is_worked_on_by_as_many_threads_as_wanted() {
        for threads in [0, 1, 2, 5] {
            for budget in [0, 10, 1000] {
                let (sum, workers) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let make = || {
                    workers.fetch_add(1, Ordering::Relaxed);
                    |item: usize| {
                        sum.fetch_add(item, Ordering::Relaxed);
                        Ok::<(), ()>(())
                    }
                };
                let result = pipeline(threads, budget, make, |feed| {
                    for item in 0..=100 {
                        feed.put(item, item % 7)?;
                    }
                    Ok("end")
                });
                assert_eq!((result, sum.load(Ordering::Relaxed)), (Ok("end"), 5050));
                assert_eq!(workers.load(Ordering::Relaxed), threads.max(1));
            }
        }
    }

    #[test]
    fn no_more_than_the_budget_is_in_the_pipeline() {
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let make = || {
            |bytes: usize| {
                std::thread::yield_now();
                inside.fetch_sub(bytes, Ordering::SeqCst);
                Ok::<(), ()>(())
            }
        };
        let result = pipeline(3, 50, make, |feed| {
            for _ in 0..500 {
                feed.put(20, 20)?;
                // An item may be gone before it is counted here, never the other way round.
                let now = inside.fetch_add(20, Ordering::SeqCst).wrapping_add(20);
                most.fetch_max(if now > usize::MAX / 2 { 0 } else { now }, Ordering::SeqCst);
            }
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert!(most.load(Ordering::SeqCst) <= 40);
    }

    #[test]
    fn the_error_of_a_worker_ends_the_producer_and_is_the_one_that_is_told() {
        let made = AtomicUsize::new(0);
        let make = || |item: usize| if item == 10 { Err("worker") } else { Ok(()) };
        let result: Result<(), _> = pipeline(2, 1, make, |feed| {
            loop {
                feed.put(made.fetch_add(1, Ordering::Relaxed), 1)?;
            }
        });
        assert_eq!(result, Err("worker"));
        let result: Result<(), _> = pipeline(2, 100, make, |feed| {
            feed.put(1, 1)?;
            Err("producer".into())
        });
        assert_eq!(result, Err("producer"));
    }

    #[test]
    fn a_panic_of_a_worker_is_one_of_the_caller() {
        let run = |threads| {
            std::panic::catch_unwind(|| {
                let make = || |item: usize| if item == 5 { panic!("as the test wants") } else { Ok::<(), ()>(()) };
                pipeline(threads, 1, make, |feed| (0..1000).try_for_each(|item| feed.put(item, 1))).unwrap();
            })
        };
        assert!(run(1).is_err());
        assert!(run(3).is_err());
    }
}
