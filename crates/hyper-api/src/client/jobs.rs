//! The calls about jobs and tokens beyond the first ones.

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{CALL_TIME_MAX, Client, Error, ErrorKind};
use crate::{Job, JobState, NewToken, TokenList, TokenSpec};

/// Jobs on a page: the most that a daemon gives.
const PAGE_JOBS: u32 = 1000;

/// A page of jobs.
#[derive(Deserialize)]
struct Page {
    jobs: Vec<Job>,
    /// What to ask for next; absent on the last page.
    #[serde(default)]
    next: Option<String>,
}

impl Client {
    /// Returns all jobs in these states, newest first; no states mean all.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn all_jobs(&self, states: &[JobState]) -> Result<Vec<Job>, Error> {
        let words: Vec<_> = states.iter().map(|state| state.word()).collect();
        let filter = if words.is_empty() { String::new() } else { format!("&state={}", words.join(",")) };
        let (mut jobs, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/jobs?limit={PAGE_JOBS}{filter}{cursor}");
            let page: Page = self.call(Method::GET, &path, None, CALL_TIME_MAX).await?;
            jobs.extend(page.jobs.into_iter().filter(|job| states.is_empty() || states.contains(&job.state)));
            match page.next {
                // What a page says is a number; anything else would make another request of it.
                Some(next) if !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                    cursor = format!("&cursor={next}");
                }
                _ => return Ok(jobs),
            }
        }
    }

    /// Returns the tokens, without their secrets.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn tokens(&self) -> Result<TokenList, Error> {
        self.call(Method::GET, "/api/v1/tokens", None, CALL_TIME_MAX).await
    }

    /// Makes a token. Its secret is in the reply and nowhere else.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn create_token(&self, spec: &TokenSpec) -> Result<NewToken, Error> {
        let body = serde_json::to_vec(spec)
            .map_err(|reason| Error::new(ErrorKind::Protocol, "write the request as JSON").with_source(reason))?;
        self.call(Method::POST, "/api/v1/tokens", Some(body.into()), CALL_TIME_MAX).await
    }

    /// Takes a token back: from now on it lets nobody in.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain {
            return Err(Error::new(ErrorKind::Usage, format!("take {id:?} as the id of a token")));
        }
        let path = format!("/api/v1/tokens/{id}");
        self.call::<Option<IgnoredAny>>(Method::DELETE, &path, None, CALL_TIME_MAX).await.map(drop)
    }
}
