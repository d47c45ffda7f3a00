//! What a job has said.

use serde::{Deserialize, Serialize};

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Counts up within the job, not always by one.
    pub number: u64,
    /// When it was written.
    pub at: String,
    /// `info`, `warning` or `error`.
    pub level: String,
    /// The text, without control characters.
    pub text: String,
}

/// The reply of `GET /api/v1/jobs/{id}/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogList {
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
}
