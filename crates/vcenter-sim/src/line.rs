//! What all connections of one listener share: whether it is open, its ceiling, and the files on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::ListenerId;
use crate::pace::Pacer;

/// Name of the vCenter's listener in rules and reports.
pub(crate) const VCENTER: &str = "vcenter";

/// The lines of all listeners.
#[derive(Debug)]
pub struct Lines {
    vcenter: Arc<Line>,
    hosts: Vec<Arc<Line>>,
}

/// What all connections of one listener share.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    /// When a closed listener opens again.
    closed_until: watch::Sender<Option<Instant>>,
    ceiling: Mutex<Pacer>,
    streams: AtomicU64,
}

impl Lines {
    /// Makes a line for the vCenter and one for each host.
    pub(crate) fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        Self { vcenter: Line::new(VCENTER), hosts: hosts.into_iter().map(Line::new).collect() }
    }

    /// Returns a listener's line.
    pub(crate) fn of(&self, listener: ListenerId) -> &Arc<Line> {
        match listener {
            ListenerId::VCenter => &self.vcenter,
            ListenerId::Host(index) => &self.hosts[index],
        }
    }

    /// Returns the line of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Line>> {
        std::iter::once(&self.vcenter).chain(&self.hosts).find(|line| line.name == name)
    }
}

impl Line {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            closed_until: watch::Sender::new(None),
            ceiling: Mutex::default(),
            streams: AtomicU64::new(0),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Closes the listener for some time.
    pub(crate) fn close(&self, time: Duration) {
        self.closed_until.send_replace(Instant::now().checked_add(time));
    }

    /// Waits until somebody closes the listener; returns when it opens again.
    pub(crate) async fn closing(&self) -> Instant {
        let mut closed = self.closed_until.subscribe();
        loop {
            let until = *closed.borrow_and_update();
            if let Some(until) = until.filter(|until| *until > Instant::now()) {
                return until;
            }
            if closed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Returns when a piece will have passed below the ceiling that all connections share.
    pub(crate) fn pace(&self, bytes: u64, bytes_per_second: u64, now: Instant) -> Instant {
        self.ceiling.lock().unwrap_or_else(PoisonError::into_inner).pass(bytes, bytes_per_second, now)
    }

    /// Returns how many files are being sent.
    pub(crate) fn streams(&self) -> u64 {
        self.streams.load(Ordering::Acquire)
    }
}

/// Counts a file that is being sent for as long as it lives.
#[derive(Debug)]
pub(crate) struct StreamCount(Arc<Line>);

impl StreamCount {
    pub(crate) fn begin(line: &Arc<Line>) -> Self {
        line.streams.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(line))
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_while_they_live() {
        let lines = Lines::new(["esx1"]);
        let line = lines.named("esx1").unwrap();
        let (first, second) = (StreamCount::begin(line), StreamCount::begin(line));
        assert_eq!((line.streams(), lines.of(ListenerId::VCenter).streams()), (2, 0));
        drop(first);
        assert_eq!(lines.of(ListenerId::Host(0)).streams(), 1);
        drop(second);
        assert_eq!(line.streams(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_line_says_until_when_and_is_open_afterwards() {
        let lines = Lines::new([]);
        let line = lines.named(VCENTER).unwrap();
        line.close(Duration::from_secs(5));
        let until = line.closing().await;
        assert_eq!(until, Instant::now() + Duration::from_secs(5));
        tokio::time::sleep_until(until).await;
        assert!(tokio::time::timeout(Duration::from_secs(60), line.closing()).await.is_err());
    }
}
