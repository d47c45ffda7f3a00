//! The one thread that writes.
//!
//! Whatever waits when it comes to look goes into one transaction, each piece under a savepoint of its own: one that is
//! refused takes nothing of the others with it. Answers are given after the commit. Callers wait for room in the
//! channel, so that a slow disk slows them down and nothing grows.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Error, ErrorKind, Result};

/// Writes that may wait.
const WAITING_MAX: usize = 1024;

/// Writes that share one commit. A sync of the disk takes some milliseconds, so that this is not what limits.
const GROUP_MAX: usize = 256;

/// Gives one caller the answer, once it is known whether the group was committed.
type Answer = Box<dyn FnOnce(Option<&Error>) + Send>;

/// One write, run on the connection unless its group has failed before; returns why it is not to be kept.
type Work = Box<dyn FnOnce(Option<&Connection>) -> (Option<Error>, Answer) + Send>;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    works: Mutex<Option<mpsc::Sender<Work>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread on a connection that is ready.
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self> {
        let (works, waiting) = mpsc::channel(WAITING_MAX);
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(connection, waiting))
            .map_err(|error| Error::io(format!("start the writer of {}", path.display()), error))?;
        Ok(Self { works: Mutex::new(Some(works)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs one write and returns when it is durable. It is done or not done as a whole also when the caller
    /// does not wait for the answer.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let result = connection.map(work);
            let refused = result.as_ref().and_then(|result| result.as_ref().err().map(Error::again));
            let answer = move |failed: Option<&Error>| {
                let result = match (result, failed) {
                    (Some(Err(error)), _) => Err(error),
                    (_, Some(error)) => Err(error.again()),
                    (Some(Ok(value)), None) => Ok(value),
                    (None, None) => Err(Error::new(ErrorKind::Internal, "write to the job store: it was passed over")),
                };
                // The caller may have gone away.
                drop(sender.send(result));
            };
            (refused, Box::new(answer) as Answer)
        });
        let closed = || Error::new(ErrorKind::Closed, "write to the job store: it is closed");
        let works = self.works.lock().unwrap_or_else(PoisonError::into_inner).clone();
        works.ok_or_else(closed)?.send(work).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Lets what waits be written, and ends the thread.
    pub(super) fn close(&self) {
        drop(self.works.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of the job store broke down");
        }
    }
}

fn run(connection: Connection, mut waiting: mpsc::Receiver<Work>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        commit(&connection, group);
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the job store was not closed in order; its journal is read at the next start");
    }
}

/// Runs a group in one transaction and answers each.
fn commit(connection: &Connection, group: Vec<Work>) {
    let mut answers = Vec::with_capacity(group.len());
    let result = in_transaction(connection, group, &mut answers);
    if let Err(error) = &result {
        tracing::error!(error = %error.chain(), "the job store cannot be written");
        if !connection.is_autocommit() {
            // What was half written must not become part of the next group.
            drop(connection.execute_batch("ROLLBACK"));
        }
    }
    answers.into_iter().for_each(|answer| answer(result.as_ref().err()));
}

fn in_transaction(connection: &Connection, group: Vec<Work>, answers: &mut Vec<Answer>) -> Result<()> {
    let mut so_far = connection.execute_batch("BEGIN IMMEDIATE").map_err(Error::from);
    for work in group {
        let pointed = so_far.is_ok().then(|| connection.execute_batch("SAVEPOINT work"));
        if let Some(Err(error)) = pointed {
            so_far = Err(error.into());
        }
        let (refused, answer) = work(so_far.is_ok().then_some(connection));
        answers.push(answer);
        so_far = match (so_far, refused) {
            (Err(error), _) => Err(error),
            // A full disk takes the whole transaction away, with what others have written in it.
            (Ok(()), Some(error)) if connection.is_autocommit() => Err(error),
            (Ok(()), Some(_)) => connection.execute_batch("ROLLBACK TO work; RELEASE work").map_err(Error::from),
            (Ok(()), None) => connection.execute_batch("RELEASE work").map_err(Error::from),
        };
    }
    so_far?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
