//! The events of one job as they come.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::error::{Error, ErrorKind};
use crate::{Job, sse};

/// The name of the event that carries a picture of a job.
const JOB_EVENT: &str = "job";

/// The daemon sends a comment every ten seconds; three missing in a row mean that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Pictures of one job, in order.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    doing: String,
    reader: sse::Reader,
    ready: VecDeque<sse::Event>,
    last_event_id: Option<String>,
}

impl EventStream {
    pub(super) fn new(body: Incoming, doing: String) -> Self {
        Self { body, doing, reader: sse::Reader::default(), ready: VecDeque::new(), last_event_id: None }
    }

    /// Returns the id of the last event that [`Self::next`] returned, for taking the stream up again.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Returns the next picture; `None` once the daemon has ended the stream, which it does after the
    /// picture of a job that has ended. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when the connection breaks or what comes is no job, and
    /// [`ErrorKind::Timeout`] when nothing comes for 30 s, not even a sign of life.
    pub async fn next(&mut self) -> Result<Option<Job>, Error> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                self.last_event_id = event.id;
                if event.name == JOB_EVENT {
                    let job = serde_json::from_str(&event.data);
                    return job
                        .map(Some)
                        .map_err(|reason| self.failed(ErrorKind::Protocol, "read an event").with_source(reason));
                }
            }
            let frame = match tokio::time::timeout(SILENCE_MAX, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(reason))) => {
                    return Err(self.failed(ErrorKind::Protocol, "the stream broke").with_source(reason));
                }
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.failed(ErrorKind::Timeout, "the daemon fell silent")),
            };
            if let Some(bytes) = frame.data_ref() {
                let mut events = Vec::new();
                if let Err(reason) = self.reader.push(bytes, &mut events) {
                    return Err(self.failed(ErrorKind::Protocol, "read the stream").with_source(reason));
                }
                self.ready.extend(events);
            }
        }
    }

    fn failed(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("{}: {what}", self.doing))
    }
}
