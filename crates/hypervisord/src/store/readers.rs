//! Connections that only read, apart from the writer: in WAL mode neither waits for the other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Error, ErrorKind, Result, open_reader};

/// Reads at once. More would only share the same disk and cache.
const AT_ONCE_MAX: usize = 4;

/// A few connections, opened when they are first needed.
#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        let shared = Shared { path: path.to_owned(), idle: Mutex::new(Vec::new()), room: Semaphore::new(AT_ONCE_MAX) };
        Self { shared: Arc::new(shared) }
    }

    /// Runs one read on a thread that may block, with one view of the store for its whole length.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let _room = self.shared.room.acquire().await;
        let read = tokio::task::spawn_blocking(move || shared.read(work));
        read.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "read from the job store: it broke down")))
    }
}

impl Shared {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| open_reader(&self.path), Ok)?;
        connection.execute_batch("BEGIN")?;
        let result = work(&connection);
        connection.execute_batch("ROLLBACK")?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}
