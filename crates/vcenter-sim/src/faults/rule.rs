//! Rules: something goes wrong when something happens.
//!
//! ```toml
//! [[rule]]
//! name = "the session dies in the middle"
//! when = { method = "HttpNfcLeaseProgress" }
//! then = { kill_session = true }
//! nth = 3
//! ```
//!
//! The same words serve in the inventory (`[[rule]]`), in a file (`--rules`), as a flag (`--fault`, one
//! JSON object) and at the control endpoint (`POST /rules`). A rule that cannot strike, because a key is
//! unknown or its parts exclude each other, is refused with a sentence that says what is possible.
//!
//! * here: a rule and its condition · [`action`]: what is done · [`spec`]: faults of the API by name
//! * [`book`]: all rules with their counts, which decides; it has neither clock nor I/O
//! * [`check`]: what is refused · [`privilege`]: which call needs which privilege
//!
//! What an action does to a reply, a stream or an object is not known here: `interfere` acts on HTTP,
//! `soap::meddle` on objects.

pub(crate) mod action;
pub(crate) mod book;
mod check;
mod load;
mod pattern;
pub(crate) mod privilege;
pub(crate) mod spec;

use serde::{Deserialize, Serialize};

pub use action::{
    Action, Answer, BadCertificate, Busy, CloseListener, Crowd, Edit, LeaseFate, LeaseState, LeaseUrl, MoveVm, Power,
    PowerState, Stall, TaskFate, Trickle, VmdkDamage, XmlEdit, Yes,
};
pub use check::Names;
pub use load::{RuleFile, parse_json, parse_toml};
pub use spec::FaultSpec;

/// Something goes wrong when something happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name under which the report counts; `rule-1` and so on by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What must happen; nothing said means anything that the action can act on.
    #[serde(default)]
    pub when: When,
    /// What goes wrong.
    pub then: Action,
    /// The match that strikes first, counted from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// How often it strikes: once when `nth` is given, else without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Time after the rule was made in which nothing counts as a match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Part of the matches that strike, 0.0 to 1.0, drawn from the seed, the name and the match's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Seed of the draws; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What must happen for a rule to match: all that is said must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Method of the API, `ExportVm`, or `*` for each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// HTTP method: `GET`, `HEAD`, `POST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Path of the request, without its query; `*` stands for any text: `/nfc/*/disk-0.vmdk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What the request is about, by one of its names: the id of an object that a call names, the
    /// inventory path of a VM, the name of a file (`disk-0.vmdk`), its key, or the VM's path with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// `vcenter`, or the name of a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The moment in the body of the reply at which a deed is done: after so many of its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_byte: Option<u64>,
}
