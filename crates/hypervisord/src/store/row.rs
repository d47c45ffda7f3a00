//! One job: its row, its log, and how both grow together.

use hyper_api::{JobId, JobState};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::{Error, ErrorKind, Result};
use crate::clock::timestamp;
use crate::jobs::log::{Entry, Record};

/// What the index has of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Place in the order of acceptance.
    pub order: u64,
    /// State, as the fold over the log has it.
    pub state: JobState,
    /// Present attempt.
    pub attempt: u32,
    /// Length of the log.
    pub entries: u64,
    /// What no other job may work on while this one is not done.
    pub target: Option<String>,
}

/// Returns the state that goes by this word in the table.
pub(super) fn state_of(word: &str) -> Result<JobState> {
    use JobState::{Cancelled, Completed, Failed, Pending, Running};
    let known = [Pending, Running, Completed, Failed, Cancelled].into_iter().find(|state| state.word() == word);
    known.ok_or_else(|| Error::new(ErrorKind::Damaged, format!("read a job's row: `{word}` is no state")))
}

pub(super) fn row(connection: &Connection, id: &JobId) -> Result<Option<Row>> {
    let sql = "SELECT seq, state, attempt, entries, target FROM job WHERE id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([id.as_str()], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    });
    let Some((order, state, attempt, entries, target)) = found.optional()? else { return Ok(None) };
    Ok(Some(Row { order, state: state_of(&state)?, attempt, entries, target }))
}

pub(super) fn log_of(connection: &Connection, id: &JobId) -> Result<Vec<Record>> {
    let sql = "SELECT log.number, log.seq, log.attempt, log.at, log.entry FROM log JOIN job ON log.job = job.seq \
               WHERE job.id = ?1 ORDER BY log.number";
    let mut statement = connection.prepare_cached(sql)?;
    let records = statement.query_map([id.as_str()], |row| {
        let text: String = row.get(4)?;
        Ok(Record {
            number: row.get(0)?,
            sequence: row.get(1)?,
            attempt: row.get(2)?,
            at: row.get(3)?,
            entry: Entry::from_text(&text),
        })
    })?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

/// Returns the entry that a log begins with.
pub(super) fn first_entry(connection: &Connection, id: &JobId) -> Result<Option<Entry>> {
    let sql = "SELECT log.entry FROM log JOIN job ON log.job = job.seq WHERE job.id = ?1 AND log.number = 1";
    let found = connection.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get::<_, String>(0)).optional()?;
    Ok(found.map(|text| Entry::from_text(&text)))
}

/// Adds one entry under the next number, and returns it as it stands there.
pub(super) fn add(connection: &Connection, order: u64, number: u64, attempt: u32, entry: &Entry) -> Result<Record> {
    let at = timestamp();
    let sql = "INSERT INTO log (job, number, attempt, at, entry) VALUES (:job, :number, :attempt, :at, :entry)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":job": order, ":number": number, ":attempt": attempt, ":at": at, ":entry": entry.to_text()?,
    })?;
    let sequence = u64::try_from(connection.last_insert_rowid()).unwrap_or(0);
    Ok(Record { number, sequence, attempt, at, entry: entry.clone() })
}

/// Makes the row what the fold over the longer log is.
fn index(connection: &Connection, row: &Row, ended_at: Option<&str>) -> Result<()> {
    let sql = "UPDATE job SET state = :state, attempt = :attempt, entries = :entries, ended_at = :ended_at \
               WHERE seq = :seq";
    let updated = connection.prepare_cached(sql)?.execute(named_params! {
        ":state": row.state.word(), ":attempt": row.attempt, ":entries": row.entries, ":ended_at": ended_at,
        ":seq": row.order,
    });
    match updated {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            let target = row.target.as_deref().unwrap_or_default();
            let holder = holder(connection, target)?.unwrap_or_else(|| JobId::new("another job"));
            Err(Error::new(ErrorKind::TargetTaken, format!("queue the job again: job {holder} works on its target")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the job that is to work on a target, or works on it.
pub(super) fn holder(connection: &Connection, target: &str) -> Result<Option<JobId>> {
    let sql = "SELECT id FROM job WHERE target = ?1 AND state IN ('pending', 'running')";
    Ok(connection.prepare_cached(sql)?.query_row([target], |row| row.get::<_, String>(0).map(JobId::new)).optional()?)
}

fn stale(id: &JobId, why: &str) -> Error {
    Error::new(ErrorKind::Stale, format!("write to the log of job {id}: {why}"))
}

fn current(connection: &Connection, id: &JobId, attempt: u32) -> Result<Row> {
    let row = row(connection, id)?.ok_or_else(|| stale(id, "there is no such job"))?;
    if row.attempt != attempt {
        return Err(stale(id, &format!("it is at attempt {}, and this is of attempt {attempt}", row.attempt)));
    }
    Ok(row)
}

pub(super) fn append(connection: &Connection, id: &JobId, attempt: u32, entries: &[Entry]) -> Result<Vec<Record>> {
    let mut row = current(connection, id, attempt)?;
    if row.state.is_final() {
        return Err(stale(id, &format!("it has {}", row.state.word())));
    }
    let mut records = Vec::with_capacity(entries.len());
    let mut ended_at = None;
    for entry in entries {
        row.entries += 1;
        let record = add(connection, row.order, row.entries, attempt, entry)?;
        match entry {
            Entry::Started if row.state == JobState::Pending => row.state = JobState::Running,
            Entry::Ended(ended) if ended.state.is_final() && !row.state.is_final() => {
                row.state = ended.state;
                ended_at = Some(record.at.clone());
            }
            _ => {}
        }
        records.push(record);
    }
    index(connection, &row, ended_at.as_deref())?;
    Ok(records)
}

pub(super) fn requeue(connection: &Connection, id: &JobId, attempt: u32, entry: &Entry) -> Result<Vec<Record>> {
    let mut row = current(connection, id, attempt)?;
    if row.state == JobState::Completed {
        return Err(stale(id, "it has completed"));
    }
    row.attempt += 1;
    row.entries += 1;
    row.state = JobState::Pending;
    let record = add(connection, row.order, row.entries, row.attempt, entry)?;
    index(connection, &row, None)?;
    Ok(vec![record])
}
