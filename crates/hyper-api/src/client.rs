//! A small HTTP client for the routes of `/api/v1`.
//!
//! One connection per call: calls are rare, and a connection that idles between them would only add
//! ways to fail. What it does not do: no TLS, no redirects, no proxies, no retries; a caller that
//! wants a call repeated says so.
//!
//! ```text
//!  Client ──► Endpoint (unix:///path, http://host:port) ──► connection (HTTP/1.1) ──► typed reply or Error
//!     └─────► EventStream (server-sent events of one job)
//! ```

mod connection;
mod endpoint;
mod error;
mod events;
mod jobs;
mod secret;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header, request};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind};
pub use events::EventStream;
pub use secret::Secret;

use crate::{
    Info, InspectRequest, Inspection, Job, JobId, JobList, JobSpec, Problem, SHUTDOWN_LIMIT_S, VmDetail, VmList,
    VmOperation, VmRequest, sse,
};

/// From dialling to the last byte, as older clients have it (contract A.2).
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// The same for a list of VMs, which the daemon has to fetch first (contract A.2).
const LIST_TIME_MAX: Duration = Duration::from_secs(120);

/// What a shutdown may take beyond the time that the guest is given (contract A.2).
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// The largest reply that is read into memory: 10,000 VMs are about 5 MiB.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Calls one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    secret: Option<Secret>,
}

impl Client {
    /// Makes a client; nothing is dialled yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, secret: None }
    }

    /// Lets the calls carry a token, which must be one that the daemon at this endpoint knows: whoever listens
    /// there gets it.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Returns where the calls go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns who is answering.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn info(&self) -> Result<Info, Error> {
        self.call(Method::GET, "/api/v1/info", None, CALL_TIME_MAX).await
    }

    /// Returns all VMs of the daemon's source.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn vms(&self) -> Result<VmList, Error> {
        self.call(Method::GET, "/api/v1/vms", None, LIST_TIME_MAX).await
    }

    /// Returns all VMs with the capacities of their disks, which takes longer.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn vms_with_capacities(&self) -> Result<VmList, Error> {
        self.call(Method::GET, "/api/v1/vms?capacities=true", None, LIST_TIME_MAX).await
    }

    /// Does something to one VM and returns the VM as it is then.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn vm(&self, operation: VmOperation, request: &VmRequest) -> Result<VmDetail, Error> {
        let limit_s = request.limit_s.filter(|limit| *limit > 0).unwrap_or(SHUTDOWN_LIMIT_S);
        let time_max = match operation {
            VmOperation::Shutdown => Duration::from_secs(limit_s).saturating_add(SHUTDOWN_GRACE),
            _ => CALL_TIME_MAX,
        };
        self.call(Method::POST, &format!("/api/v1/vms/{}", operation.word()), Some(as_body(request)?), time_max).await
    }

    /// Says what a disk image or a package on the daemon's machine is.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn inspect(&self, request: &InspectRequest) -> Result<Inspection, Error> {
        self.call(Method::POST, "/api/v1/inspect", Some(as_body(request)?), LIST_TIME_MAX).await
    }

    /// Submits a job and returns it.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn submit(&self, spec: &JobSpec) -> Result<Job, Error> {
        self.call(Method::POST, "/api/v1/jobs", Some(as_body(spec)?), CALL_TIME_MAX).await
    }

    /// Returns all jobs, newest first.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn jobs(&self) -> Result<JobList, Error> {
        self.call(Method::GET, "/api/v1/jobs", None, CALL_TIME_MAX).await
    }

    /// Returns one job.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn job(&self, id: &JobId) -> Result<Job, Error> {
        self.call(Method::GET, &job_path(id, "")?, None, CALL_TIME_MAX).await
    }

    /// Asks for a stop of one job; the job ends later, and its events say when.
    ///
    /// # Errors
    /// See [`ErrorKind`]; refused as a matter of state when the job has ended otherwise.
    pub async fn cancel(&self, id: &JobId) -> Result<Job, Error> {
        self.call(Method::POST, &job_path(id, "/cancel")?, None, CALL_TIME_MAX).await
    }

    /// Follows one job: a picture of it now and at every change, until it has ended. `last_event_id`
    /// is what [`EventStream::last_event_id`] of a broken stream said: pictures up to it are left out.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn events(&self, id: &JobId, last_event_id: Option<&str>) -> Result<EventStream, Error> {
        let path = job_path(id, "/events")?;
        let mut request = self.request(Method::GET, &path, sse::MEDIA_TYPE);
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        let doing = format!("follow {path} of {}", self.endpoint);
        let opened = async {
            let response = connection::send(&self.endpoint, request, Bytes::new(), &doing).await?;
            if response.status() == StatusCode::OK {
                return Ok(EventStream::new(response.into_body(), doing.clone()));
            }
            Err(self.refusal(response, &doing).await)
        };
        within(CALL_TIME_MAX, &doing, opened).await
    }

    /// Begins a request for what it `accepts`.
    fn request(&self, method: Method, path: &str, accepts: &'static str) -> request::Builder {
        let request = self.endpoint.request(method, path).header(header::ACCEPT, accepts);
        match &self.secret {
            Some(secret) => request.header(header::AUTHORIZATION, secret.header()),
            None => request,
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        time_max: Duration,
    ) -> Result<T, Error> {
        let doing = format!("{method} {path} of {}", self.endpoint);
        let mut request = self.request(method, path, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let answered = async {
            let response = connection::send(&self.endpoint, request, body.unwrap_or_default(), &doing).await?;
            if !response.status().is_success() {
                return Err(self.refusal(response, &doing).await);
            }
            let bytes = read_all(response.into_body(), &doing).await?;
            // An answer without content reads as `null`.
            let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
            serde_json::from_slice(text).map_err(|reason| {
                Error::new(ErrorKind::Protocol, format!("{doing}: read the reply")).with_source(reason)
            })
        };
        within(time_max, &doing, answered).await
    }

    /// Makes the error of a reply that is not a success.
    async fn refusal(&self, response: http::Response<hyper::body::Incoming>, doing: &str) -> Error {
        let status = response.status();
        let context = format!("{doing}: status {}", status.as_u16());
        let error = Error::new(ErrorKind::Refused, context).with_status(status.as_u16());
        match read_all(response.into_body(), doing).await.map(|bytes| serde_json::from_slice::<Problem>(&bytes)) {
            Ok(Ok(problem)) => error.with_problem(problem),
            // Something else than a daemon of ours; the status has to do.
            Ok(Err(_)) | Err(_) => error,
        }
    }
}

fn as_body(request: &impl Serialize) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(request);
    body.map(Bytes::from)
        .map_err(|reason| Error::new(ErrorKind::Protocol, "write the request as JSON").with_source(reason))
}

/// Returns the path of a job. Ids are checked because they may come from a command line: one with a
/// slash or a blank would make another route of it.
fn job_path(id: &JobId, tail: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let text = id.as_str();
    if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) {
        return Err(Error::new(ErrorKind::Usage, format!("take {text:?} as a job id")));
    }
    Ok(format!("/api/v1/jobs/{text}{tail}"))
}

async fn read_all(body: hyper::body::Incoming, doing: &str) -> Result<Bytes, Error> {
    match Limited::new(body, REPLY_BYTES_MAX).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(reason) => {
            Err(Error::new(ErrorKind::Protocol, format!("{doing}: receive the reply")).with_boxed_source(reason))
        }
    }
}

async fn within<T>(time_max: Duration, doing: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(time_max, work).await {
        Ok(result) => result,
        Err(_) => {
            let context = format!("{doing}: no answer within {} s", time_max.as_secs());
            Err(Error::new(ErrorKind::Timeout, context))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_would_make_another_route_is_refused() {
        assert_eq!(job_path(&JobId::new("5c1f-0b7e"), "/cancel").unwrap(), "/api/v1/jobs/5c1f-0b7e/cancel");
        for bad in ["", ".", "..", "a/b", "a b", "a?b", "a\r\nHost: x", "ä"] {
            assert_eq!(job_path(&JobId::new(bad), "").unwrap_err().kind(), ErrorKind::Usage, "{bad:?}");
        }
    }
}
