//! What a rule does when it strikes.
//!
//! Each action belongs to one moment, its [`Stage`]; a rule matches only there, so that its counts are
//! those of one kind of event. Deeds, which change objects instead of replies, may also be bound to a
//! byte of a body (`when.at_byte`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::When;
use super::spec::FaultSpec;
use crate::faults::{ManifestLieKind, ThumbprintKind};

/// What a rule does when it strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuses a call with a fault of the API.
    Fault(FaultSpec),
    /// Refuses the calls that need this privilege with `NoPermission`, and reads of files with 403.
    Deny(String),
    /// Answers instead of the server.
    Answer(Answer),
    /// Answers instead of the server when too much is going on.
    Busy(Busy),
    /// Resets the connection instead of answering.
    Reset(Yes),
    /// Closes the connection instead of answering.
    Close(Yes),
    /// Lets the request wait before it is looked at.
    DelayMs(u64),
    /// Forgets the request's `Range`, so that all of the file is sent with 200.
    IgnoreRange(Yes),

    /// Changes status, headers and length of the reply.
    Edit(Edit),
    /// Spoils the XML of a reply.
    Xml(XmlEdit),
    /// Moves every `dateTime` of a reply, and its header `Date`, by so many seconds.
    ClockSkewS(i64),
    /// Adds to the list of errors in the reply to `CreateDescriptor`.
    DescriptorError(FaultSpec),
    /// Decides the end of the task that the call has started.
    Task(TaskFate),
    /// Changes where the URLs of the lease that the call has made point to.
    LeaseUrl(LeaseUrl),

    /// Resets the connection after so many bytes of the body.
    ResetAt(u64),
    /// Closes the connection after so many bytes: no last chunk, or fewer bytes than were promised.
    AbortAt(u64),
    /// Ends the body after so many bytes, properly: with the last chunk, where there are chunks.
    EndAt(u64),
    /// Flips all bits of one byte.
    FlipAt(u64),
    /// Falls silent in the middle of a body.
    Stall(Stall),
    /// Sends a body slowly.
    Trickle(Trickle),

    /// Damages the format of a disk's stream; hashes are those of what is sent.
    Vmdk(VmdkDamage),
    /// Makes the manifest lie about a file.
    Manifest(ManifestLieKind),

    /// Ends the caller's session; every session when the request has none, as one for a lease's file.
    KillSession(Yes),
    /// From now on the password is another one; with `false` the old one again.
    PasswordChanged(bool),
    /// Moves a VM to another host or datastore.
    MoveVm(MoveVm),
    /// Changes the power of a VM, whoever holds it.
    Power(Power),
    /// Ends the leases of a VM.
    Lease(LeaseFate),
    /// Closes a listener for some time: connections are refused; those that are open stay.
    CloseListener(CloseListener),

    /// Does not go on with the TLS handshake of a connection for so long.
    HandshakeStallMs(u64),
    /// Shows another certificate on a connection.
    Certificate(BadCertificate),
}

/// The moments at which rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A connection was accepted.
    Accept,
    /// A request was read.
    Request,
    /// Its reply is about to be sent.
    Reply,
    /// The stream of a lease's file begins.
    Content,
    /// An entry of a lease's manifest is written.
    Manifest,
}

impl Action {
    /// Returns the moment at which this is done.
    pub(crate) fn stage(&self, when: &When) -> Stage {
        match self {
            Self::HandshakeStallMs(_) | Self::Certificate(_) => Stage::Accept,
            Self::Vmdk(_) => Stage::Content,
            Self::Manifest(_) => Stage::Manifest,
            // A lease that the call makes is there after it.
            Self::Lease(_) => Stage::Reply,
            _ if self.is_deed() && when.at_byte.is_none() => Stage::Request,
            _ if self.is_deed() => Stage::Reply,
            Self::DelayMs(_) | Self::IgnoreRange(_) => Stage::Request,
            _ if self.answers() => Stage::Request,
            _ => Stage::Reply,
        }
    }

    /// Returns whether this stands in for the server's answer; one such is enough for a request.
    pub(crate) fn answers(&self) -> bool {
        matches!(
            self,
            Self::Fault(_) | Self::Deny(_) | Self::Answer(_) | Self::Busy(_) | Self::Reset(_) | Self::Close(_)
        )
    }

    /// Returns whether this changes objects and not replies.
    pub(crate) fn is_deed(&self) -> bool {
        matches!(
            self,
            Self::KillSession(_)
                | Self::PasswordChanged(_)
                | Self::MoveVm(_)
                | Self::Power(_)
                | Self::Lease(_)
                | Self::CloseListener(_)
        )
    }

    /// Returns whether this has a meaning for calls of the API only.
    pub(crate) fn is_for_calls(&self) -> bool {
        matches!(
            self,
            Self::Fault(_)
                | Self::Xml(_)
                | Self::ClockSkewS(_)
                | Self::DescriptorError(_)
                | Self::Task(_)
                | Self::LeaseUrl(_)
        )
    }
}

/// The only value of a switch that a rule turns on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Yes;

impl Serialize for Yes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for Yes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            return Ok(Self);
        }
        Err(serde::de::Error::custom("a rule turns things on: say `true`, or leave the rule out"))
    }
}

/// An answer of the rule's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body; by default a page as a proxy in front of a server sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// `Content-Type` of the body; HTML by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Seconds for the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// More headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// An answer to a request that is one too many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Busy {
    /// What is still served.
    pub above: u64,
    /// What is counted.
    pub of: Crowd,
    /// HTTP status.
    #[serde(default = "service_unavailable")]
    pub status: u16,
    /// Seconds for the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

fn service_unavailable() -> u16 {
    503
}

/// What there can be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// Open connections of the listener.
    Connections,
    /// Bodies of files that the listener is sending, with the one that is asked for.
    Streams,
    /// Sessions, with the one that a `Login` asks for.
    Sessions,
}

/// Changes of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edit {
    /// Another status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers with other values; an empty one is taken away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Bytes that the body is cut or filled up to, with a `Content-Length` that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
}

/// What is done to the XML of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum XmlEdit {
    /// Half of it is missing.
    Truncated,
    /// There is none.
    Empty,
    /// A page for people stands in its place.
    Html,
    /// It is filled with more than 64 MiB of blanks.
    Huge,
    /// Every occurrence of a text is replaced by another one.
    Replace {
        /// The text.
        find: String,
        /// What stands there afterwards.
        with: String,
    },
}

/// How a task ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskFate {
    /// It runs, shows progress, and ends with this fault.
    Fails(FaultSpec),
    /// It runs for ever.
    NeverEnds(Yes),
}

/// Where the URLs of a lease point to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseUrl {
    /// Another host, `NAME` or `NAME:PORT`; the port stays when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What is said about the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<ThumbprintKind>,
}

/// A silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// Bytes of the body before it.
    pub at: u64,
    /// How long.
    pub ms: u64,
}

/// A slow body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trickle {
    /// How slow.
    pub bytes_per_second: u64,
    /// Bytes of the body that come as fast as ever.
    #[serde(default)]
    pub at: u64,
}

/// What is wrong with the format of a stream that arrives as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmdkDamage {
    /// It ends before its footer.
    NoFooter,
    /// It ends before the marker that says so.
    NoEndOfStream,
    /// Its first two grains have changed places.
    Disorder,
    /// Its first grain comes twice.
    DuplicateGrain,
    /// A marker of a kind that nobody knows.
    BadMarker,
    /// The last grain inflates to half of what a grain holds.
    ShortGrain,
}

/// A VM that changes its host or its datastore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MoveVm {
    /// Inventory path of the VM; by default the one that the request is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
    /// Name of the host; by default another one of the same datacenter, or the same one when `datastore` is
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Name of the datastore that all files of the VM go to; by default they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datastore: Option<String>,
    /// Ends the VM's leases with an error.
    pub lease_fails: bool,
}

/// A VM whose power changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Inventory path of the VM; by default the one that the request is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
    /// What it is afterwards.
    pub state: PowerState,
}

/// Power of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// It runs.
    On,
    /// It does not.
    Off,
}

/// What becomes of the leases of a VM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseFate {
    /// What they are afterwards.
    pub becomes: LeaseState,
    /// The fault that a failed one tells; by default a `SystemError`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultSpec>,
}

/// How a lease ends against its owner's will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// In state `error`, with a fault.
    Error,
    /// In state `error`, as after `leaseTimeout` without a call.
    TimedOut,
    /// There is no such object any more.
    Gone,
}

/// A listener that refuses connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseListener {
    /// `vcenter`, or the name of a host; by default the one that the request came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// How long.
    pub ms: u64,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadCertificate {
    /// It is not the one that thumbprints are known of.
    Other,
    /// It was valid until the year 2000.
    Expired,
    /// It is for other names.
    OtherName,
}
