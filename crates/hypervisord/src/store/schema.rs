//! The form of the database, and how older forms become the present one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Error, ErrorKind, Result};

/// Marks the file as ours ("HJOB"), so that somebody else's database is not taken for a damaged store.
const APPLICATION_ID: i64 = 0x484A_4F42;

/// How long a call waits for another one that holds the file's lock: only a checkpoint does, for moments.
pub(super) const BUSY_TIME_MAX: Duration = Duration::from_secs(10);

/// A journal that grew larger is cut back after it was written into the file.
const JOURNAL_BYTES_MAX: u32 = 64 << 20;

/// Each step brings the file from the version of its index to the next. Never changed once released.
const MIGRATIONS: &[&str] = &[
    // 1: the first form. `target` is what no two jobs may work on at once. AUTOINCREMENT, so that a
    // number that a reader of events has seen never comes again.
    "CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        target TEXT,
        vm TEXT NOT NULL,
        ended_at TEXT
    ) STRICT;
    CREATE UNIQUE INDEX job_by_target ON job (target) WHERE target IS NOT NULL AND state IN ('pending', 'running');
    CREATE INDEX job_by_state ON job (state, seq);
    CREATE INDEX job_by_end ON job (ended_at) WHERE ended_at IS NOT NULL;
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        at TEXT NOT NULL,
        entry TEXT NOT NULL,
        UNIQUE (job, number)
    ) STRICT;
    CREATE TABLE request (
        key TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        at TEXT NOT NULL,
        answer TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;",
];

/// Opens the file for writing, checks it, and brings it to the present form.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    prepare(path, flags).map_err(|error| match error.kind() {
        ErrorKind::Damaged if !error.to_string().contains("move ") => Error::damaged(path, error.chain()),
        _ => error,
    })
}

fn prepare(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (id != 0 || tables != 0) {
        return Err(Error::damaged(path, "it is a database of another program"));
    }
    check(&connection, path, "quick_check")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Answers are promises, so a commit is synced; commits come in groups.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Asks SQLite whether the file is whole, with one of its two checks.
pub(super) fn check(connection: &Connection, path: &Path, pragma: &str) -> Result<()> {
    let found: String = connection.query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        what => Err(Error::damaged(path, what.lines().last().unwrap_or(what))),
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let version: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        let context = format!(
            "open the job store {}: its form is {version}, and this version knows no later one than {}; use the \
             newer hypervisord that wrote it",
            path.display(),
            MIGRATIONS.len()
        );
        return Err(Error::new(ErrorKind::Newer, context));
    }
    for (done, step) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", done + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
