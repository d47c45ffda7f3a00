//! What a job is to do: the body of `POST /api/v1/jobs`.
//!
//! `kind` says which sort of job it is. It came later than the first sort: without it a body, and a
//! job that an older daemon stored, is an export.

use std::path::{Path, PathBuf};

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ExportSpec, is_false};

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobSpec {
    /// Bring a VM out of the source.
    Export(ExportSpec),
    /// Write a disk or a package that lies here in another format.
    Convert(ConvertSpec),
    /// Compare a package with its manifest.
    Verify(VerifySpec),
    /// A sort of a newer daemon that this version does not know.
    Unknown,
}

impl JobSpec {
    /// Reads the body of a submit. Unlike a job that is read back, a request with a field or a word that
    /// this version does not know is refused: an option is never accepted and ignored.
    ///
    /// # Errors
    /// When `body` is not JSON, is of no known kind, lacks a field or has one too many.
    pub fn from_request(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            kind: Option<String>,
        }
        let Kind { kind } = serde_json::from_slice(body)?;
        match kind.as_deref() {
            None | Some("export") => ExportSpec::from_request(body).map(Self::Export),
            Some("convert") => ConvertSpec::from_request(body).map(Self::Convert),
            Some("verify") => VerifySpec::from_request(body).map(Self::Verify),
            Some(other) => {
                Err(serde_json::Error::custom(format!("`kind` is neither `export`, `convert` nor `verify`: {other:?}")))
            }
        }
    }

    /// Returns the word for what is done.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Export(_) => "export",
            Self::Convert(_) => "convert",
            Self::Verify(_) => "verify",
            Self::Unknown => "run",
        }
    }

    /// Returns what it is done to: the VM as asked for, or the path of a source.
    pub fn subject(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Export(spec) => spec.vm.as_str().into(),
            Self::Convert(spec) => spec.source.to_string_lossy(),
            Self::Verify(spec) => spec.path.to_string_lossy(),
            Self::Unknown => "something of a newer version".into(),
        }
    }

    /// Returns where it writes to, if it writes.
    pub fn output(&self) -> Option<&Path> {
        match self {
            Self::Export(spec) => Some(&spec.output),
            Self::Convert(spec) => Some(&spec.output),
            Self::Verify(_) | Self::Unknown => None,
        }
    }

    /// Returns the export, if it is one.
    pub const fn export(&self) -> Option<&ExportSpec> {
        match self {
            Self::Export(spec) => Some(spec),
            _ => None,
        }
    }
}

impl From<ExportSpec> for JobSpec {
    fn from(spec: ExportSpec) -> Self {
        Self::Export(spec)
    }
}

impl From<ConvertSpec> for JobSpec {
    fn from(spec: ConvertSpec) -> Self {
        Self::Convert(spec)
    }
}

impl From<VerifySpec> for JobSpec {
    fn from(spec: VerifySpec) -> Self {
        Self::Verify(spec)
    }
}

impl<'de> Deserialize<'de> for JobSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        enum Tagged {
            Export(ExportSpec),
            Convert(ConvertSpec),
            Verify(VerifySpec),
            #[serde(other)]
            Unknown,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Tagged(Tagged),
            Bare(ExportSpec),
        }
        Ok(match Any::deserialize(deserializer)? {
            Any::Tagged(Tagged::Export(spec)) | Any::Bare(spec) => Self::Export(spec),
            Any::Tagged(Tagged::Convert(spec)) => Self::Convert(spec),
            Any::Tagged(Tagged::Verify(spec)) => Self::Verify(spec),
            Any::Tagged(Tagged::Unknown) => Self::Unknown,
        })
    }
}

/// In which form a disk or a package is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's qcow2, version 3.
    Qcow2,
    /// A streamOptimized VMDK.
    Vmdk,
    /// A package in one archive.
    Ova,
    /// A package in a directory.
    Ovf,
    /// A word of a newer version that this one does not know; never accepted in a request.
    #[serde(other)]
    Unknown,
}

impl ImageFormat {
    /// Returns the word that stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Ova => "ova",
            Self::Ovf => "ovf",
            Self::Unknown => "unknown",
        }
    }
}

/// How the clusters of a qcow2 are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compression {
    /// What every reader of qcow2 knows.
    Deflate,
    /// Faster to read; QEMU knows it since 5.1.
    Zstd,
    /// A word of a newer version that this one does not know; never accepted in a request.
    #[serde(other)]
    Unknown,
}

impl Compression {
    /// Returns the word that stands on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Unknown => "unknown",
        }
    }
}

/// What to convert, and into what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ConvertSpec {
    /// Absolute path of a disk image, a package, or a directory that holds one package.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub source: PathBuf,
    /// Absolute path of what is written: a file, a block device, or a directory for several disks.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub output: PathBuf,
    /// The form of what is written.
    pub format: ImageFormat,
    /// Compress the clusters of a qcow2; absent: they are as the guest wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Length of a cluster of a qcow2; absent: 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_bytes: Option<u64>,
    /// Replace what stands under the name of the output.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replace: bool,
    /// Open files that the source names outside of its own folder.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follow_outside: bool,
    /// The source is the bytes of a disk, whatever it looks like.
    #[serde(default, skip_serializing_if = "is_false")]
    pub source_is_raw: bool,
}

impl ConvertSpec {
    fn from_request(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            #[serde(rename = "kind")]
            _kind: IgnoredAny,
            source: PathBuf,
            output: PathBuf,
            format: ImageFormat,
            #[serde(default)]
            compression: Option<Compression>,
            #[serde(default)]
            cluster_bytes: Option<u64>,
            #[serde(default)]
            replace: bool,
            #[serde(default)]
            follow_outside: bool,
            #[serde(default)]
            source_is_raw: bool,
        }
        let strict: Strict = serde_json::from_slice(body)?;
        if strict.format == ImageFormat::Unknown {
            return Err(serde_json::Error::custom("`format` is none of `raw`, `qcow2`, `vmdk`, `ova` and `ovf`"));
        }
        if strict.compression == Some(Compression::Unknown) {
            return Err(serde_json::Error::custom("`compression` is neither `deflate` nor `zstd`"));
        }
        Ok(Self {
            source: strict.source,
            output: strict.output,
            format: strict.format,
            compression: strict.compression,
            cluster_bytes: strict.cluster_bytes,
            replace: strict.replace,
            follow_outside: strict.follow_outside,
            source_is_raw: strict.source_is_raw,
        })
    }
}

/// What to compare with its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VerifySpec {
    /// Absolute path of a package, of a directory that holds one, or of a manifest.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub path: PathBuf,
}

impl VerifySpec {
    fn from_request(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            #[serde(rename = "kind")]
            _kind: IgnoredAny,
            path: PathBuf,
        }
        let Strict { path, .. } = serde_json::from_slice(body)?;
        Ok(Self { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_what_serde_writes() {
        use ImageFormat::*;
        for format in [Raw, Qcow2, Vmdk, Ova, Ovf] {
            assert_eq!(serde_json::to_value(format).unwrap(), format.word());
        }
        for compression in [Compression::Deflate, Compression::Zstd] {
            assert_eq!(serde_json::to_value(compression).unwrap(), compression.word());
        }
    }

    #[test]
    fn a_body_without_a_kind_is_an_export() {
        let bare = br#"{"vm":"web01","output":"/tmp/x"}"#;
        let export = ExportSpec { vm: "web01".into(), output: "/tmp/x".into(), ..ExportSpec::default() };
        assert_eq!(JobSpec::from_request(bare).unwrap(), JobSpec::Export(export.clone()));
        assert_eq!(serde_json::from_slice::<JobSpec>(bare).unwrap(), JobSpec::Export(export.clone()));
        let named = br#"{"kind":"export","vm":"web01","output":"/tmp/x"}"#;
        assert_eq!(JobSpec::from_request(named).unwrap(), JobSpec::Export(export));
    }

    #[test]
    fn a_request_with_a_word_or_an_option_that_is_not_built_is_refused_by_name() {
        for (body, named) in [
            (r#"{"kind":"import","vm":"web01","output":"/x"}"#, "import"),
            (r#"{"kind":"export","vm":"web01","output":"/x","format":"raw"}"#, "format"),
            (r#"{"kind":"convert","source":"/a","output":"/b","format":"vdi"}"#, "format"),
            (r#"{"kind":"convert","source":"/a","output":"/b"}"#, "format"),
            (r#"{"kind":"convert","source":"/a","output":"/b","format":"qcow2","compression":"xz"}"#, "compression"),
            (r#"{"kind":"convert","source":"/a","output":"/b","format":"qcow2","encrypt":true}"#, "encrypt"),
            (r#"{"kind":"verify","path":"/a","deep":true}"#, "deep"),
        ] {
            let refused = JobSpec::from_request(body.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn a_job_of_a_sort_of_the_future_is_read_as_unknown() {
        let spec: JobSpec = serde_json::from_str(r#"{"kind":"import","path":"/a"}"#).unwrap();
        assert_eq!(spec, JobSpec::Unknown);
        let spec: JobSpec = serde_json::from_str(r#"{"kind":"verify","path":"/a","deep":true}"#).unwrap();
        assert_eq!(spec, JobSpec::Verify(VerifySpec { path: "/a".into() }));
    }
}
