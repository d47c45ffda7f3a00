//! The streams of one export: all at once, or as many as the host has room for.
//!
//! ```text
//!  begin ─► running ─┬─► whole
//!              ▲     ├─► failed: all others are stopped, the first error is the reason
//!              └─────┴─► the host is busy: waits until another one is whole
//! ```
//!
//! Hosts bound what they send at the same time. A stream that was refused for that reason and still after a
//! few tries waits for one of its own siblings, whose end makes room; only when none is left is it an error.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use transfer::Cancel;

use super::fetch::{Fetch, Fetched};
use super::meter::Reporter;
use super::{blocking, stopped};
use crate::{Error, ErrorKind, Result, rights};

/// The streams of one export. Dropped, it stops them.
pub(super) struct Streams<'a> {
    cancel: &'a CancellationToken,
    /// A child of `cancel`: the failure of one file ends the others without ending the job's token.
    token: CancellationToken,
    stop: Cancel,
    tasks: JoinSet<(usize, Option<Fetch>, Result<Fetched>)>,
    /// Refused by a busy host.
    waiting: Vec<(usize, Fetch)>,
    whole: Vec<Option<Fetched>>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(cancel: &'a CancellationToken) -> Self {
        Self {
            cancel,
            token: cancel.child_token(),
            stop: Cancel::new(),
            tasks: JoinSet::new(),
            waiting: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// Returns what ends the reading of all streams.
    pub(super) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Returns what ends the copying of all streams.
    pub(super) fn stop(&self) -> Cancel {
        self.stop.clone()
    }

    /// Begins a stream.
    pub(super) fn begin(&mut self, fetch: Fetch) {
        self.whole.push(None);
        self.spawn(self.whole.len() - 1, fetch);
    }

    fn spawn(&mut self, index: usize, fetch: Fetch) {
        self.tasks.spawn(rights::carried(async move {
            let work = blocking(move || {
                let fetched = fetch.run();
                Ok((fetch, fetched))
            });
            match work.await {
                Ok((fetch, fetched)) => (index, Some(fetch), fetched),
                Err(error) => (index, None, Err(error)),
            }
        }));
    }

    /// Waits for all of them; returns the files in the order in which they were begun, or the first error.
    pub(super) async fn finish(mut self, reporter: &Reporter) -> Result<Vec<Fetched>> {
        let mut failed = None;
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = self.cancel.cancelled(), if !self.stop.is_cancelled() => {
                    self.stop.cancel();
                    continue;
                }
            };
            match ended {
                None => break,
                Some(Ok((index, _, Ok(file)))) => {
                    self.whole[index] = Some(file);
                    self.resume();
                }
                Some(Ok((index, Some(fetch), Err(error)))) if self.may_wait(&error) => {
                    reporter.warning(&format!(
                        "{}: the host is busy; it waits for another file to be whole",
                        fetch.meter.name
                    ));
                    self.waiting.push((index, fetch));
                }
                Some(Ok((_, _, Err(error)))) => {
                    self.end();
                    // The first error is the reason; the others are its consequence.
                    failed.get_or_insert(error);
                }
                Some(Err(error)) => {
                    self.end();
                    let panicked = || Error::new(ErrorKind::Internal, "a copy ended unexpectedly").with_source(error);
                    failed.get_or_insert_with(panicked);
                }
            }
        }
        match failed {
            _ if self.cancel.is_cancelled() => Err(stopped()),
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.whole).into_iter().flatten().collect()),
        }
    }

    /// Returns whether a stream that failed may wait for one that runs.
    fn may_wait(&self, error: &Error) -> bool {
        error.busy().is_some() && !self.tasks.is_empty() && !self.stop.is_cancelled()
    }

    /// Begins one that has waited.
    fn resume(&mut self) {
        if !self.stop.is_cancelled() && !self.waiting.is_empty() {
            let (index, fetch) = self.waiting.remove(0);
            self.spawn(index, fetch);
        }
    }

    fn end(&mut self) {
        self.token.cancel();
        self.stop.cancel();
        self.waiting.clear();
    }
}

impl Drop for Streams<'_> {
    /// The copy was given up half way, for example because the lease is lost.
    fn drop(&mut self) {
        self.end();
    }
}
