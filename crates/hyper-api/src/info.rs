//! Who is answering, as `GET /api/v1/info` says it.

use serde::{Deserialize, Serialize};

use crate::Problem;

/// A running `hypervisord`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Info {
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// The configured source for people: scheme, host and port, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why there is no usable source; present exactly when `source` is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_problem: Option<Problem>,
    /// Seconds since it began to answer; absent from an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
}
