//! The durable store of jobs: one SQLite file in a directory of the daemon's own.
//!
//! ```text
//!  submit, append, delete ─► channel ─► writer thread ─► one transaction for all that waits ─► answers
//!  job, page, counts ──────────────────► readers, each on a connection of its own
//! ```
//!
//! Tables: `log` is the truth, and only grows, until its job is deleted; `job` has one row per job whose
//! columns are an index of the fold over its log ([`crate::jobs::fold`]); `request` remembers
//! which request made which jobs. The schema has a version and migrations ([`schema`]).
//!
//! **Invariant:** what was answered with success is durable: it survives `kill -9` and a power cut.
//! **Invariant:** whoever writes to a job's log names the attempt; the writer of an earlier one is refused.
//!
//! What it does not do: it decides nothing about jobs, and knows no HTTP.

mod delete;
mod error;
mod lock;
mod page;
mod readers;
mod row;
mod schema;
mod submit;
mod writer;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_api::{JobId, JobState};
use rusqlite::{Connection, OptionalExtension as _};

use crate::jobs::log::{Entry, Record};
use lock::DirectoryLock;
use readers::Readers;
use writer::Writer;

pub use error::{Error, ErrorKind};
pub use page::{Counts, Filter, Page};
pub use row::Row;
pub use submit::{Accepted, Key, NewJob, Refused};

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Name of the database in its directory.
pub const FILE_NAME: &str = "jobs.sqlite";

/// Mode of the directory when it is made here: logs name VMs, paths and users.
const DIRECTORY_MODE: u32 = 0o700;

/// Mode of the database; SQLite gives its journals the same.
const FILE_MODE: u32 = 0o600;

/// The store of one daemon. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Writer,
    readers: Readers,
    path: PathBuf,
    /// Held as long as anybody uses the store.
    _lock: DirectoryLock,
}

impl Store {
    /// Opens the store in `directory`, which is made when missing. Blocks: it checks the file.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when another process has it, [`ErrorKind::Damaged`] and [`ErrorKind::Newer`] for a
    /// file that must not be touched, else [`ErrorKind::Io`] and [`ErrorKind::Full`].
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE_NAME);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|error| Error::io(format!("make {}", directory.display()), error))?;
        let lock = DirectoryLock::take(directory)?;
        make(&path).map_err(|error| Error::io(format!("make {}", path.display()), error))?;
        let connection = schema::open(&path)?;
        let readers = Readers::new(&path);
        let writer = Writer::start(connection, &path)?;
        Ok(Self { shared: Arc::new(Shared { writer, readers, path, _lock: lock }) })
    }

    /// Returns where the database lies.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Accepts jobs, in their order and all at once; each has its own answer. With a `key` that was used before for
    /// the same request nothing is accepted, and the answer is the same as then.
    ///
    /// # Errors
    /// [`ErrorKind::KeyReused`] when the key came with another request before; else that of a store that cannot be
    /// written, and then none is accepted.
    pub async fn submit(
        &self,
        jobs: Vec<NewJob>,
        key: Option<Key>,
    ) -> Result<Vec<std::result::Result<Accepted, Refused>>> {
        self.shared.writer.write(move |connection| submit::submit(connection, &jobs, key.as_ref())).await
    }

    /// Adds entries to the log of a job, for the attempt that they belong to.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the job is at another attempt, has ended, or is not there.
    pub async fn append(&self, id: &JobId, attempt: u32, entries: Vec<Entry>) -> Result<Vec<Record>> {
        let id = id.clone();
        self.shared.writer.write(move |connection| row::append(connection, &id, attempt, &entries)).await
    }

    /// Begins the next attempt of a job with `entry`, if its present one is `attempt`.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] as for [`Self::append`], but an ended job may begin again;
    /// [`ErrorKind::TargetTaken`] when another job works on its target now.
    pub async fn requeue(&self, id: &JobId, attempt: u32, entry: Entry) -> Result<Vec<Record>> {
        let id = id.clone();
        self.shared.writer.write(move |connection| row::requeue(connection, &id, attempt, &entry)).await
    }

    /// Forgets jobs that have ended; others stay. Returns how many were.
    ///
    /// # Errors
    /// Those of a store that cannot be written.
    pub async fn delete(&self, ids: Vec<JobId>) -> Result<u64> {
        self.shared.writer.write(move |connection| delete::delete(connection, &ids)).await
    }

    /// Forgets up to `at_most` of the ended jobs beyond the newest `keep`, and of those that ended before the
    /// time `before`. Returns how many were.
    ///
    /// # Errors
    /// Those of a store that cannot be written.
    pub async fn expire(&self, keep: u64, before: String, at_most: u32) -> Result<u64> {
        self.shared.writer.write(move |connection| delete::expire(connection, keep, &before, at_most)).await
    }

    /// Returns the log of a job; empty when there is no such job.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn log(&self, id: &JobId) -> Result<Vec<Record>> {
        let id = id.clone();
        self.shared.readers.read(move |connection| row::log_of(connection, &id)).await
    }

    /// Returns the first entry of the log of each of these jobs; `None` for one that there is not.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn first_entries(&self, ids: Vec<JobId>) -> Result<Vec<Option<Entry>>> {
        self.shared
            .readers
            .read(move |connection| ids.iter().map(|id| row::first_entry(connection, id)).collect())
            .await
    }

    /// Returns the index row of a job.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn row(&self, id: &JobId) -> Result<Option<Row>> {
        let id = id.clone();
        self.shared.readers.read(move |connection| row::row(connection, &id)).await
    }

    /// Returns the logs of a page of jobs, newest first.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn page(&self, filter: Filter) -> Result<Page> {
        self.shared.readers.read(move |connection| page::page(connection, &filter)).await
    }

    /// Returns how many jobs there are in each state.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn counts(&self) -> Result<Counts> {
        self.shared.readers.read(page::counts).await
    }

    /// Returns the ids of jobs in one of these states, oldest first.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn in_states(&self, states: &'static [JobState]) -> Result<Vec<JobId>> {
        self.shared.readers.read(move |connection| page::in_states(connection, states)).await
    }

    /// Returns the jobs that have changed since the entry `sequence`, in the order of their last change, at most
    /// `limit` of them.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn changed_since(&self, sequence: u64, limit: u32) -> Result<Vec<JobId>> {
        self.shared.readers.read(move |connection| page::changed_since(connection, sequence, limit)).await
    }

    /// Returns the place of the newest entry of all jobs; 0 when there is none.
    ///
    /// # Errors
    /// Those of a store that cannot be read.
    pub async fn newest(&self) -> Result<u64> {
        self.shared
            .readers
            .read(|connection| {
                let sql = "SELECT seq FROM log ORDER BY seq DESC LIMIT 1";
                Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
            })
            .await
    }

    /// Runs SQLite's full check of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] with what it found.
    pub async fn check(&self) -> Result<()> {
        let path = self.shared.path.clone();
        self.shared.readers.read(move |connection| schema::check(connection, &path, "integrity_check")).await
    }

    /// Writes everything into the one file and ends the writer; for the end of the process.
    pub fn close(&self) {
        self.shared.writer.close();
    }
}

/// Makes the file, so that its mode is ours and not that of the umask. SQLite takes an empty one as new.
fn make(path: &Path) -> io::Result<()> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).custom_flags(flags).open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens one more connection that only reads.
fn open_reader(path: &Path) -> Result<Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(schema::BUSY_TIME_MAX)?;
    Ok(connection)
}
