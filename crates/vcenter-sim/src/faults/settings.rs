//! The switches and faults themselves: plain values, the same in TOML, in JSON and in code.

use serde::{Deserialize, Serialize};

use crate::pace::profile::{Profile, Shape};

/// Switches and faults that may change while the simulator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Bandwidth of each connection to a host; unlimited when missing.
    pub bytes_per_second: Option<u64>,
    /// Seconds without `HttpNfcLeaseProgress` after which a lease dies.
    pub lease_timeout_s: u64,
    /// Seconds without a call after which a session dies.
    pub session_idle_s: u64,
    /// Time that a new lease stays in state `initializing`.
    pub initializing_ms: u64,
    /// Flips one byte of a stream, after hashing.
    pub corrupt_byte: Option<CorruptByte>,
    /// Resets the connection in the middle of a stream.
    pub reset_after_bytes: Option<CutAfter>,
    /// Ends a stream early as if it were complete.
    pub clean_end_after_bytes: Option<CutAfter>,
    /// Makes the manifest of a lease lie.
    pub manifest_lie: Option<ManifestLie>,
    /// Uses `*` as host in the URLs of a lease; then the vCenter's listener serves the files.
    pub star_host: bool,
    /// What a lease says about the certificate of its URLs.
    pub host_thumbprint: ThumbprintKind,
    /// Hash of the thumbprints in a lease.
    pub thumbprint_hash: HashName,
    /// Answers HEAD on a file of a lease with 405, as real hosts do.
    pub head_405: bool,
    /// Lets each URL of a lease be fetched once only.
    pub single_use_tickets: bool,
    /// Allows several leases of one VM at the same time.
    pub several_leases_per_vm: bool,
    /// Most objects in one page of the PropertyCollector, whatever the client asks.
    pub max_page_size: Option<u32>,
    /// Leaves the nvram out of leases, as older hosts do.
    pub lease_without_nvram: bool,
    /// Answers `HttpNfcLeaseGetManifest` with `NotSupported`.
    pub manifest_unsupported: bool,
    /// Answers `CreateDescriptor` with a fault.
    pub create_descriptor_fault: bool,
    /// Answers `HttpNfcLeaseComplete` with a fault.
    pub complete_fault: bool,
    /// Answers the next so many `HttpNfcLeaseProgress` with a fault; counts down.
    pub progress_fails: u32,
    /// Ends the task of a snapshot that quiesces the guest late, in `ApplicationQuiesceFault`.
    pub quiesce_fault: bool,
    /// Ends the task of a snapshot late, in `NoDiskSpace`.
    pub snapshot_no_space: bool,
    /// Time that removing a snapshot takes.
    pub snapshot_remove_ms: u64,
    /// Leaves the links of removed snapshots as they are, so that `runtime.consolidationNeeded` holds.
    pub consolidation_needed_after_remove: bool,
    /// Lets tasks of this method (`CreateSnapshot_Task`) run for ever, at 50 percent.
    pub endless_task: Option<String>,
    /// Lets guests ignore `ShutdownGuest`, which answers as ever.
    pub shutdown_ignored: bool,
    /// Bandwidths and latency after reports of real hosts.
    pub profile: Profile,
    /// Bandwidths and latency of one's own, in place of the profile's.
    pub shape: Option<Shape>,
    /// Compresses replies to calls for clients that accept it.
    pub gzip_replies: bool,
    /// Sends replies to calls in chunks, without a length.
    pub chunked_replies: bool,
    /// Closes the connection after each reply to a call.
    pub close_after_reply: bool,
    /// Answers HEAD below `/folder` with 405.
    pub folder_head_405: bool,
    /// Leaves `Accept-Ranges` out of the answer to HEAD below `/folder`, though ranges are served.
    pub folder_head_hides_ranges: bool,
    /// Decodes the query of URLs below `/folder` twice.
    pub folder_double_decode: bool,
    /// Status of the answer to a read of a file that a running VM has locked: 500, 403 or any other error.
    pub folder_locked_status: u16,
    /// Locks also those links of a running VM that it only reads.
    pub folder_lower_links_locked: bool,
}

impl Settings {
    /// Returns the bandwidths that hold.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape.unwrap_or_else(|| self.profile.shape())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bytes_per_second: None,
            // What every real log shows.
            lease_timeout_s: 300,
            // vCenter's own limit.
            session_idle_s: 30 * 60,
            initializing_ms: 0,
            corrupt_byte: None,
            reset_after_bytes: None,
            clean_end_after_bytes: None,
            manifest_lie: None,
            star_host: false,
            host_thumbprint: ThumbprintKind::Right,
            thumbprint_hash: HashName::Sha1,
            head_405: true,
            single_use_tickets: false,
            several_leases_per_vm: false,
            max_page_size: None,
            lease_without_nvram: false,
            manifest_unsupported: false,
            create_descriptor_fault: false,
            complete_fault: false,
            progress_fails: 0,
            quiesce_fault: false,
            snapshot_no_space: false,
            // As long as a power task.
            snapshot_remove_ms: 40,
            consolidation_needed_after_remove: false,
            endless_task: None,
            shutdown_ignored: false,
            profile: Profile::Ideal,
            shape: None,
            gzip_replies: false,
            chunked_replies: false,
            close_after_reply: false,
            folder_head_405: false,
            folder_head_hides_ranges: false,
            folder_double_decode: false,
            folder_locked_status: 500,
            folder_lower_links_locked: false,
        }
    }
}

/// A byte of a stream that arrives with all its bits flipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptByte {
    /// Which file; see [`super::FileNames::matches`].
    pub file: String,
    /// Offset in the stream.
    pub offset: u64,
    /// How often; always when missing. Counts down.
    #[serde(default)]
    pub times: Option<u32>,
}

/// A stream that stops before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutAfter {
    /// Which file; see [`super::FileNames::matches`].
    pub file: String,
    /// Bytes of the stream that are still sent.
    pub bytes: u64,
    /// How often; always when missing. Counts down.
    #[serde(default)]
    pub times: Option<u32>,
}

/// A manifest that does not say what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestLie {
    /// What is wrong.
    pub kind: ManifestLieKind,
    /// Which file; see [`super::FileNames::matches`].
    pub file: String,
}

/// What is wrong in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestLieKind {
    /// One byte more than was sent.
    Size,
    /// Other hashes.
    Hash,
    /// No entry.
    Missing,
}

/// What a lease says about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThumbprintKind {
    /// The truth.
    Right,
    /// Something else of the same form.
    Wrong,
    /// Nothing: the ordinary rules apply.
    Empty,
}

/// A hash of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashName {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}
