//! The streams of a lease that are running, so that its end can cut them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::LeaseFiles;
use crate::connection::Connection;

/// The running streams of one lease.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    next_id: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
}

impl Running {
    /// Cuts all streams and lets no new one begin.
    pub(super) fn close(&self) {
        let connections = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.connections)
        };
        for connection in connections.values() {
            connection.cut();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a stream on its lease's list for as long as it lives.
#[derive(Debug)]
pub(crate) struct RunningStream {
    lease: Arc<LeaseFiles>,
    id: u64,
}

impl RunningStream {
    /// Puts a stream on the list, or returns `None` when the lease has ended in the meantime.
    pub(crate) fn begin(lease: Arc<LeaseFiles>, connection: Arc<Connection>) -> Option<Self> {
        let mut state = lease.running.lock();
        if state.closed {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.connections.insert(id, connection);
        drop(state);
        Some(Self { lease, id })
    }
}

impl Drop for RunningStream {
    fn drop(&mut self) {
        self.lease.running.lock().connections.remove(&self.id);
    }
}
