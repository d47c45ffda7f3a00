//! Many jobs in one request.

use serde::{Deserialize, Serialize};

use crate::{JobId, JobSpec, Problem};

/// A job as it is submitted: what it is to do, and how it is to be treated. In JSON all members stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// An id that the caller has made, so that a repeated request makes no second job; else one is made.
    pub id: Option<JobId>,
    /// Jobs of a higher priority go first; 0 unless given.
    pub priority: i32,
    /// What to do.
    pub spec: JobSpec,
}

/// Words that stand where an id could in paths of older clients.
const RESERVED: [&str; 9] = ["submit", "query", "cancel", "status", "progress", "logs", "eta", "batch", "events"];

/// The longest id.
const ID_BYTES_MAX: usize = 128;

/// The lowest and the highest priority.
const PRIORITIES: std::ops::RangeInclusive<i32> = -1000..=1000;

impl JobRequest {
    /// Reads one job of a request. What this version does not know is refused.
    ///
    /// # Errors
    /// When `value` is no object, is of no known kind, lacks a member or has one too many.
    pub fn from_value(mut value: serde_json::Value) -> Result<Self, serde_json::Error> {
        use serde::de::Error as _;
        let object = value.as_object_mut().ok_or_else(|| serde_json::Error::custom("a job is an object"))?;
        let id: Option<JobId> = object.remove("id").map(serde_json::from_value).transpose()?.flatten();
        let priority: Option<i32> = object.remove("priority").map(serde_json::from_value).transpose()?.flatten();
        if let Some(wrong) = id.as_ref().filter(|id| !is_id(id.as_str())) {
            return Err(serde_json::Error::custom(format!("`id` cannot be {:?}", wrong.as_str())));
        }
        let priority = priority.unwrap_or(0);
        check_priority(priority).map_err(serde_json::Error::custom)?;
        let spec = JobSpec::from_request(&serde_json::to_vec(&value)?)?;
        Ok(Self { id, priority, spec })
    }

    /// Reads the body of a request for one job.
    ///
    /// # Errors
    /// As [`Self::from_value`]; and when `body` is no JSON.
    pub fn from_request(body: &[u8]) -> Result<Self, serde_json::Error> {
        Self::from_value(serde_json::from_slice(body)?)
    }
}

impl From<JobSpec> for JobRequest {
    fn from(spec: JobSpec) -> Self {
        Self { id: None, priority: 0, spec }
    }
}

/// Refuses a priority outside of the range.
///
/// # Errors
/// The reason, for people.
pub fn check_priority(priority: i32) -> Result<(), &'static str> {
    if PRIORITIES.contains(&priority) { Ok(()) } else { Err("`priority` is not between -1000 and 1000") }
}

fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.len() <= ID_BYTES_MAX
        && id.chars().all(plain)
        && !RESERVED.contains(&id)
}

/// The body of `POST /api/v1/jobs/batch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// The jobs, each read by [`JobRequest::from_value`].
    pub jobs: Vec<serde_json::Value>,
}

/// What became of one job of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum BatchAnswer {
    /// It was accepted, now or by the same request before.
    Accepted {
        /// Its id.
        id: JobId,
    },
    /// It was not.
    Refused {
        /// Why.
        problem: Problem,
    },
}

/// The reply of `POST /api/v1/jobs/batch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BatchReply {
    /// How many were accepted.
    pub accepted: u64,
    /// How many were not.
    pub refused: u64,
    /// One answer per job, in their order.
    pub jobs: Vec<BatchAnswer>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_bring_its_id_and_its_priority() {
        let body = br#"{"id":"a-1","priority":5,"vm":"web01","output":"/x"}"#;
        let request = JobRequest::from_request(body).unwrap();
        assert_eq!((request.id, request.priority), (Some(JobId::new("a-1")), 5));
        assert_eq!(request.spec.export().unwrap().vm, "web01");
        let plain = JobRequest::from_request(br#"{"vm":"web01","output":"/x","id":null}"#).unwrap();
        assert_eq!((plain.id, plain.priority), (None, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (body, named) in [
            (r#"{"id":"..","vm":"a","output":"/x"}"#, "id"),
            (r#"{"id":"batch","vm":"a","output":"/x"}"#, "id"),
            (r#"{"id":"a/b","vm":"a","output":"/x"}"#, "id"),
            (r#"{"priority":"high","vm":"a","output":"/x"}"#, "string"),
            (r#"{"priority":2000,"vm":"a","output":"/x"}"#, "priority"),
            (r#"{"vm":"a","output":"/x","colour":1}"#, "colour"),
            (r#"[]"#, "object"),
        ] {
            let refused = JobRequest::from_request(body.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn an_answer_is_an_id_or_a_problem() {
        let accepted = BatchAnswer::Accepted { id: JobId::new("a") };
        assert_eq!(serde_json::to_string(&accepted).unwrap(), r#"{"id":"a"}"#);
        assert_eq!(serde_json::from_str::<BatchAnswer>(r#"{"id":"a"}"#).unwrap(), accepted);
    }
}
