//! What a completed conversion has made, and what a comparison with a manifest has found.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ImageFormat;

/// A finished conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Conversion {
    /// Absolute path of what was made: a file, a block device or a directory.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub output: PathBuf,
    /// The form of it.
    pub format: ImageFormat,
    /// The disks, in the order of the source.
    pub disks: Vec<ConvertedDisk>,
    /// The files that were made.
    pub files: Vec<ConvertedFile>,
    /// Bytes of guest data read.
    pub read_bytes: u64,
    /// Bytes of guest data that an earlier run had written, and that were found right.
    pub kept_bytes: u64,
    /// Milliseconds that the copying took.
    pub copy_ms: u64,
}

/// One disk of a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ConvertedDisk {
    /// The name of the file that holds it; for an archive the name of the member.
    pub name: String,
    /// Guest capacity in bytes.
    pub capacity_bytes: u64,
    /// Digest of what the guest sees: BLAKE3 over capacity, chunk length and the values of all chunks,
    /// lower-case hexadecimal. Equal for the same disk in any format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_blake3: Option<String>,
}

/// One file of a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ConvertedFile {
    /// Absolute path.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub path: PathBuf,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Bytes that it takes on its file system.
    pub allocated_bytes: u64,
}

/// What a comparison of files with a manifest has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Verification {
    /// Files whose digests are right.
    pub verified: Vec<String>,
    /// Digests that are wrong.
    pub mismatches: Vec<Mismatch>,
    /// Files of the package of which no manifest speaks.
    pub not_covered: Vec<String>,
    /// Files of which the manifest speaks and that are not there.
    pub missing: Vec<String>,
    /// Bytes read.
    pub read_bytes: u64,
}

/// A digest that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Mismatch {
    /// The file.
    pub name: String,
    /// The algorithm, as the manifest writes it: `SHA1`, `SHA256`, `SHA512`.
    pub algorithm: String,
    /// What the manifest says, lower-case hexadecimal.
    pub expected: String,
    /// What the file has.
    pub found: String,
}
