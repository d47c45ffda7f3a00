//! Questions about many jobs.

use hyper_api::{JobId, JobState};
use rusqlite::{Connection, named_params};

use super::row::{log_of, state_of};
use super::{Error, ErrorKind, Result};
use crate::jobs::log::Record;

/// Which jobs, and how many of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; empty: in any.
    pub states: Vec<JobState>,
    /// Whose VM, or path, holds this text; in any case of ASCII letters.
    pub vm: Option<String>,
    /// Accepted before this place in the order of acceptance.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Their logs, newest job first.
    pub jobs: Vec<(JobId, Vec<Record>)>,
    /// What to give as `before` for the next page; none after the last.
    pub next: Option<u64>,
}

/// How many jobs there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted, not begun.
    pub pending: u64,
    /// At work.
    pub running: u64,
    /// Done.
    pub completed: u64,
    /// Ended badly.
    pub failed: u64,
    /// Stopped because somebody asked.
    pub cancelled: u64,
}

impl Counts {
    /// Returns how many are in one state.
    pub const fn of(&self, state: JobState) -> u64 {
        match state {
            JobState::Pending => self.pending,
            JobState::Running => self.running,
            JobState::Completed => self.completed,
            JobState::Failed => self.failed,
            JobState::Cancelled => self.cancelled,
        }
    }
}

pub(super) fn page(connection: &Connection, filter: &Filter) -> Result<Page> {
    // Words of our own, so that they may stand in the text; what came from outside is bound.
    let words: Vec<_> = filter.states.iter().map(|state| format!("'{}'", state.word())).collect();
    let in_states = if words.is_empty() { String::new() } else { format!("AND state IN ({})", words.join(", ")) };
    let sql = format!(
        "SELECT seq, id FROM job WHERE seq < :before {in_states} AND (:vm IS NULL OR instr(lower(vm), lower(:vm)) > 0) \
         ORDER BY seq DESC LIMIT :limit"
    );
    let before = filter.before.unwrap_or(i64::MAX.unsigned_abs());
    // One more than asked for says whether there is a next page.
    let limit = u64::from(filter.limit) + 1;
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(named_params! { ":before": before, ":vm": filter.vm, ":limit": limit }, |row| {
        Ok((row.get::<_, u64>(0)?, JobId::new(row.get::<_, String>(1)?)))
    })?;
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let shown = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let is_more = found.len() > shown;
    found.truncate(shown);
    let next = found.last().filter(|_| is_more).map(|(order, _)| *order);
    let jobs = found.into_iter().map(|(_, id)| Ok((id.clone(), log_of(connection, &id)?))).collect::<Result<_>>()?;
    Ok(Page { jobs, next })
}

pub(super) fn counts(connection: &Connection) -> Result<Counts> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM job GROUP BY state")?;
    let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)))?;
    let mut counts = Counts::default();
    for pair in found {
        let (word, count) = pair?;
        *match state_of(&word)? {
            JobState::Pending => &mut counts.pending,
            JobState::Running => &mut counts.running,
            JobState::Completed => &mut counts.completed,
            JobState::Failed => &mut counts.failed,
            JobState::Cancelled => &mut counts.cancelled,
        } = count;
    }
    Ok(counts)
}

pub(super) fn in_states(connection: &Connection, states: &[JobState]) -> Result<Vec<JobId>> {
    let words: Vec<_> = states.iter().map(|state| format!("'{}'", state.word())).collect();
    let sql = format!("SELECT id FROM job WHERE state IN ({}) ORDER BY seq", words.join(", "));
    ids(connection.prepare_cached(&sql)?.query_map([], |row| row.get(0))?)
}

pub(super) fn changed_since(connection: &Connection, sequence: u64, limit: u32) -> Result<Vec<JobId>> {
    if i64::try_from(sequence).is_err() {
        return Err(Error::new(ErrorKind::Internal, "read changes: a place beyond all numbers"));
    }
    let sql = "SELECT job.id FROM log JOIN job ON log.job = job.seq WHERE log.seq > ?1 \
               GROUP BY log.job ORDER BY max(log.seq) LIMIT ?2";
    ids(connection.prepare_cached(sql)?.query_map((sequence, limit), |row| row.get(0))?)
}

fn ids(found: impl Iterator<Item = rusqlite::Result<String>>) -> Result<Vec<JobId>> {
    Ok(found.map(|id| id.map(JobId::new)).collect::<rusqlite::Result<_>>()?)
}
