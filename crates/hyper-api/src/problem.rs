//! What went wrong, in the form of RFC 9457 (problem+json) plus what our callers need.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of an error reply.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What every `type` member begins with; the kind's word follows.
const TYPE_PREFIX: &str = "urn:hyper2kvm:problem:";

/// The kinds of failure that callers tell apart. Which HTTP status goes with each is the daemon's
/// table (`hypervisord::problems`), which exit code `hyperctl`'s (`hyperctl::exit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The request or the configuration makes no sense.
    Usage,
    /// No such VM, job or route; or a name that fits several VMs.
    NotFound,
    /// The route exists, but not with this method.
    Method,
    /// The source refused the login.
    Login,
    /// The source cannot be reached.
    Unreachable,
    /// The source's certificate is not trusted.
    Certificate,
    /// The account lacks a privilege.
    Permission,
    /// The VM or the job is in a state that does not allow this.
    State,
    /// A disk image or a package is damaged, encrypted, or of a kind that is not read.
    Image,
    /// A guest or the source has not done in time what it was asked to.
    Timeout,
    /// The target is full, not writable, or holds files that are not ours.
    Target,
    /// What arrived is not what was sent.
    Verification,
    /// The source answered with a fault, or in a form that makes no sense.
    Server,
    /// Somebody asked for a stop.
    Cancelled,
    /// A limit of the daemon is reached, or it is stopping; the same request may succeed later.
    Busy,
    /// The daemon cannot write down what it was asked, or read what it wrote down.
    Storage,
    /// The daemon does not know who asks: no token, or one that it never gave out or has expired.
    Unauthorized,
    /// The daemon knows who asks, and they may not; or the request comes from a foreign web page.
    Forbidden,
    /// The request is larger than the daemon reads.
    TooLarge,
    /// Too many requests in a short time; the same one may succeed later.
    TooMany,
    /// A bug of ours.
    Internal,
    /// A word of a newer daemon that this version does not know.
    #[serde(other)]
    Unknown,
}

impl ProblemKind {
    /// Every kind that this version can write.
    pub const ALL: [Self; 20] = [
        Self::Usage,
        Self::NotFound,
        Self::Method,
        Self::Login,
        Self::Unreachable,
        Self::Certificate,
        Self::Permission,
        Self::State,
        Self::Image,
        Self::Target,
        Self::Verification,
        Self::Server,
        Self::Cancelled,
        Self::Busy,
        Self::Storage,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TooLarge,
        Self::TooMany,
        Self::Internal,
    ];

    /// Returns the word that stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Login => "login",
            Self::Unreachable => "unreachable",
            Self::Certificate => "certificate",
            Self::Permission => "permission",
            Self::State => "state",
            Self::Image => "image",
            Self::Timeout => "timeout",
            Self::Target => "target",
            Self::Verification => "verification",
            Self::Server => "server",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Storage => "storage",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the title: the same for every problem of this kind.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Usage => "the request makes no sense",
            Self::NotFound => "not found",
            Self::Method => "method not allowed",
            Self::Login => "login refused",
            Self::Unreachable => "source unreachable",
            Self::Certificate => "certificate not trusted",
            Self::Permission => "privilege missing",
            Self::State => "not possible in this state",
            Self::Image => "image not readable",
            Self::Timeout => "not done in time",
            Self::Target => "target not usable",
            Self::Verification => "verification failed",
            Self::Server => "source answered with a fault",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Storage => "job store not usable",
            Self::Unauthorized => "token missing or not known",
            Self::Forbidden => "not allowed",
            Self::TooLarge => "request too large",
            Self::TooMany => "too many requests",
            Self::Internal => "internal error",
            Self::Unknown => "unknown problem",
        }
    }
}

/// One failure: the body of every error reply, and a member of every failed job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind as a word.
    pub kind: ProblemKind,
    /// What all problems of this kind have in common.
    pub title: String,
    /// The HTTP status that goes with the kind; of a failed job, the one a request would have got.
    pub status: u16,
    /// What was being done, to what, and why it failed.
    pub detail: String,
    /// The next step that a person can take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// `detail` on one line, for callers that read only this member.
    pub error: String,
}

impl Problem {
    /// Makes a problem of `kind`.
    pub fn new(kind: ProblemKind, status: u16, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            type_uri: format!("{TYPE_PREFIX}{}", kind.word()),
            kind,
            title: kind.title().to_owned(),
            status,
            error: one_line(&detail),
            detail,
            hint: None,
        }
    }

    /// Adds the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

/// Replaces every run of blanks and control characters by one blank.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_serde_writes() {
        for kind in ProblemKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }

    #[test]
    fn a_word_of_the_future_is_unknown_and_not_an_error() {
        assert_eq!(serde_json::from_str::<ProblemKind>("\"quota\"").unwrap(), ProblemKind::Unknown);
    }

    #[test]
    fn error_is_detail_on_one_line() {
        let problem = Problem::new(ProblemKind::Server, 502, "fault:\r\n\tdisk  is\u{1b} gone\n");
        assert_eq!(problem.error, "fault: disk is gone");
    }
}
