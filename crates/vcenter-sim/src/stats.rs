//! What the simulator has seen: connections, requests, bytes.
//!
//! Tests assert on these numbers instead of on times. Counters only grow, but for the connections
//! that are open now; they are read one by one, so a report taken under load is not one instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

/// A counter that many threads add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Returns its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one simulator.
#[derive(Debug)]
pub struct Stats {
    /// The vCenter's listener.
    pub vcenter: ListenerStats,
    /// The hosts' listeners, in the order of [`crate::world::Addresses::hosts`].
    pub hosts: Vec<ListenerStats>,
    /// Files of leases.
    pub files: FileStats,
    /// Requests to `/sdk`.
    pub sdk_requests: Counter,
    /// Requests that arrived at a host with a cookie or an `Authorization` header: a client must send
    /// its vCenter credentials to nobody else.
    pub credentials_leaked_to_host: Counter,
    /// Tickets for files of datastores that were issued.
    pub tickets_issued: Counter,
    /// Those that were used.
    pub tickets_used: Counter,
}

impl Stats {
    /// Starts at zero, with a listener for each host.
    #[must_use]
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            vcenter: ListenerStats::new("vcenter"),
            hosts: hosts.into_iter().map(ListenerStats::new).collect(),
            files: FileStats::default(),
            sdk_requests: Counter::default(),
            credentials_leaked_to_host: Counter::default(),
            tickets_issued: Counter::default(),
            tickets_used: Counter::default(),
        }
    }

    /// Returns everything as JSON.
    #[must_use]
    pub fn report(&self) -> Value {
        json!({
            "vcenter": self.vcenter.report(),
            "hosts": self.hosts.iter().map(ListenerStats::report).collect::<Vec<_>>(),
            "files": self.files.report(),
            "sdk_requests": self.sdk_requests.get(),
            "credentials_leaked_to_host": self.credentials_leaked_to_host.get(),
            "tickets": { "issued": self.tickets_issued.get(), "used": self.tickets_used.get() },
        })
    }
}

/// Counters of one listener.
#[derive(Debug)]
pub struct ListenerStats {
    name: String,
    connections_total: Counter,
    connections_now: AtomicU64,
    connections_peak: AtomicU64,
    /// Connections that ended before their TLS handshake did, for example because a client did not
    /// trust the certificate.
    pub handshakes_failed: Counter,
    /// HTTP requests.
    pub requests: Counter,
    /// Bytes received, TLS and HTTP headers included.
    pub wire_bytes_in: Counter,
    /// Bytes sent, TLS and HTTP headers included.
    pub wire_bytes_out: Counter,
    /// Files of datastores.
    pub folder: FolderStats,
}

impl ListenerStats {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            connections_total: Counter::default(),
            connections_now: AtomicU64::new(0),
            connections_peak: AtomicU64::new(0),
            handshakes_failed: Counter::default(),
            requests: Counter::default(),
            wire_bytes_in: Counter::default(),
            wire_bytes_out: Counter::default(),
            folder: FolderStats::default(),
        }
    }

    /// Counts a connection that was accepted.
    pub fn connection_opened(&self) {
        self.connections_total.increment();
        let now = self.connections_now.fetch_add(1, Ordering::Relaxed) + 1;
        self.connections_peak.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts a connection that has ended.
    pub fn connection_closed(&self) {
        self.connections_now.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns how many connections were accepted so far.
    #[must_use]
    pub fn connections_total(&self) -> u64 {
        self.connections_total.get()
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn connections_now(&self) -> u64 {
        self.connections_now.load(Ordering::Relaxed)
    }

    /// Returns how many connections were open at the same time at most.
    #[must_use]
    pub fn connections_peak(&self) -> u64 {
        self.connections_peak.load(Ordering::Relaxed)
    }

    fn report(&self) -> Value {
        json!({
            "name": self.name,
            "connections": {
                "total": self.connections_total(),
                "now": self.connections_now(),
                "peak": self.connections_peak(),
            },
            "handshakes_failed": self.handshakes_failed.get(),
            "requests": self.requests.get(),
            "wire_bytes_in": self.wire_bytes_in.get(),
            "wire_bytes_out": self.wire_bytes_out.get(),
            "folder": self.folder.report(),
        })
    }
}

/// Counters of the files of datastores, at one listener.
#[derive(Debug, Default)]
pub struct FolderStats {
    /// Requests below `/folder`.
    pub requests: Counter,
    /// Ranges that were served.
    pub ranges: Counter,
    /// Bytes of bodies with files or parts of them.
    pub bytes: Counter,
    /// Requests without a right to read.
    pub denied: Counter,
    /// Requests for files that a running VM had locked.
    pub locked: Counter,
}

impl FolderStats {
    fn report(&self) -> Value {
        json!({
            "requests": self.requests.get(),
            "ranges": self.ranges.get(),
            "bytes": self.bytes.get(),
            "denied": self.denied.get(),
            "locked": self.locked.get(),
        })
    }
}

/// Counters of the files of leases.
#[derive(Debug, Default)]
pub struct FileStats {
    /// GETs that were answered with a file.
    pub started: Counter,
    /// Files sent from the first to the last byte.
    pub completed: Counter,
    /// Bytes of files sent.
    pub bytes: Counter,
    /// HEAD requests.
    pub heads: Counter,
    /// GETs with a `Range` header, which is ignored.
    pub ranges_ignored: Counter,
    /// Requests whose ticket was unknown, dead or used up.
    pub refused: Counter,
    /// Bytes that were hashed: the first complete stream of each content costs this, later ones nothing.
    pub hashed_bytes: Counter,
    /// Time that requests waited for their first byte because the profile says so.
    pub latency_ms: Counter,
    /// Pieces into which shaped connections have cut the files.
    pub shaped_pieces: Counter,
    shaped_ns: Counter,
}

impl FileStats {
    /// Counts a piece that takes `time` at the connection's bandwidth.
    pub fn piece_shaped(&self, time: Duration) {
        self.shaped_pieces.increment();
        self.shaped_ns.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Returns how long the shaped bytes take at their bandwidths, summed over all connections.
    #[must_use]
    pub fn shaped_time(&self) -> Duration {
        Duration::from_nanos(self.shaped_ns.get())
    }

    fn report(&self) -> Value {
        json!({
            "started": self.started.get(),
            "completed": self.completed.get(),
            "bytes": self.bytes.get(),
            "heads": self.heads.get(),
            "ranges_ignored": self.ranges_ignored.get(),
            "refused": self.refused.get(),
            "hashed_bytes": self.hashed_bytes.get(),
            "latency_ms": self.latency_ms.get(),
            "shaped_pieces": self.shaped_pieces.get(),
            "shaped_ms": u64::try_from(self.shaped_time().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_outlives_its_connections() {
        let stats = Stats::new(["esx1"]);
        let host = &stats.hosts[0];
        host.connection_opened();
        host.connection_opened();
        host.connection_closed();
        host.connection_opened();
        host.connection_closed();
        let report = stats.report();
        assert_eq!(report["hosts"][0]["name"], "esx1");
        assert_eq!(report["hosts"][0]["connections"], json!({"total": 3, "now": 1, "peak": 2}));
        assert_eq!(report["vcenter"]["connections"]["total"], 0);
    }
}
