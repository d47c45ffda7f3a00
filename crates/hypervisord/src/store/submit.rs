//! Accepting jobs.

use hyper_api::{JobId, JobSpec, JobState};
use rusqlite::{Connection, OptionalExtension as _, named_params};
use serde::{Deserialize, Serialize};

use super::row::{add, holder, log_of, row};
use super::{Error, ErrorKind, Result};
use crate::clock::timestamp;
use crate::jobs::log::{Entry, Queued, Record};

/// The first attempt of every job.
const FIRST_ATTEMPT: u32 = 1;

/// A job to be accepted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// What no two jobs may work on at once.
    pub target: Option<String>,
    /// What people search it by.
    pub vm: String,
    /// What is accepted.
    pub queued: Queued,
    /// Entries that follow the acceptance at once.
    pub remarks: Vec<Entry>,
}

impl NewJob {
    fn spec(&self) -> &JobSpec {
        &self.queued.spec
    }
}

/// What makes a request the same as an earlier one.
#[derive(Clone, Debug)]
pub struct Key {
    /// The caller's key, in the caller's own space of keys.
    pub name: String,
    /// Digest of the request.
    pub digest: [u8; 32],
}

/// A job that is there.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: JobId,
    /// Its place in the order of acceptance.
    pub order: u64,
    /// False when it was there before, by the same request.
    pub is_new: bool,
    /// Its log.
    pub records: Vec<Record>,
}

/// Why a job is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its id is that of another job.
    IdTaken,
    /// This job works on the same target.
    TargetTaken(JobId),
}

/// What was answered to a request, as it is remembered.
#[derive(Debug, Serialize, Deserialize)]
enum Remembered {
    Accepted(JobId),
    IdTaken,
    TargetTaken(JobId),
}

type Answer = std::result::Result<Accepted, Refused>;

pub(super) fn submit(connection: &Connection, jobs: &[NewJob], key: Option<&Key>) -> Result<Vec<Answer>> {
    if let Some(answers) = key.map(|key| remembered(connection, key)).transpose()?.flatten() {
        return Ok(answers);
    }
    let answers: Vec<Answer> = jobs.iter().map(|job| accept(connection, job)).collect::<Result<_>>()?;
    if let Some(key) = key {
        remember(connection, key, &answers)?;
    }
    Ok(answers)
}

fn accept(connection: &Connection, job: &NewJob) -> Result<Answer> {
    if let Some(known) = row(connection, &job.id)? {
        let records = log_of(connection, &job.id)?;
        let same = matches!(records.first().map(|record| &record.entry),
            Some(Entry::Queued(queued)) if queued.spec == *job.spec() && queued.owner == job.queued.owner);
        let accepted = Accepted { id: job.id.clone(), order: known.order, is_new: false, records };
        return Ok(if same { Ok(accepted) } else { Err(Refused::IdTaken) });
    }
    if let Some(other) = job.target.as_deref().map(|target| holder(connection, target)).transpose()?.flatten() {
        return Ok(Err(Refused::TargetTaken(other)));
    }
    let entries: Vec<Entry> =
        std::iter::once(Entry::Queued(Box::new(job.queued.clone()))).chain(job.remarks.iter().cloned()).collect();
    let sql = "INSERT INTO job (id, state, attempt, entries, target, vm) \
               VALUES (:id, :state, :attempt, :entries, :target, :vm)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": job.id.as_str(), ":state": JobState::Pending.word(), ":attempt": FIRST_ATTEMPT,
        ":entries": entries.len(), ":target": job.target, ":vm": job.vm,
    })?;
    let order = u64::try_from(connection.last_insert_rowid()).unwrap_or(0);
    let add = |(number, entry): (u64, &Entry)| add(connection, order, number, FIRST_ATTEMPT, entry);
    let records = (1..).zip(&entries).map(add).collect::<Result<_>>()?;
    Ok(Ok(Accepted { id: job.id.clone(), order, is_new: true, records }))
}

fn remembered(connection: &Connection, key: &Key) -> Result<Option<Vec<Answer>>> {
    let sql = "SELECT digest, answer FROM request WHERE key = ?1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([&key.name], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)));
    let Some((digest, answer)) = found.optional()? else { return Ok(None) };
    if digest != key.digest {
        let context = "accept the request: its idempotency key came with another request before";
        return Err(Error::new(ErrorKind::KeyReused, context));
    }
    let answers: Vec<Remembered> = serde_json::from_str(&answer)?;
    answers.into_iter().map(|answer| again(connection, answer)).collect::<Result<_>>().map(Some)
}

fn again(connection: &Connection, answer: Remembered) -> Result<Answer> {
    Ok(match answer {
        Remembered::Accepted(id) => {
            // A job that was deleted since was accepted all the same.
            let order = row(connection, &id)?.map_or(0, |row| row.order);
            let records = log_of(connection, &id)?;
            Ok(Accepted { id, order, is_new: false, records })
        }
        Remembered::IdTaken => Err(Refused::IdTaken),
        Remembered::TargetTaken(other) => Err(Refused::TargetTaken(other)),
    })
}

fn remember(connection: &Connection, key: &Key, answers: &[Answer]) -> Result<()> {
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(accepted) => Remembered::Accepted(accepted.id.clone()),
            Err(Refused::IdTaken) => Remembered::IdTaken,
            Err(Refused::TargetTaken(other)) => Remembered::TargetTaken(other.clone()),
        })
        .collect();
    let sql = "INSERT INTO request (key, digest, at, answer) VALUES (:key, :digest, :at, :answer)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":key": key.name, ":digest": key.digest.as_slice(), ":at": timestamp(),
        ":answer": serde_json::to_string(&answers)?,
    })?;
    Ok(())
}
